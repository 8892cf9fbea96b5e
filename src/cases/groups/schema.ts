import { type Static, Type } from 'typebox';
import { STAGES } from '../../core/codes.ts';
import { REFERENCE_PATTERN } from '../../core/ids.ts';
import { Closed, Code, Id, Instant, Named, Nullable, Region } from '../../platform/http/openapi.ts';
import { MemberBody, MOST_MEMBERS } from '../schema.ts';

const Optional = Type.Optional;

export const GroupBody = Named('NewGroup', {
  // Not held to its shape here: one that is faulty must not refuse the others.
  cases: Type.Array(Type.Union([MemberBody, Type.Unknown({ description: 'Refused by itself, under its `index`' })]), {
    minItems: 1,
    maxItems: MOST_MEMBERS,
  }),
  families: Optional(
    Type.Array(
      Type.Array(Type.Integer({ minimum: 0, maximum: MOST_MEMBERS - 1 }), {
        minItems: 1,
        maxItems: MOST_MEMBERS,
        uniqueItems: true,
      }),
      { maxItems: MOST_MEMBERS, description: 'Who belong together, by their places in `cases`' },
    ),
  ),
  place: Optional(
    Closed({ region: Optional(Region()) }, { description: 'Where they were found: the region of whoever has none of their own' }),
  ),
});
export type GroupBody = Static<typeof GroupBody>;

const Faults = Type.Array(Closed({ pointer: Type.String(), detail: Type.String() }));

export const OpenedGroupView = Named('OpenedGroup', {
  group_id: Id('grp'),
  cases: Type.Array(
    Closed({
      index: Type.Integer({ description: 'Its place in `cases`' }),
      id: Optional(Id('cas')),
      reference: Optional(Type.String({ pattern: REFERENCE_PATTERN })),
      errors: Optional(Type.Array(Faults.items, { description: 'Why it was not opened, by pointers into the request' })),
    }),
  ),
});
export type OpenedGroupView = Static<typeof OpenedGroupView>;

export const GroupView = Named('Group', {
  id: Id('grp'),
  region: Nullable(Region()),
  opened_at: Instant(),
  members: Type.Array(
    Closed({
      case_id: Id('cas'),
      reference: Type.String({ pattern: REFERENCE_PATTERN }),
      stage: Code(STAGES),
      family: Nullable(Type.Integer({ description: 'Those with the same number are one family' })),
    }),
    { description: 'Those whom the caller owns' },
  ),
});
export type GroupView = Static<typeof GroupView>;
