import { type Static, Type } from 'typebox';
import { Closed, Code, Id, Instant, Named, Nullable, Region, Text } from '../platform/http/openapi.ts';

export const TIMER_STATES = ['running', 'paused', 'met', 'breached', 'cancelled'] as const;

export const TimerView = Named('Timer', {
  id: Id('tmr'),
  name: Type.String(),
  kind: Code(['deadline', 'floor']),
  clock: Code(['elapsed', 'calendar_days', 'calendar_months', 'working_days', 'working_time']),
  subject: Closed({ type: Code(['case', 'referral', 'offer']), id: Type.String() }),
  referral_id: Nullable(Id('ref')),
  responsible_agency_id: Type.Optional(Id('agy')),
  placed: Type.Optional(Closed({ region: Nullable(Region()), duty_contact: Nullable(Type.String()) })),
  started_at: Instant(),
  due_at: Instant(),
  state: Code(TIMER_STATES),
  warned_at: Nullable(Instant()),
  breached_at: Nullable(Instant()),
  met_at: Nullable(Instant()),
  escalation_level: Type.Integer(),
  rule: Closed({ pack: Type.String(), version: Type.Integer(), source: Type.String() }),
});
export type TimerView = Static<typeof TimerView>;

export const TimerQuery = {
  state: Type.Optional(Code(TIMER_STATES)),
  name: Type.Optional(Text(60, 1)),
  subject_id: Type.Optional(Text(40, 1)),
  agency_id: Type.Optional(Id('agy')),
  due_before: Type.Optional(Instant()),
};
