import { AGENCY_KINDS, type AgencyKind, type LawfulGround, type Urgency } from '../core/codes.ts';
import type { BreachEffect, Policy } from '../core/policy.ts';
import { countOf, durationMs } from '../core/reckoning.ts';

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
  /** Along which its clocks count, where an agency has no calendar of its own. */
  calendar_id: string;
  /** ISO 8601: how long the service has to run again before an offer expires that fell due while it was down. */
  outage_grace: string;
  /** Which agency kinds may refer on which ground. */
  lawful_grounds: Readonly<Record<LawfulGround, readonly AgencyKind[]>>;
}

const ILLUSTRATIVE = 'illustrative default';
/** Sunday to Thursday, 08:00 to 15:00 in Cairo: it stands in every database. */
export const ILLUSTRATIVE_CALENDAR_ID = 'cal_01m81yca3jft0a311ybja33ag8';

type Duration = string | Partial<Policy>;

const workingDays = (count: number): Duration => ({
  clock: 'working_days',
  calendar: 'responsible_agency',
  duration: `P${count}D`,
});
const calendarDays = (count: number): Duration => ({ clock: 'calendar_days', duration: `P${count}D` });

const LADDER: Policy['escalate'] = [
  { after: '0%', to: 'responsible' },
  { after: '25%', to: 'supervisor' },
  { after: '100%', to: 'coordinator' },
];

function policy(name: string, duration: Duration, more: Partial<Policy> = {}): Policy {
  return {
    name,
    applies_to: {},
    kind: 'deadline',
    clock: 'elapsed',
    duration: '',
    calendar: 'jurisdiction',
    warn_at: ['50%', '80%'],
    escalate: LADDER,
    source: ILLUSTRATIVE,
    ...(typeof duration === 'string' ? { duration } : duration),
    ...more,
  };
}

/** An offer that expires at breach is over: nothing is left to escalate. */
const atBreach = (effect: BreachEffect | undefined): Partial<Policy> =>
  effect ? { on_breach: [effect], ...(effect === 'expire_offer' ? { escalate: [] } : {}) } : {};

/** One policy per urgency. */
function byUrgency(
  name: string,
  durations: Record<Urgency, Duration>,
  on_breach: Partial<Record<Urgency, BreachEffect>> = {},
): Policy[] {
  return (Object.keys(durations) as Urgency[]).map(urgency =>
    policy(name, durations[urgency], {
      applies_to: { urgency },
      ...atBreach(on_breach[urgency]),
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
  policy('ground_review', 'PT24H'),
  policy('missing_person_check', 'PT1H'),
  policy('safety_ack', 'PT15M'),
  // An emergency's clocks never follow a calendar.
  ...byUrgency('deletion_confirmation', { emergency: 'P10D', urgent: workingDays(10), routine: workingDays(10) }),
  ...byUrgency('follow_up', {
    emergency: 'P30D',
    urgent: calendarDays(30),
    routine: calendarDays(30),
  }),
  policy('welfare_check', 'PT24H'),
];

/** What a jurisdiction uses until it has a pack of its own. */
export const illustrativePack = (jurisdiction: string): RulePack => ({
  jurisdiction,
  name: 'illustrative',
  version: 1,
  policies: POLICIES,
  calendar_id: ILLUSTRATIVE_CALENDAR_ID,
  outage_grace: 'PT10M',
  lawful_grounds: {
    imminent_danger_to_life: AGENCY_KINDS,
    child_safeguarding: AGENCY_KINDS,
    mandatory_report: ['labour_inspection', 'police', 'prosecution'],
    court_order: ['labour_inspection', 'police', 'prosecution'],
  },
});

const FAST: Readonly<Record<string, { duration: string; on_breach?: BreachEffect }>> = {
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
    policy(name, duration, { source, ...atBreach(on_breach) }),
  );
  return {
    ...pack,
    name: 'demonstration-fast',
    outage_grace: 'PT0S',
    policies: [...pack.policies.filter(({ name }) => !(name in FAST)), ...fast],
  };
};

/**
 * Refuses a pack that the clocks could not run under. A policy that fits emergencies must be `elapsed`: those never stretch.
 * @throws RangeError
 */
export function requireSoundClocks({ policies, outage_grace }: RulePack): void {
  durationMs(outage_grace);
  for (const { name, clock, duration, applies_to, on_breach = [] } of policies) {
    if (clock === 'elapsed' || clock === 'working_time') durationMs(duration);
    else countOf({ clock, duration });
    if (clock !== 'elapsed' && (applies_to.urgency ?? 'emergency') === 'emergency')
      throw new RangeError(`${name}: a clock of an emergency is elapsed`);
    if (on_breach.length > 1) throw new RangeError(`${name}: a breach has one effect`);
  }
}
