import type { TimerStep } from './clock.ts';
import type { PauseCode, Urgency } from './codes.ts';
import { isWaivable } from './floor.ts';
import { type GuardedAct, LIFE_SAFETY } from './policy.ts';
import { Problem } from './problem.ts';

/** What people may do to a timer by hand, and when. Everything else that happens to one follows from acts and from time. */

export type TimerAction = 'pause' | 'resume' | 'meet' | 'waive' | 'acknowledge_escalation';

export interface TimerState {
  name: string;
  kind: 'deadline' | 'floor';
  state: 'running' | 'paused' | 'met' | 'breached' | 'cancelled';
  urgency: Urgency;
  due_at: Date;
  pause_reason: PauseCode | null;
  guards: readonly GuardedAct[] | null;
  calls: number;
  called_agency_ids: readonly string[] | null;
  acknowledged_at: Date | null;
}

/** A life may hang on them, or somebody else's right: they never rest. */
const NEVER_RESTS = [
  'safety_ack',
  'missing_person_check',
  'welfare_check',
  'deletion_confirmation',
  'ground_review',
  'immediate_needs',
  'authority_notification',
];

/** Duties that no step of the lifecycle meets: whoever is responsible says that they were done. */
const MET_BY_HAND = [
  'missing_person_check',
  'welfare_check',
  'follow_up',
  'safety_ack',
  'immediate_needs',
  'authority_notification',
  'stay_review',
];

/** Whether somebody was called, and nobody has acknowledged it yet. */
export const isCalling = ({ called_agency_ids, acknowledged_at }: Pick<TimerState, 'called_agency_ids' | 'acknowledged_at'>) =>
  called_agency_ids !== null && acknowledged_at === null;

/**
 * Whether the steps that fall due are a reason to call somebody on duty: the first rung of the ladder that a timer reaches on
 * which a life may hang, and what repeats that call. However many fell due together, it is one call.
 */
export const callsNow = ({ name, urgency, calls }: TimerState, due: readonly Pick<TimerStep, 'kind'>[]): boolean =>
  due.some(({ kind }) => kind === 'call') ||
  (calls === 0 && (urgency === 'emergency' || LIFE_SAFETY.includes(name)) && due.some(({ kind }) => kind === 'escalate'));

/** Whether meeting a timer of this name starts the next. */
export const recurs = (name: string): boolean => name === 'follow_up' || name === 'stay_review';

const ALLOWS: Readonly<Record<TimerAction, (timer: TimerState, now: Date) => boolean>> = {
  // One that has fallen due is over, though no sweep has said so yet.
  pause: ({ name, kind, state, urgency, due_at }, now) =>
    state === 'running' && kind === 'deadline' && urgency !== 'emergency' && !NEVER_RESTS.includes(name) && due_at > now,
  // A pause of the lifecycle ends when the question is answered, or not answered in time.
  resume: ({ state, pause_reason }) => state === 'paused' && pause_reason !== 'information_requested',
  // What was done while it rests was done.
  meet: ({ name, state }) => MET_BY_HAND.includes(name) && ['running', 'paused', 'breached'].includes(state),
  waive: ({ kind, guards, state, due_at }, now) => isWaivable({ kind, guards }) && state === 'running' && due_at > now,
  acknowledge_escalation: isCalling,
};

/** Of what the caller `may` do to timers at all, what this one allows now. */
export const allowedTimerActions = (timer: TimerState, may: readonly TimerAction[], now: Date): TimerAction[] =>
  may.filter(action => ALLOWS[action](timer, now));

/** @throws Problem `wrong_state`, with `state` and what is allowed instead */
export function requireTimerAction(action: TimerAction, timer: TimerState, may: readonly TimerAction[], now: Date): void {
  if (ALLOWS[action](timer, now)) return;
  throw new Problem('wrong_state', {
    members: { state: timer.state, allowed_actions: allowedTimerActions(timer, may, now) },
  });
}
