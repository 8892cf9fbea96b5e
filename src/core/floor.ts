import type { GuardedAct } from './policy.ts';
import { Problem } from './problem.ts';

/**
 * Floors: what may not be done before a protected period is over. Time decides, not whether a sweep has seen it. What protects the
 * person is never guarded, nor what the person does. Pure.
 */

export interface Floor {
  kind: 'deadline' | 'floor';
  /** One that was cancelled, as where the person asked for it sooner, guards nothing. */
  state: 'running' | 'paused' | 'met' | 'breached' | 'cancelled';
  due_at: Date;
  guards: readonly GuardedAct[] | null;
}

/** The last of those floors that `act` has to wait for. */
export const floorBefore = <T extends Floor>(act: GuardedAct, floors: readonly T[], now: Date): T | undefined =>
  floors
    .filter(
      ({ kind, state, due_at, guards }) => kind === 'floor' && state !== 'cancelled' && due_at > now && guards?.includes(act),
    )
    .sort((a, b) => b.due_at.getTime() - a.due_at.getTime())[0];

/** @throws Problem `too_early`, with `due_at` */
export function requireReached(act: GuardedAct, floors: readonly Floor[], now: Date): void {
  const floor = floorBefore(act, floors, now);
  if (floor) throw new Problem('too_early', { members: { due_at: floor.due_at.toISOString() } });
}

/** The coded reasons by which a service or a case ends because of what was decided; whatever the person does is none of them. */
const ENDS_SERVICE = { fail: 'service_ended', complete: 'not_applicable' } as const;
const ENDS_CASE = 'not_identified';

/** Which guarded act it is to do this to a referral; undefined for what is never guarded. */
export const guardedEnd = (verb: 'fail' | 'complete', code: string): GuardedAct | undefined =>
  ENDS_SERVICE[verb] === code ? 'end_service' : undefined;

/** The same of closing a case. */
export const guardedClose = (reason_code: string): GuardedAct | undefined =>
  reason_code === ENDS_CASE ? 'close_case' : undefined;

/**
 * Whether the person may have this floor ended sooner: the days of rest, which are the person's own. The days after a negative
 * decision keep others from ending a service, and nobody is asked to give that up.
 */
export const isWaivable = ({ kind, guards }: Pick<Floor, 'kind' | 'guards'>): boolean =>
  kind === 'floor' && guards?.join() === 'conclusive_grounds';
