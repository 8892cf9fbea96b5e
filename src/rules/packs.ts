import type { Policy } from '../core/clock.ts';
import { AGENCY_KINDS, type AgencyKind, type LawfulGround, type Urgency } from '../core/codes.ts';

/**
 * A jurisdiction's versioned configuration, as data. Every number here is an illustrative default and says so; a jurisdiction
 * with a pack of its own in the database uses that one.
 */
export interface RulePack {
  jurisdiction: string;
  /** Names the pack in the timers that were started under it. */
  name: string;
  version: number;
  policies: readonly Policy[];
  /** Which agency kinds may refer on which ground. */
  lawful_grounds: Readonly<Record<LawfulGround, readonly AgencyKind[]>>;
}

const ILLUSTRATIVE = 'illustrative default';

type Duration = string | { elapsed: string; stands_for: string };

/** `count` working days, until calendars come: as many days of 24 hours. */
const workingDays = (count: number): Duration => ({ elapsed: `P${count}D`, stands_for: `${count} working days` });
const calendarDays = (count: number): Duration => ({ elapsed: `P${count}D`, stands_for: `${count} calendar days` });

const LADDER: Policy['escalate'] = [
  { after: '0%', to: 'responsible' },
  { after: '25%', to: 'supervisor' },
  { after: '100%', to: 'coordinator' },
];

function policy(name: string, duration: Duration, more: Partial<Policy> = {}): Policy {
  const { elapsed, stands_for } = typeof duration === 'string' ? { elapsed: duration, stands_for: undefined } : duration;
  return {
    name,
    applies_to: {},
    kind: 'deadline',
    clock: 'elapsed',
    duration: elapsed,
    ...(stands_for ? { stands_for } : {}),
    warn_at: ['50%', '80%'],
    escalate: LADDER,
    source: ILLUSTRATIVE,
    ...more,
  };
}

/** One policy per urgency. An offer that expires at breach is over: nothing is left to escalate. */
function byUrgency(
  name: string,
  durations: Record<Urgency, Duration>,
  on_breach: Partial<Record<Urgency, Policy['on_breach']>> = {},
): Policy[] {
  return (Object.keys(durations) as Urgency[]).map(urgency =>
    policy(name, durations[urgency], {
      applies_to: { urgency },
      ...(on_breach[urgency] ? { on_breach: on_breach[urgency] } : {}),
      ...(on_breach[urgency] === 'expire_offer' ? { escalate: [] } : {}),
    }),
  );
}

const EXPIRES = { emergency: 'expire_offer', urgent: 'expire_offer', routine: 'expire_offer' } as const;

/** The table "Warnings, breach, escalation" of the contract on clocks. */
const POLICIES: readonly Policy[] = [
  ...byUrgency('acknowledge', { emergency: 'PT15M', urgent: 'PT2H', routine: workingDays(1) }, { emergency: 'expire_offer' }),
  ...byUrgency('respond', { emergency: 'PT1H', urgent: 'PT24H', routine: workingDays(3) }, EXPIRES),
  ...byUrgency(
    'inform',
    { emergency: 'PT15M', urgent: 'PT4H', routine: workingDays(2) },
    { urgent: 'resume_respond', routine: 'resume_respond' },
  ),
  ...byUrgency('waitlist_review', { emergency: 'PT1H', urgent: 'PT24H', routine: workingDays(5) }, EXPIRES),
  ...byUrgency('handover', { emergency: 'PT6H', urgent: 'PT48H', routine: workingDays(5) }),
  ...byUrgency('review', { emergency: 'PT72H', urgent: calendarDays(14), routine: calendarDays(30) }),
  ...byUrgency('unplaced_review', { emergency: 'PT15M', urgent: 'PT4H', routine: workingDays(1) }),
  policy('missing_person_check', 'PT1H'),
  policy('safety_ack', 'PT15M'),
  policy('deletion_confirmation', workingDays(10)),
  policy('follow_up', calendarDays(30)),
  policy('welfare_check', 'PT24H'),
  policy('ground_review', 'PT24H'),
];

/** What a jurisdiction uses until it has a pack of its own. */
export const illustrativePack = (jurisdiction: string): RulePack => ({
  jurisdiction,
  name: 'illustrative',
  version: 1,
  policies: POLICIES,
  lawful_grounds: {
    imminent_danger_to_life: AGENCY_KINDS,
    child_safeguarding: AGENCY_KINDS,
    mandatory_report: ['labour_inspection', 'police', 'prosecution'],
    court_order: ['labour_inspection', 'police', 'prosecution'],
  },
});

const FAST: Readonly<Record<string, Pick<Policy, 'duration' | 'on_breach'>>> = {
  acknowledge: { duration: 'PT2S' },
  respond: { duration: 'PT4S', on_breach: 'expire_offer' },
  inform: { duration: 'PT4S', on_breach: 'resume_respond' },
  handover: { duration: 'PT30S' },
  review: { duration: 'PT60S' },
  unplaced_review: { duration: 'PT4S' },
};

/** The demonstration's second jurisdiction: a night in seconds, the same for every urgency. */
export const fastPack = (jurisdiction: string): RulePack => {
  const pack = illustrativePack(jurisdiction);
  const source = 'demonstration: seconds instead of hours';
  const fast = Object.entries(FAST).map(([name, { duration, on_breach }]) =>
    policy(name, duration, {
      source,
      ...(on_breach ? { on_breach } : {}),
      ...(on_breach === 'expire_offer' ? { escalate: [] } : {}),
    }),
  );
  return { ...pack, name: 'demonstration-fast', policies: [...pack.policies.filter(({ name }) => !(name in FAST)), ...fast] };
};
