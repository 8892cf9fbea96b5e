import { TIME_LINE } from '../core/calendar.ts';
import { resumeSchedule, schedule } from '../core/clock.ts';
import type { AgencyKind, PauseCode, Service, Stage, Urgency } from '../core/codes.ts';
import { findPolicy, type Policy } from '../core/policy.ts';
import type { TimerChange } from '../core/referral.ts';
import type { PackInForce } from '../core/rule-pack.ts';
import type { Tx } from '../platform/database.ts';
import { newId } from '../platform/ids.ts';
import type { Calendars, CurrentCalendar } from '../rules/calendars/store.ts';
import { insertTimers, saveTimer, type TimerRow } from './store.ts';

/**
 * What acts do to timers. Called inside an act's transaction, as the router or the clock: a timer belongs to no one agency.
 */

export interface TimerContext {
  pack: PackInForce;
  calendars: Calendars;
  now: Date;
  /** From when the timers that start count, where that is not now. */
  started_at?: Date;
  /** The timers of the referral that may still change, locked; those that start are added. */
  open: TimerRow[];
  /** Null of a request for an expert. */
  case_id: string | null;
  expert_request_id?: string;
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
  stage?: Stage;
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
  screening: 'owner',
  immediate_needs: 'owner',
  authority_notification: 'owner',
  // Of a case the authority that decides on it stands where a receiver does.
  reasonable_grounds_decision: 'receiver',
  recovery_period: 'receiver',
  conclusive_decision: 'receiver',
  reconsideration_window: 'owner',
  stay_review: 'owner',
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
const OF_CASE = [
  'welfare_check',
  'screening',
  'immediate_needs',
  'authority_notification',
  'reasonable_grounds_decision',
  'recovery_period',
  'conclusive_decision',
  'reconsideration_window',
  'stay_review',
];
/** While one runs, another is not started: the earlier one stands. One that was breached does not stand in for a new one. */
const ONE_AT_A_TIME = ['safety_ack', 'missing_person_check'];

/**
 * Starts the timers of these names, each under the most specific policy of the pack; one without a policy is not kept.
 * @returns when the last of them falls due
 */
export async function startTimers(tx: Tx, context: TimerContext, names: readonly string[]): Promise<Date | null> {
  const { service, urgency, stage, receiver_kind: agency_kind } = context;
  const running = context.open.filter(timer => standsIn(timer, context));
  let due_at: Date | null = null;
  for (const name of names) {
    const stands = running.find(timer => timer.name === name);
    const policy = findPolicy(context.pack.policies, name, { service, urgency, agency_kind, stage });
    if (stands) due_at = stands.due_at;
    else if (policy) {
      const [timer] = insertTimers(tx, [await timerRow(tx, context, name, policy)]);
      context.open.push(timer!);
      due_at = timer!.due_at;
    }
  }
  return due_at;
}

const standsIn = ({ name, state, subject_type, subject_id }: TimerRow, { offer_id }: TimerContext): boolean =>
  ONE_AT_A_TIME.includes(name) && state === 'running' && (subject_type === 'referral' || subject_id === offer_id);

async function timerRow(tx: Tx, context: TimerContext, name: string, policy: Policy) {
  const {
    pack,
    calendars,
    now,
    started_at = now,
    open: _open,
    service: _service,
    stage: _stage,
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
  const { expert_request_id = null } = context;
  const [subject_type, subject_id] = expert_request_id
    ? (['expert_request', expert_request_id] as const)
    : OF_CASE.includes(name)
      ? (['case', context.case_id!] as const)
      : OF_REFERRAL.includes(name)
        ? (['referral', context.referral_id!] as const)
        : (['offer', context.offer_id!] as const);
  const responsible_agency_id = responsible[partyResponsible(name)] ?? context.owner_agency_id;
  const calendar = due_at ? null : await calendarOf(tx, { pack, calendars, responsible_agency_id }, policy);
  return {
    ...columns,
    ...schedule(policy, started_at, calendar?.compiled ?? TIME_LINE, due_at),
    calendar_id: calendar?.id ?? null,
    calendar_version: calendar?.version ?? null,
    id: newId('tmr'),
    name,
    kind: policy.kind,
    guards: policy.guards ? [...policy.guards] : null,
    subject_type,
    subject_id,
    expert_request_id,
    ...(subject_type === 'offer' || subject_type === 'expert_request'
      ? {}
      : { offer_id: null, receiver_agency_id: null, location_protected: false }),
    responsible_agency_id,
    on_breach: policy.on_breach?.[0] ?? null,
    rule: { pack: pack.name, version: pack.version, source: policy.source },
  };
}

/** Along which a policy is reckoned; null for `elapsed`, which looks at none. */
async function calendarOf(
  tx: Tx,
  { pack, calendars, responsible_agency_id }: Pick<TimerContext, 'pack' | 'calendars'> & { responsible_agency_id: string },
  { clock, calendar }: Policy,
): Promise<CurrentCalendar | null> {
  if (clock === 'elapsed') return null;
  return calendar === 'responsible_agency'
    ? calendars.getOfAgency(tx, responsible_agency_id, pack.calendar_id)
    : calendars.get(tx, pack.calendar_id);
}

/** Does to the timers of one offer what the lifecycle table says. */
export async function applyTimers(tx: Tx, context: TimerContext & { offer_id: string }, change: TimerChange): Promise<void> {
  const { calendars, now } = context;
  for (const timer of context.open.filter(timer => timer.offer_id === context.offer_id && isOpen(timer))) {
    // The end of a service is no answer to whether a warning was read.
    if (change.meet === 'rest' && timer.name === 'safety_ack') setCancelled(tx, timer);
    else if (names(change.meet, timer)) setMet(tx, timer, now);
    else if (names(change.cancel, timer)) setCancelled(tx, timer);
    else if (names(change.pause, timer) && context.urgency !== 'emergency') {
      setPaused(tx, timer, { reason: 'information_requested', by_agency_id: context.receiver_agency_id }, now);
    } else if (names(change.resume, timer)) await resumeAnswered(tx, calendars, timer, now);
  }
  if (change.start) await startTimers(tx, context, change.start);
}

/** Whether it may still change. */
export const isOpen = ({ state }: TimerRow): boolean => ['running', 'paused', 'breached'].includes(state);

/** `rest`: whatever else is under way; but a holder's duty to delete outlives its offer, and only it can say that it did. */
const names = (list: readonly string[] | 'rest' | undefined, timer: TimerRow): boolean =>
  list === 'rest' ? timer.name !== 'deletion_confirmation' : (list?.includes(timer.name) ?? false);

const NOT_PAUSED = { paused_at: null, pause_reason: null, paused_by_agency_id: null } as const;
/** Over: whoever was called needs to see it no longer. */
const NOBODY_CALLED = { called_agency_ids: null } as const;

/** A breached timer may still be met, late; what was breached stays told by `breached_at`. */
export const setMet = (tx: Tx, timer: TimerRow, now: Date): void =>
  saveTimer(tx, timer, { ...NOT_PAUSED, ...NOBODY_CALLED, state: 'met', met_at: now, next_step_at: null, steps: [] });

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
export function setCancelled(tx: Tx, timer: TimerRow): void {
  const ended_offer =
    timer.state === 'breached' && timer.on_breach === 'expire_offer' && !timer.steps.some(({ kind }) => kind === 'expire');
  saveTimer(tx, timer, {
    ...NOT_PAUSED,
    ...NOBODY_CALLED,
    ...(ended_offer ? {} : { state: 'cancelled' as const }),
    next_step_at: null,
    steps: [],
  });
}

/** The person asked for what a floor guards sooner than it would have been. */
export const setWaived = (tx: Tx, timer: TimerRow, now: Date): void =>
  saveTimer(tx, timer, { state: 'cancelled', waived_at: now, next_step_at: null, steps: [] });

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

/** Goes on with what was left, along its calendar as it now stands; without effect on one that is not paused. */
export async function setRunning(tx: Tx, calendars: Calendars, timer: TimerRow, now: Date): Promise<void> {
  const { state, paused_at, calendar_id } = timer;
  if (state !== 'paused' || !paused_at) return;
  const calendar = calendar_id === null ? null : await calendars.get(tx, calendar_id);
  saveTimer(tx, timer, {
    ...NOT_PAUSED,
    ...resumeSchedule({ ...timer, paused_at }, calendar?.compiled ?? TIME_LINE, now),
    calendar_version: calendar?.version ?? null,
    state: 'running',
  });
}

/** Ends the lifecycle's own pause: a question was answered, or not in time. One that people made stays. */
export async function resumeAnswered(tx: Tx, calendars: Calendars, timer: TimerRow, now: Date): Promise<void> {
  if (timer.pause_reason === 'information_requested') await setRunning(tx, calendars, timer, now);
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
