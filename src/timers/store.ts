import type { Selectable } from 'kysely';
import type { TimerStep } from '../core/clock.ts';
import type { Tx } from '../platform/database.ts';
import type { TimerTable } from '../platform/tables.ts';

export type TimerRow = Selectable<TimerTable>;

type NewTimer = Omit<
  TimerRow,
  'version' | 'forgotten' | 'escalation_level' | 'paused_at' | 'warned_at' | 'breached_at' | 'met_at' | 'state'
>;

export async function insertTimers(tx: Tx, timers: readonly NewTimer[]): Promise<void> {
  if (timers.length === 0) return;
  await tx
    .insertInto('timers')
    .values(timers.map(timer => ({ ...timer, state: 'running' as const, steps: toJson(timer.steps), rule: toJson(timer.rule) })))
    .execute();
}

/** Arrays would be taken for PostgreSQL arrays. */
const toJson = <T>(value: T): T => JSON.stringify(value) as unknown as T;

/** The timers of one offer, referral or case that may still change, locked in the order of their ids. */
export const lockOpenTimers = (
  tx: Tx,
  subject: { offer_id: string } | { referral_id: string } | { case_id: string },
): Promise<TimerRow[]> => {
  const [column, id] = Object.entries(subject)[0] as ['offer_id' | 'referral_id' | 'case_id', string];
  return tx
    .selectFrom('timers')
    .selectAll()
    .where(column, '=', id)
    .where('state', 'in', ['running', 'paused', 'breached'])
    .orderBy('id')
    .forUpdate()
    .execute();
};

export async function saveTimer(
  tx: Tx,
  id: string,
  change: Partial<
    Pick<
      TimerRow,
      'state' | 'due_at' | 'next_step_at' | 'paused_at' | 'warned_at' | 'breached_at' | 'met_at' | 'escalation_level'
    >
  > & {
    steps?: readonly TimerStep[];
  },
): Promise<void> {
  const { steps, ...columns } = change;
  await tx
    .updateTable('timers')
    .set(eb => ({ ...columns, ...(steps ? { steps: toJson([...steps]) } : {}), version: eb('version', '+', 1) }))
    .where('id', '=', id)
    .execute();
}

/** Which timers have something to do by `now`, the most overdue first. */
export const listDueTimers = (tx: Tx, now: Date, limit: number) =>
  tx
    .selectFrom('timers')
    .select(['id', 'case_id', 'referral_id'])
    .where('next_step_at', '<=', now)
    .orderBy('next_step_at')
    .limit(limit)
    .execute();

/** The timer, unless another process is at it. */
export const lockTimer = (tx: Tx, id: string): Promise<TimerRow | undefined> =>
  tx.selectFrom('timers').selectAll().where('id', '=', id).forUpdate().skipLocked().executeTakeFirst();

export interface TimerFilter {
  state?: string;
  name?: string;
  subject_id?: string;
  agency_id?: string;
  due_before?: Date;
}

/** Timers that concern an agency, and all those of the jurisdictions that it coordinates; the next due first. */
export const listTimers = (
  tx: Tx,
  whose: { agency_id: string; coordinated: readonly string[] },
  filter: TimerFilter,
  after: { due_at: Date; id: string } | undefined,
  limit: number,
): Promise<TimerRow[]> =>
  tx
    .selectFrom('timers')
    .selectAll()
    .where(eb => {
      const parties = [
        eb.and([eb('responsible_agency_id', '=', whose.agency_id), eb('forgotten', '=', false)]),
        eb('owner_agency_id', '=', whose.agency_id),
        eb('sender_agency_id', '=', whose.agency_id),
        eb.and([eb('receiver_agency_id', '=', whose.agency_id), eb('forgotten', '=', false)]),
      ];
      return eb.or(whose.coordinated.length > 0 ? [...parties, eb('jurisdiction', 'in', [...whose.coordinated])] : parties);
    })
    .$if(filter.state !== undefined, query => query.where('state', '=', filter.state as TimerRow['state']))
    .$if(filter.name !== undefined, query => query.where('name', '=', filter.name!))
    .$if(filter.subject_id !== undefined, query =>
      query.where(eb =>
        eb.or([
          eb('subject_id', '=', filter.subject_id!),
          eb('referral_id', '=', filter.subject_id!),
          eb('case_id', '=', filter.subject_id!),
        ]),
      ),
    )
    // A protected receiver is not found by its id either.
    .$if(filter.agency_id !== undefined, query =>
      query
        .where('responsible_agency_id', '=', filter.agency_id!)
        .where(eb =>
          eb.or([
            eb('location_protected', '=', false),
            eb('receiver_agency_id', 'is distinct from', filter.agency_id!),
            eb('receiver_agency_id', '=', eb.fn<string>('me')),
          ]),
        ),
    )
    .$if(filter.due_before !== undefined, query => query.where('due_at', '<', filter.due_before!))
    .$if(after !== undefined, query =>
      query.where(eb =>
        eb.or([eb('due_at', '>', after!.due_at), eb.and([eb('due_at', '=', after!.due_at), eb('id', '>', after!.id)])]),
      ),
    )
    .orderBy('due_at')
    .orderBy('id')
    .limit(limit)
    .execute();

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
