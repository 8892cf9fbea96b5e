import type { AgencyKind, Service, Stage, Urgency } from './codes.ts';
import type { ClockRule } from './reckoning.ts';

/** The rules of a jurisdiction's clocks ("Deadlines and floors", section "Warnings, breach, escalation"), as its pack states them. */

export const TIMER_KINDS = ['deadline', 'floor'] as const;

/** What a breach does beside being told. */
export const BREACH_EFFECTS = ['expire_offer', 'resume_respond'] as const;
export type BreachEffect = (typeof BREACH_EFFECTS)[number];

export const ESCALATION_TARGETS = ['responsible', 'supervisor', 'coordinator'] as const;
export type EscalationTarget = (typeof ESCALATION_TARGETS)[number];

/**
 * What a floor may guard: a decision on conclusive grounds, of either outcome; the end of a service because of what was decided;
 * the end of the case for that reason.
 */
export const GUARDED_ACTS = ['conclusive_grounds', 'end_service', 'close_case'] as const;
export type GuardedAct = (typeof GUARDED_ACTS)[number];

/** The clocks of a referral: a jurisdiction without one of them for an urgency would not keep that timer at all. */
export const REFERRAL_TIMERS = [
  'acknowledge',
  'respond',
  'inform',
  'waitlist_review',
  'handover',
  'review',
  'unplaced_review',
  'missing_person_check',
  'safety_ack',
  'deletion_confirmation',
  'follow_up',
  'welfare_check',
  'ground_review',
] as const;

/** The clocks of a case's way through the stages, of which a jurisdiction keeps those that it knows. */
export const CASE_TIMERS = [
  'safe_callback',
  'screening',
  'immediate_needs',
  'reasonable_grounds_decision',
  'recovery_period',
  'conclusive_decision',
  'reconsideration_window',
  'authority_notification',
  'stay_review',
] as const;

/** A life hangs on them, whatever the urgency. */
export const LIFE_SAFETY: readonly string[] = ['safety_ack', 'missing_person_check'] satisfies (typeof REFERRAL_TIMERS)[number][];

export const TIMER_NAMES = [...REFERRAL_TIMERS, ...CASE_TIMERS] as const;
export type TimerName = (typeof TIMER_NAMES)[number];

/** Whose calendar a clock follows; an agency without one has that of the jurisdiction. */
export const WHOSE_CALENDAR = ['responsible_agency', 'jurisdiction'] as const;

export interface Policy extends ClockRule {
  name: string;
  /** The most specific policy that fits wins. */
  applies_to: { service?: Service; urgency?: Urgency; agency_kind?: AgencyKind; stage?: Stage };
  kind: (typeof TIMER_KINDS)[number];
  calendar: (typeof WHOSE_CALENDAR)[number];
  /** Percent of the span from start to due; of a floor none. */
  warn_at: readonly string[];
  /** At most one, and none of a floor. */
  on_breach?: readonly BreachEffect[];
  /** Percent of the span beyond due; of a floor none. */
  escalate: readonly { after: string; to: EscalationTarget }[];
  /** Of a floor. */
  guards?: readonly GuardedAct[];
  /** Where the number comes from, or that it is illustrative. */
  source: string;
}

/** What a policy is chosen by. */
export interface TimerFacts {
  service?: Service;
  urgency?: Urgency;
  agency_kind?: AgencyKind;
  stage?: Stage;
}

/** The most specific of the policies called `name` that fit the facts. */
export function findPolicy(policies: readonly Policy[], name: string, facts: TimerFacts): Policy | undefined {
  const fits = (policy: Policy) =>
    policy.name === name && Object.entries(policy.applies_to).every(([fact, value]) => facts[fact as keyof TimerFacts] === value);
  return policies.filter(fits).sort((a, b) => Object.keys(b.applies_to).length - Object.keys(a.applies_to).length)[0];
}
