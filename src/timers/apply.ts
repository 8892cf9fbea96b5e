import { findPolicy, type Policy, resumeSchedule, schedule } from '../core/clock.ts';
import type { AgencyKind, Service, Urgency } from '../core/codes.ts';
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

type Responsible = 'owner' | 'sender' | 'receiver' | 'coordinator';

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
};

/** Timers of the referral as a whole, or of the case; every other is the offer's. */
const OF_REFERRAL = ['missing_person_check', 'follow_up', 'unplaced_review'];

/** Those of them that are over when the referral is. */
export const REFERRAL_CLOCKS = ['missing_person_check', 'unplaced_review'] as const;
const OF_CASE = ['welfare_check'];

/**
 * Starts the timers of these names, each under the most specific policy of the pack; one without a policy is not kept.
 * @returns when the last of them falls due
 */
export async function startTimers(tx: Tx, context: TimerContext, names: readonly string[]): Promise<Date | null> {
  const facts = { service: context.service, urgency: context.urgency, agency_kind: context.receiver_kind };
  const timers = names.flatMap(name => {
    const policy = findPolicy(context.pack.policies, name, facts);
    return policy ? [timerRow(context, name, policy)] : [];
  });
  await insertTimers(tx, timers);
  return timers.at(-1)?.due_at ?? null;
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
    ...schedule(policy, now, due_at),
    id: newId('tmr'),
    name,
    kind: policy.kind,
    clock: policy.clock,
    subject_type,
    subject_id,
    ...(subject_type === 'offer' ? {} : { offer_id: null, receiver_agency_id: null, location_protected: false }),
    responsible_agency_id: responsible[RESPONSIBLE[name]!] ?? context.owner_agency_id,
    on_breach: policy.on_breach ?? null,
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
    if (names(change.meet, timer)) await meetTimer(tx, timer, context.now);
    else if (names(change.cancel, timer)) await cancelTimer(tx, timer);
    else if (names(change.pause, timer) && context.urgency !== 'emergency') await pauseTimer(tx, timer, context.now);
    else if (names(change.resume, timer)) await resumeTimer(tx, timer, context.now);
  }
  if (change.start) await startTimers(tx, context, change.start);
}

/** `rest`: whatever else is under way; but a holder's duty to delete outlives its offer, and only it can say that it did. */
const names = (list: readonly string[] | 'rest' | undefined, timer: TimerRow): boolean =>
  list === 'rest' ? timer.name !== 'deletion_confirmation' : (list?.includes(timer.name) ?? false);

/** A breached timer may still be met, late; what was breached stays told by `breached_at`. */
const meetTimer = (tx: Tx, timer: TimerRow, now: Date): Promise<void> =>
  saveTimer(tx, timer.id, { state: 'met', met_at: now, next_step_at: null, steps: [] });

/** The holder says that it deleted what it no longer may know; late, too. */
export async function meetDeletionTimers(tx: Tx, offer_id: string, holder_id: string, now: Date): Promise<void> {
  const open = await lockOpenTimers(tx, { offer_id });
  for (const timer of open) {
    if (timer.name === 'deletion_confirmation' && timer.responsible_agency_id === holder_id) await meetTimer(tx, timer, now);
  }
}

/** Over without being met; `breached_at` still tells a breach. The one that ended its offer stays `breached`: it is why. */
const cancelTimer = (tx: Tx, timer: TimerRow): Promise<void> =>
  saveTimer(tx, timer.id, {
    ...(timer.state === 'breached' && timer.on_breach === 'expire_offer' ? {} : { state: 'cancelled' as const }),
    next_step_at: null,
    steps: [],
  });

async function pauseTimer(tx: Tx, timer: TimerRow, now: Date): Promise<void> {
  if (timer.state !== 'running') return;
  await saveTimer(tx, timer.id, { state: 'paused', paused_at: now, next_step_at: null });
}

/** Goes on with what was left; without effect on a timer that is not paused. */
export async function resumeTimer(tx: Tx, timer: TimerRow, now: Date): Promise<void> {
  if (timer.state !== 'paused' || !timer.paused_at) return;
  await saveTimer(tx, timer.id, {
    ...resumeSchedule({ ...timer, paused_at: timer.paused_at }, now),
    state: 'running',
    paused_at: null,
  });
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
    if (names(end.meet, timer)) await meetTimer(tx, timer, now);
    else if (names(end.cancel, timer)) await cancelTimer(tx, timer);
  }
}
