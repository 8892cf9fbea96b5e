import { findPolicy, type Policy, resumeSchedule, schedule } from '../core/clock.ts';
import type { AgencyKind, PauseCode, Service, Urgency } from '../core/codes.ts';
import type { TimerChange } from '../core/referral.ts';
import type { Tx } from '../platform/database.ts';
import { newId } from '../platform/ids.ts';
import type { RulePack } from '../rules/packs.ts';
import { insertTimers, lockOpenTimers, saveTimer, type TimerRow } from './store.ts';

/**
 * What acts do to timers. Called inside an act's transaction, as the router or the clock: a timer belongs to no one agency.
 */

export interface TimerContext {
  pack: RulePack;
  now: Date;
  case_id: string;
  referral_id: string | null;
  offer_id: string | null;
  owner_agency_id: string;
  sender_agency_id: string | null;
  receiver_agency_id: string | null;
  receiver_kind?: AgencyKind;
  /** The coordination committee's; where a jurisdiction has none, its duties fall to the owner. */
  coordinator_agency_id: string | null;
  location_protected: boolean;
  jurisdiction: string;
  service?: Service;
  urgency: Urgency;
  /** When the timers that start fall due, where the act names it. */
  due_at?: Date | null;
}

export type Responsible = 'owner' | 'sender' | 'receiver' | 'coordinator';

const RESPONSIBLE: Readonly<Record<string, Responsible>> = {
  acknowledge: 'receiver',
  respond: 'receiver',
  inform: 'sender',
  waitlist_review: 'receiver',
  handover: 'receiver',
  review: 'receiver',
  missing_person_check: 'sender',
  follow_up: 'owner',
  unplaced_review: 'coordinator',
  deletion_confirmation: 'receiver',
  welfare_check: 'owner',
  ground_review: 'sender',
  safety_ack: 'receiver',
};

/** Whose duty a timer of this name is. */
export const partyResponsible = (name: string): Responsible => RESPONSIBLE[name] ?? 'owner';

/** Duties that go over with the case; the coordinator's too, where they fell to the owner. */
export const OWNER_DUTIES: readonly string[] = Object.entries(RESPONSIBLE)
  .filter(([, who]) => who === 'owner' || who === 'coordinator')
  .map(([name]) => name);

/** Timers of the referral as a whole, or of the case; every other is the offer's. */
const OF_REFERRAL = ['missing_person_check', 'follow_up', 'unplaced_review', 'ground_review'];

/** Those of them that are over when the referral is; whether somebody is missing does not depend on it. */
export const REFERRAL_CLOCKS = ['unplaced_review'] as const;
const OF_CASE = ['welfare_check'];
/** While one runs, another is not started: the earlier one stands. One that was breached does not stand in for a new one. */
const ONE_AT_A_TIME = ['safety_ack', 'missing_person_check'];

/**
 * Starts the timers of these names, each under the most specific policy of the pack; one without a policy is not kept.
 * @returns when the last of them falls due
 */
export async function startTimers(tx: Tx, context: TimerContext, names: readonly string[]): Promise<Date | null> {
  const facts = { service: context.service, urgency: context.urgency, agency_kind: context.receiver_kind };
  const open = await listOpenOnes(tx, context, names);
  const timers = names.flatMap(name => {
    const policy = findPolicy(context.pack.policies, name, facts);
    const running = open.find(timer => timer.name === name);
    return running ?? (policy ? timerRow(context, name, policy) : []);
  });
  await insertTimers(
    tx,
    timers.filter(timer => !('version' in timer)),
  );
  return timers.at(-1)?.due_at ?? null;
}

async function listOpenOnes(tx: Tx, { offer_id, referral_id }: TimerContext, names: readonly string[]): Promise<TimerRow[]> {
  if (referral_id === null || !names.some(name => ONE_AT_A_TIME.includes(name))) return [];
  const open = await lockOpenTimers(tx, { referral_id });
  return open.filter(
    ({ name, state, subject_type, subject_id }) =>
      ONE_AT_A_TIME.includes(name) && state === 'running' && (subject_type === 'referral' || subject_id === offer_id),
  );
}

function timerRow(context: TimerContext, name: string, policy: Policy) {
  const { pack, now, service: _service, receiver_kind: _kind, coordinator_agency_id, due_at = null, ...columns } = context;
  const responsible: Record<Responsible, string | null> = {
    owner: context.owner_agency_id,
    sender: context.sender_agency_id,
    receiver: context.receiver_agency_id,
    coordinator: coordinator_agency_id,
  };
  const [subject_type, subject_id] = OF_CASE.includes(name)
    ? (['case', context.case_id] as const)
    : OF_REFERRAL.includes(name)
      ? (['referral', context.referral_id!] as const)
      : (['offer', context.offer_id!] as const);
  return {
    ...columns,
    ...schedule(policy, now, pack.time_zone, due_at),
    time_zone: pack.time_zone,
    count_first_day: policy.count_first_day ?? false,
    id: newId('tmr'),
    name,
    kind: policy.kind,
    subject_type,
    subject_id,
    ...(subject_type === 'offer' ? {} : { offer_id: null, receiver_agency_id: null, location_protected: false }),
    responsible_agency_id: responsible[partyResponsible(name)] ?? context.owner_agency_id,
    on_breach: policy.on_breach?.[0] ?? null,
    rule: {
      pack: pack.name,
      version: pack.version,
      source: policy.stands_for ? `${policy.source}; stands for ${policy.stands_for}` : policy.source,
    },
  };
}

