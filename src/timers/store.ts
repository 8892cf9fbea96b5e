import { type Selectable, sql } from 'kysely';
import type { TimerStep } from '../core/clock.ts';
import type { Tx } from '../platform/database.ts';
import { gatheredRows } from '../platform/gather.ts';
import type { TimerTable } from '../platform/tables.ts';

export type TimerRow = Selectable<TimerTable>;

/** What a timer is about in the end: its case, or a request that is of none. Those of one matter fire one after another. */
export const matterOf = ({ case_id, subject_id }: Pick<TimerRow, 'case_id' | 'subject_id'>): string => case_id ?? subject_id;

/** What of a timer is not the same for every new one. */
type NewTimer = Omit<TimerRow, keyof typeof BEGINS>;

const BEGINS = {
  state: 'running',
  version: 1,
  forgotten: false,
  escalation_level: 0,
  paused_at: null,
  pause_reason: null,
  paused_by_agency_id: null,
  pauses: [] as { from: string; to: string }[],
  warned_at: null,
  breached_at: null,
  met_at: null,
  waived_at: null,
  calls: 0,
  called_at: null,
  called_agency_id: null,
  called_staff_code: null,
  called_agency_ids: null,
  acknowledged_at: null,
  acknowledged_by_agency_id: null,
  acknowledged_by_staff_code: null,
} as const;

const TIMERS = gatheredRows('timers', 3, {
  id: false,
  name: false,
  kind: false,
  clock: false,
  subject_type: false,
  subject_id: false,
  case_id: false,
  expert_request_id: false,
  referral_id: false,
  offer_id: false,
  owner_agency_id: false,
  sender_agency_id: false,
  receiver_agency_id: false,
  responsible_agency_id: false,
  location_protected: false,
  jurisdiction: false,
  urgency: false,
  started_at: false,
  due_at: true,
  state: true,
  paused_at: true,
  warned_at: true,
  breached_at: true,
  met_at: true,
  waived_at: true,
  escalation_level: true,
  on_breach: false,
  steps: true,
  next_step_at: true,
  rule: false,
  duration: false,
  count_first_day: false,
  pauses: true,
  calendar_id: false,
  calendar_version: true,
  guards: false,
  pause_reason: true,
  paused_by_agency_id: true,
  version: true,
  forgotten: false,
  calls: true,
  called_at: true,
  called_agency_id: true,
  called_staff_code: true,
  called_agency_ids: true,
  acknowledged_at: true,
  acknowledged_by_agency_id: true,
  acknowledged_by_staff_code: true,
});

/** @returns the timers as they now run */
export const insertTimers = (tx: Tx, timers: readonly NewTimer[]): TimerRow[] =>
  timers.map(timer => {
    const row = { ...BEGINS, ...timer };
    TIMERS.insert(tx, row);
    return row;
  });

/** The timers of one offer, of a referral with its offers, of a case itself or of a request for an expert, that may still change, locked by their ids. */
export const lockOpenTimers = (
  tx: Tx,
  subject: { offer_id: string } | { referral_id: string } | { case_id: string } | { expert_request_id: string },
): Promise<TimerRow[]> => {
  const [column, id] = Object.entries(subject)[0] as ['offer_id' | 'referral_id' | 'case_id' | 'expert_request_id', string];
  return tx
    .selectFrom('timers')
    .selectAll()
    .where(column, '=', id)
    .where('state', 'in', ['running', 'paused', 'breached'])
    .$if(column === 'case_id', query => query.where('subject_type', '=', 'case'))
    .orderBy('id')
    .forUpdate()
    .execute();
};

/** Changes the timer, which must be locked, here and in its row. */
export function saveTimer(
  tx: Tx,
  timer: TimerRow,
  change: Partial<
    Pick<
      TimerRow,
      | 'state'
      | 'due_at'
      | 'next_step_at'
      | 'paused_at'
      | 'pause_reason'
      | 'paused_by_agency_id'
      | 'calendar_version'
      | 'warned_at'
      | 'breached_at'
      | 'met_at'
      | 'waived_at'
      | 'escalation_level'
      | 'calls'
      | 'called_at'
      | 'called_agency_id'
      | 'called_staff_code'
      | 'called_agency_ids'
      | 'acknowledged_at'
      | 'acknowledged_by_agency_id'
      | 'acknowledged_by_staff_code'
    >
  > & {
    steps?: TimerStep[];
    pauses?: readonly { from: string; to: string }[];
  },
): void {
  Object.assign(timer, change, { version: timer.version + 1 });
  TIMERS.update(tx, timer);
}

/** All timers of a case itself, the latest due first. */
export const listCaseTimers = (tx: Tx, case_id: string): Promise<TimerRow[]> =>
  tx
    .selectFrom('timers')
    .selectAll()
    .where('case_id', '=', case_id)
    .where('subject_type', '=', 'case')
    .orderBy('due_at', 'desc')
    .orderBy('id', 'desc')
    .execute();

/** The timer, locked: after case, referral and offers. Runs as the router. */
export const lockTimer = (tx: Tx, id: string): Promise<TimerRow> =>
  tx.selectFrom('timers').selectAll().where('id', '=', id).forUpdate().executeTakeFirstOrThrow();

/** Which offer each timer of a case is about. */
export const listTimerOffers = async (tx: Tx, case_id: string): Promise<Map<string, string | null>> => {
  const rows = await tx.selectFrom('timers').select(['id', 'offer_id']).where('case_id', '=', case_id).execute();
  return new Map(rows.map(({ id, offer_id }) => [id, offer_id]));
};

export const listReferralTimers = (tx: Tx, referral_id: string): Promise<TimerRow[]> =>
  tx
    .selectFrom('timers')
    .selectAll()
    .where('referral_id', '=', referral_id)
    .orderBy('started_at')
    .orderBy('due_at')
    .orderBy('id')
    .execute();

/** Where a protected receiver is, for those who may not know who it is, by timer. */
export type Whereabouts = Map<string, { region: string | null; duty_contact: string | null }>;

/** Of those timers whose receiver is in a protected place. */
export async function listWhereabouts(tx: Tx, of: { ids: readonly string[] } | { referral_id: string }): Promise<Whereabouts> {
  const rows = await tx
    .selectFrom('timers as t')
    .innerJoin('agencies as a', 'a.id', 't.responsible_agency_id')
    .leftJoin('referrals as r', 'r.id', 't.referral_id')
    .select(['t.id', 'r.region', 'a.duty_contact'])
    .where('t.location_protected', '=', true)
    .where('ids' in of ? sql<boolean>`t.id = any (${of.ids})` : sql<boolean>`t.referral_id = ${of.referral_id}`)
    .execute();
  return new Map(rows.map(({ id, region, duty_contact }) => [id, { region, duty_contact }]));
}
