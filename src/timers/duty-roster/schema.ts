import { type Static, Type } from 'typebox';
import { Closed, Id, Instant, Jurisdiction, Named, StaffCode } from '../../platform/http/openapi.ts';

export const DutyRosterParams = Closed({ code: Jurisdiction() });

const entries = Type.Array(Closed({ agency_id: Id('agy'), staff_code: StaffCode() }), {
  maxItems: 50,
  description: 'In turn; behind the last one the first is called again',
});

export const DutyRosterBody = Named('SetDutyRoster', { entries });
export type DutyRosterBody = Static<typeof DutyRosterBody>;

export const DutyRosterView = Named('DutyRoster', {
  jurisdiction: Jurisdiction(),
  entries,
  version: Type.Integer(),
  created_at: Instant(),
  updated_at: Instant(),
});
export type DutyRosterView = Static<typeof DutyRosterView>;