/** Does to the timers of one offer what the lifecycle table says. */
export async function applyTimers(tx: Tx, context: TimerContext & { offer_id: string }, change: TimerChange): Promise<void> {
  const open = await lockOpenTimers(tx, { offer_id: context.offer_id });
  for (const timer of open) {
    // The end of a service is no answer to whether a warning was read.
    if (change.meet === 'rest' && timer.name === 'safety_ack') await setCancelled(tx, timer);
    else if (names(change.meet, timer)) await setMet(tx, timer, context.now);
    else if (names(change.cancel, timer)) await setCancelled(tx, timer);
    else if (names(change.pause, timer) && context.urgency !== 'emergency') {
      await setPaused(tx, timer, { reason: 'information_requested', by_agency_id: context.receiver_agency_id }, context.now);
    } else if (names(change.resume, timer)) await resumeAnswered(tx, timer, context.now);
  }
  if (change.start) await startTimers(tx, context, change.start);
}

/** `rest`: whatever else is under way; but a holder's duty to delete outlives its offer, and only it can say that it did. */
const names = (list: readonly string[] | 'rest' | undefined, timer: TimerRow): boolean =>
  list === 'rest' ? timer.name !== 'deletion_confirmation' : (list?.includes(timer.name) ?? false);

const NOT_PAUSED = { paused_at: null, pause_reason: null, paused_by_agency_id: null } as const;

/** A breached timer may still be met, late; what was breached stays told by `breached_at`. */
export const setMet = (tx: Tx, timer: TimerRow, now: Date): Promise<void> =>
  saveTimer(tx, timer.id, { ...NOT_PAUSED, state: 'met', met_at: now, next_step_at: null, steps: [] });

/** The holder says that it deleted what it no longer may know, late, too; or it may know it again, and the clock is over. */
export async function endDeletionTimers(
  tx: Tx,
  { offer_id, holder_id }: { offer_id: string; holder_id: string },
  end: 'meet' | 'cancel',
  now: Date,
): Promise<void> {
  for (const timer of await lockOpenTimers(tx, { offer_id })) {
    if (timer.name !== 'deletion_confirmation' || timer.responsible_agency_id !== holder_id) continue;
    await (end === 'meet' ? setMet(tx, timer, now) : setCancelled(tx, timer));
  }
}

/**
 * Over without being met; `breached_at` still tells a breach. The one that ended its offer stays `breached`: it is why. Not one
 * whose offer was kept open after an outage and ended otherwise.
 */
const setCancelled = (tx: Tx, timer: TimerRow): Promise<void> => {
  const ended_offer =
    timer.state === 'breached' && timer.on_breach === 'expire_offer' && !timer.steps.some(({ kind }) => kind === 'expire');
  return saveTimer(tx, timer.id, {
    ...NOT_PAUSED,
    ...(ended_offer ? {} : { state: 'cancelled' as const }),
    next_step_at: null,
    steps: [],
  });
};

/** One that rests already goes on resting, for the newer reason; without effect on one that does not run. */
export async function setPaused(
  tx: Tx,
  timer: TimerRow,
  { reason, by_agency_id }: { reason: PauseCode; by_agency_id: string | null },
  now: Date,
): Promise<void> {
  if (timer.state !== 'running' && timer.state !== 'paused') return;
  await saveTimer(tx, timer.id, {
    state: 'paused',
    paused_at: timer.paused_at ?? now,
    pause_reason: reason,
    paused_by_agency_id: by_agency_id,
    next_step_at: null,
  });
}

/** Goes on with what was left. @returns the timer as it then is; without effect on one that is not paused */
export async function setRunning(tx: Tx, timer: TimerRow, now: Date): Promise<TimerRow> {
  if (timer.state !== 'paused' || !timer.paused_at) return timer;
  const change = { ...NOT_PAUSED, ...resumeSchedule({ ...timer, paused_at: timer.paused_at }, now), state: 'running' as const };
  await saveTimer(tx, timer.id, change);
  return { ...timer, ...change };
}

/** Ends the lifecycle's own pause: a question was answered, or not in time. One that people made stays. */
export async function resumeAnswered(tx: Tx, timer: TimerRow, now: Date): Promise<void> {
  if (timer.pause_reason === 'information_requested') await setRunning(tx, timer, now);
}

/** Ends the timers of the referral itself that wait for it to be placed, or for anything at all. */
export async function endReferralTimers(
  tx: Tx,
  referral_id: string,
  now: Date,
  end: { meet?: readonly string[]; cancel?: readonly string[] | 'rest' },
): Promise<void> {
  const open = await lockOpenTimers(tx, { referral_id });
  for (const timer of open.filter(timer => timer.subject_type === 'referral')) {
    if (names(end.meet, timer)) await setMet(tx, timer, now);
    else if (names(end.cancel, timer)) await setCancelled(tx, timer);
  }
}
