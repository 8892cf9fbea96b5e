import { findPolicy, type Policy, resumeSchedule, schedule } from '../core/clock.ts';
import type { AgencyKind, PauseCode, Service, Urgency } from '../core/codes.ts';
import type { TimerChange } from '../core/referral.ts';
import type { Tx } from '../platform/database.ts';
import { newId } from '../platform/ids.ts';
import type { RulePack } from '../rules/packs.ts';
import { insertTimers, saveTimer, type TimerRow } from './store.ts';

/**
 * What acts do to timers. Called inside an act's transaction, as the router or the clock: a timer belongs to no one agency.
 */

export interface TimerContext {
  pack: RulePack;
  now: Date;
  /** The timers of the referral that may still change, locked; those that start are added. */
  open: TimerRow[];
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
export function startTimers(tx: Tx, context: TimerContext, names: readonly string[]): Date | null {
  const facts = { service: context.service, urgency: context.urgency, agency_kind: context.receiver_kind };
  const running = context.open.filter(timer => standsIn(timer, context));
  const wanted = names.flatMap(name => {
    const policy = findPolicy(context.pack.policies, name, facts);
    return running.find(timer => timer.name === name) ?? (policy ? timerRow(context, name, policy) : []);
  });
  context.open.push(
    ...insertTimers(
      tx,
      wanted.filter(timer => !('version' in timer)),
    ),
  );
  return wanted.at(-1)?.due_at ?? null;
}

const standsIn = ({ name, state, subject_type, subject_id }: TimerRow, { offer_id }: TimerContext): boolean =>
  ONE_AT_A_TIME.includes(name) && state === 'running' && (subject_type === 'referral' || subject_id === offer_id);

function timerRow(context: TimerContext, name: string, policy: Policy) {
  const {
    pack,
    now,
    open: _open,
    service: _service,
    receiver_kind: _kind,
    coordinator_agency_id,
    due_at = null,
    ...columns
  } = context;
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
export function applyTimers(tx: Tx, context: TimerContext & { offer_id: string }, change: TimerChange): void {
  const { now } = context;
  for (const timer of context.open.filter(timer => timer.offer_id === context.offer_id && isOpen(timer))) {
    // The end of a service is no answer to whether a warning was read.
    if (change.meet === 'rest' && timer.name === 'safety_ack') setCancelled(tx, timer);
    else if (names(change.meet, timer)) setMet(tx, timer, now);
    else if (names(change.cancel, timer)) setCancelled(tx, timer);
    else if (names(change.pause, timer) && context.urgency !== 'emergency') {
      setPaused(tx, timer, { reason: 'information_requested', by_agency_id: context.receiver_agency_id }, now);
    } else if (names(change.resume, timer)) resumeAnswered(tx, timer, now);
  }
  if (change.start) startTimers(tx, context, change.start);
}

/** Whether it may still change. */
const isOpen = ({ state }: TimerRow): boolean => ['running', 'paused', 'breached'].includes(state);

/** `rest`: whatever else is under way; but a holder's duty to delete outlives its offer, and only it can say that it did. */
const names = (list: readonly string[] | 'rest' | undefined, timer: TimerRow): boolean =>
  list === 'rest' ? timer.name !== 'deletion_confirmation' : (list?.includes(timer.name) ?? false);

const NOT_PAUSED = { paused_at: null, pause_reason: null, paused_by_agency_id: null } as const;

/** A breached timer may still be met, late; what was breached stays told by `breached_at`. */
export const setMet = (tx: Tx, timer: TimerRow, now: Date): void =>
  saveTimer(tx, timer, { ...NOT_PAUSED, state: 'met', met_at: now, next_step_at: null, steps: [] });

/**
 * The holder says that it deleted what it no longer may know, late, too; or it may know it again, and the clock is over.
 * @param open the timers of the offer or of its referral, locked
 */
export function endDeletionTimers(
  tx: Tx,
  open: readonly TimerRow[],
  { offer_id, holder_id }: { offer_id: string; holder_id: string },
  end: 'meet' | 'cancel',
  now: Date,
): void {
  for (const timer of open) {
    if (timer.name !== 'deletion_confirmation' || timer.offer_id !== offer_id || !isOpen(timer)) continue;
    if (timer.responsible_agency_id !== holder_id) continue;
    if (end === 'meet') setMet(tx, timer, now);
    else setCancelled(tx, timer);
  }
}

/**
 * Over without being met; `breached_at` still tells a breach. The one that ended its offer stays `breached`: it is why. Not one
 * whose offer was kept open after an outage and ended otherwise.
 */
function setCancelled(tx: Tx, timer: TimerRow): void {
  const ended_offer =
    timer.state === 'breached' && timer.on_breach === 'expire_offer' && !timer.steps.some(({ kind }) => kind === 'expire');
  saveTimer(tx, timer, {
    ...NOT_PAUSED,
    ...(ended_offer ? {} : { state: 'cancelled' as const }),
    next_step_at: null,
    steps: [],
  });
}

/** One that rests already goes on resting, for the newer reason; without effect on one that does not run. */
export function setPaused(
  tx: Tx,
  timer: TimerRow,
  { reason, by_agency_id }: { reason: PauseCode; by_agency_id: string | null },
  now: Date,
): void {
  if (timer.state !== 'running' && timer.state !== 'paused') return;
  saveTimer(tx, timer, {
    state: 'paused',
    paused_at: timer.paused_at ?? now,
    pause_reason: reason,
    paused_by_agency_id: by_agency_id,
    next_step_at: null,
  });
}

/** Goes on with what was left; without effect on one that is not paused. */
export function setRunning(tx: Tx, timer: TimerRow, now: Date): void {
  if (timer.state !== 'paused' || !timer.paused_at) return;
  saveTimer(tx, timer, {
    ...NOT_PAUSED,
    ...resumeSchedule({ ...timer, paused_at: timer.paused_at }, now),
    state: 'running',
  });
}

/** Ends the lifecycle's own pause: a question was answered, or not in time. One that people made stays. */
export function resumeAnswered(tx: Tx, timer: TimerRow, now: Date): void {
  if (timer.pause_reason === 'information_requested') setRunning(tx, timer, now);
}

/**
 * Ends the timers of the referral itself that wait for it to be placed, or for anything at all.
 * @param open the timers of the referral, locked
 */
export function endReferralTimers(
  tx: Tx,
  open: readonly TimerRow[],
  now: Date,
  end: { meet?: readonly string[]; cancel?: readonly string[] | 'rest' },
): void {
  for (const timer of open.filter(timer => timer.subject_type === 'referral' && isOpen(timer))) {
    if (names(end.meet, timer)) setMet(tx, timer, now);
    else if (names(end.cancel, timer)) setCancelled(tx, timer);
  }
}
