import { type Static, Type } from 'typebox';
import { PAUSE_CODES, PAUSE_REASONS, URGENCIES } from '../core/codes.ts';
import { GUARDED_ACTS } from '../core/policy.ts';
import {
  Closed,
  Code,
  Codes,
  Id,
  Instant,
  Jurisdiction,
  Named,
  Nullable,
  Region,
  StaffCode,
  Text,
} from '../platform/http/openapi.ts';

export const TIMER_STATES = ['running', 'paused', 'met', 'breached', 'cancelled'] as const;

const Person = (description: string) =>
  Type.Optional(
    Closed(
      { agency_id: Id('agy'), staff_code: StaffCode() },
      { description: `${description}; for that agency and the coordinator` },
    ),
  );
const UNTOLD = 'Left out for who only knows of it because one of its people was called';

export const TimerView = Named('Timer', {
  id: Id('tmr'),
  name: Type.String(),
  kind: Code(['deadline', 'floor']),
  clock: Code(['elapsed', 'calendar_days', 'calendar_months', 'working_days', 'working_time']),
  subject: Closed({
    type: Code(['case', 'referral', 'offer', 'expert_request']),
    id: Type.Optional(Type.String({ description: UNTOLD })),
  }),
  referral_id: Type.Optional(Type.Union([Id('ref'), Type.Null()], { description: UNTOLD })),
  case_id: Type.Optional(Id('cas')),
  jurisdiction: Jurisdiction(),
  urgency: Code(URGENCIES),
  responsible_agency_id: Type.Optional(Id('agy')),
  placed: Type.Optional(Closed({ region: Nullable(Region()), duty_contact: Nullable(Type.String()) })),
  started_at: Instant(),
  due_at: Instant(),
  state: Code(TIMER_STATES),
  paused_at: Nullable(Instant()),
  pause_reason: Nullable(Code(PAUSE_CODES)),
  paused_by_agency_id: Type.Optional(
    Type.Union([Id('agy'), Type.Null()], { description: 'Left out where it would tell who is in a protected place' }),
  ),
  warned_at: Nullable(Instant()),
  breached_at: Nullable(Instant()),
  met_at: Nullable(Instant()),
  waived_at: Nullable(Instant()),
  guards: Codes(GUARDED_ACTS, { description: 'Of a floor: what is not done before it is due' }),
  escalation_level: Type.Integer(),
  calls: Type.Integer({ description: 'How often somebody on duty was called: every 10 minutes until it is acknowledged' }),
  called_at: Type.Union([Instant(), Type.Null()], { description: 'The last time' }),
  called: Person('Who was called last; nobody where the coordination committees were told'),
  acknowledged_at: Nullable(Instant()),
  acknowledged_by: Person('Who acknowledged it'),
  rule: Closed({ pack: Type.String(), version: Type.Integer(), source: Type.String() }),
  version: Type.Integer(),
});
export type TimerView = Static<typeof TimerView>;

export const TimerQuery = {
  state: Type.Optional(Code(TIMER_STATES)),
  name: Type.Optional(Text(60, 1)),
  subject_id: Type.Optional(Text(40, 1)),
  referral_id: Type.Optional(Id('ref')),
  case_id: Type.Optional(Id('cas')),
  agency_id: Type.Optional(Id('agy')),
  urgency: Type.Optional(Code(URGENCIES)),
  jurisdiction: Type.Optional(Jurisdiction()),
  overdue: Type.Optional(Type.Boolean({ description: 'Breached and still to be met; a clock that ended its offer is over' })),
  unacknowledged: Type.Optional(
    Type.Boolean({ description: 'Somebody on duty was called, and nobody has acknowledged it; over with the timer' }),
  ),
  due_before: Type.Optional(Instant()),
};

export const WaiveBody = Closed({
  requested_by_person: Type.Unsafe<true>({ type: 'boolean', const: true }),
  spoken_in_private: Type.Boolean(),
});

export const PauseBody = Closed({ reason_code: Code(PAUSE_REASONS) });
