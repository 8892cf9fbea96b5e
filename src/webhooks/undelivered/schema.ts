import { type Static, Type } from 'typebox';
import { idPattern } from '../../core/ids.ts';
import { Closed, Code, Id, Instant, Jurisdiction, Named, Nullable, Region, StaffCode } from '../../platform/http/openapi.ts';

export const UndeliveredParams = Closed({
  id: Type.String({
    pattern: `${idPattern('agy')}|${idPattern('esc')}`,
    maxLength: 40,
    description: "The call's `agency_id`; of a protected place its `escalation_id`",
  }),
});

const Person = (description: string) =>
  Type.Optional(
    Closed(
      { agency_id: Id('agy'), staff_code: StaffCode() },
      { description: `${description}; for that agency and the coordinator` },
    ),
  );

export const UndeliveredView = Named('Undelivered', {
  agency_id: Type.Optional(Id('agy')),
  escalation_id: Type.Optional(Id('esc')),
  placed: Type.Optional(
    Closed(
      { region: Nullable(Region()), duty_contact: Nullable(Type.String()) },
      { description: 'In place of the agency id where the place is protected' },
    ),
  ),
  status: Code(['undelivered'] as const),
  jurisdiction: Jurisdiction(),
  undelivered: Type.Integer({
    description: 'How many urgent events, of however many emergencies, had not been heard when somebody was last called',
  }),
  since: Instant(),
  calls: Type.Integer(),
  called_at: Instant(),
  called: Person('Who was called last'),
  acknowledged_at: Nullable(Instant()),
  acknowledged_by: Person('Who has taken it in hand'),
  version: Type.Integer(),
});
export type UndeliveredView = Static<typeof UndeliveredView>;

export const AcknowledgeBody = Closed({});
