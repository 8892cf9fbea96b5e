import { type Expression, type ExpressionBuilder, type SqlBool, sql } from 'kysely';
import type { Urgency } from '../core/codes.ts';
import type { Tx } from '../platform/database.ts';
import type { OfferTable, TimerTable } from '../platform/tables.ts';
import type { TimerRow } from './store.ts';

/** Timers as they are shown: one, and the lists of those whom they concern. */

/**
 * A timer as views show it: the receiver of its offer may know the case once it has accepted; `supported`: it is a floor that the
 * person may ask an agency to end, which holds the case.
 */
export type ShownTimer = TimerRow & { receiver_accepted_at: Date | null; supported: boolean };

const SUPPORTED = sql<boolean>`(t.subject_type = 'case' and t.guards = '{conclusive_grounds}' and supports(t.case_id))`;

const shownTimers = (tx: Tx) =>
  tx
    .selectFrom('timers as t')
    .leftJoin('offers as o', 'o.id', 't.offer_id')
    .selectAll('t')
    .select('o.accepted_at as receiver_accepted_at')
    .select(SUPPORTED.as('supported'));

/** The timer as whoever runs `tx` may know of it. */
export const findTimer = (tx: Tx, id: string): Promise<ShownTimer | undefined> =>
  shownTimers(tx).where('t.id', '=', id).executeTakeFirst();

export interface TimerFilter {
  state?: string;
  name?: string;
  subject_id?: string;
  referral_id?: string;
  case_id?: string;
  agency_id?: string;
  urgency?: Urgency;
  jurisdiction?: string;
  /** Breached and still to be met. */
  overdue?: boolean;
  /** Somebody on duty was called, and nobody has acknowledged it. */
  unacknowledged?: boolean;
  due_before?: Date;
}

/** For whom timers are listed: what concerns the agency, and all in the jurisdictions that it coordinates. */
interface Whose {
  agency_id: string;
  coordinated: readonly string[];
  /** Whether the agency stands by those whose cases it holds. */
  supports: boolean;
}

type Shown = ExpressionBuilder<{ t: TimerTable; o: { [K in keyof OfferTable]: OfferTable[K] | null } }, 't' | 'o'>;

/**
 * Timers that concern an agency, all those of the jurisdictions that it coordinates, and those because of which one of its people
 * was called; the next due first.
 */
export const listTimers = (...of: Parameters<typeof selectListed>): Promise<ShownTimer[]> => selectListed(...of).execute();

/**
 * One list for each way in which a timer may concern the agency, each along an index by what is due next, and no longer than the
 * page: whoever has a hundred thousand reads no more of them than is shown. Those that run have indexes of their own, for most that
 * ever ran are over; so have those for which somebody was called. A timer that stands on several lists is shown once.
 */
export function selectListed(
  tx: Tx,
  whose: Whose,
  filter: TimerFilter,
  after: { due_at: Date; id: string } | undefined,
  limit: number,
) {
  const of = (are: Are) => selectTimers(tx, are, whose, filter, after, limit);
  const its_own = waysOf(whose).map(of);
  const running = its_own.map(list => list.where(sql<boolean>`t.state = 'running'`));
  const over = its_own.map(list => list.where(sql<boolean>`t.state <> 'running'`));
  const lists = [
    ...(filter.state === 'running' ? running : filter.state === undefined ? [...running, ...over] : over),
    // Who is only called does not find them by what they are about.
    ...((filter.subject_id ?? filter.referral_id ?? filter.case_id) ? [] : [of(eb => isCalledFor(eb, whose))]),
    ...(whose.supports ? [of(eb => isSupported(eb, whose))] : []),
  ];
  const [first, ...more] = lists.map(list => tx.selectFrom(list.as('t')).selectAll());
  const all = more.reduce((before, list) => before.unionAll(list), first!);
  return tx.selectFrom(all.as('t')).distinctOn(['due_at', 'id']).selectAll().orderBy('due_at').orderBy('id').limit(limit);
}

type Are = (eb: Shown) => Expression<SqlBool>;

/** As what to it an agency is shown a timer. */
const waysOf = ({ agency_id, coordinated }: Whose): Are[] => [
  eb => eb.and([eb('t.responsible_agency_id', '=', agency_id), eb('t.forgotten', '=', false)]),
  eb => eb('t.owner_agency_id', '=', agency_id),
  eb => eb('t.sender_agency_id', '=', agency_id),
  eb => eb.and([eb('t.receiver_agency_id', '=', agency_id), eb('t.forgotten', '=', false)]),
  ...coordinated.map(
    (jurisdiction): Are =>
      eb =>
        eb('t.jurisdiction', '=', jurisdiction),
  ),
];

/** Because of which one of its people was called. */
const isCalledFor = (eb: Shown, whose: Whose) =>
  eb.and([eb('t.called_agency_ids', 'is not', null), sql<boolean>`${whose.agency_id} = any (t.called_agency_ids)`]);

/** The days of rest of a person by whom it stands. */
const isSupported = (eb: Shown, whose: Whose) =>
  eb.and([
    SUPPORTED,
    sql<boolean>`t.case_id in (select d.case_id from disclosures d where d.agency_id = ${whose.agency_id} and d.ended_at is null)`,
  ]);

const selectTimers = (
  tx: Tx,
  are: Are,
  whose: Whose,
  filter: TimerFilter,
  after: { due_at: Date; id: string } | undefined,
  limit: number,
) =>
  shownTimers(tx)
    .where(are)
    .$if(filter.state !== undefined, query => query.where('t.state', '=', filter.state as TimerRow['state']))
    .$if(filter.name !== undefined, query => query.where('t.name', '=', filter.name!))
    .$if(filter.urgency !== undefined, query => query.where('t.urgency', '=', filter.urgency!))
    .$if(filter.jurisdiction !== undefined, query => query.where('t.jurisdiction', '=', filter.jurisdiction!))
    .$if(filter.overdue !== undefined, query => query.where(filter.overdue ? OVERDUE : IN_TIME))
    .$if(filter.unacknowledged !== undefined, query => query.where(filter.unacknowledged ? UNACKNOWLEDGED : ACKNOWLEDGED))
    .$if(filter.referral_id !== undefined, query => query.where('t.referral_id', '=', filter.referral_id!))
    .$if(filter.case_id !== undefined, query => query.where(eb => isOfCase(eb, whose, filter.case_id!)))
    .$if(filter.subject_id !== undefined, query =>
      query.where(eb =>
        eb.or([
          eb('t.offer_id', '=', filter.subject_id!),
          eb('t.referral_id', '=', filter.subject_id!),
          eb('t.expert_request_id', '=', filter.subject_id!),
          isOfCase(eb, whose, filter.subject_id!),
        ]),
      ),
    )
    // A protected receiver is not found by its id either.
    .$if(filter.agency_id !== undefined, query =>
      query
        .where('t.responsible_agency_id', '=', filter.agency_id!)
        .where(eb =>
          eb.or([
            eb('t.location_protected', '=', false),
            eb('t.receiver_agency_id', 'is distinct from', filter.agency_id!),
            eb('t.receiver_agency_id', '=', eb.fn<string>('me')),
          ]),
        ),
    )
    .$if(filter.due_before !== undefined, query => query.where('t.due_at', '<', filter.due_before!))
    .$if(after !== undefined, query =>
      query.where(eb =>
        eb.or([eb('t.due_at', '>', after!.due_at), eb.and([eb('t.due_at', '=', after!.due_at), eb('t.id', '>', after!.id)])]),
      ),
    )
    .orderBy('t.due_at')
    .orderBy('t.id')
    .limit(limit);

/** One that ended its offer is over; one whose offer is kept open after an outage is not. In the words of `timers_overdue`. */
const OVERDUE = sql<boolean>`(t.state = 'breached' and (t.on_breach is distinct from 'expire_offer' or t.next_step_at is not null))`;
const IN_TIME = sql<boolean>`not ${OVERDUE}`;

/** In the words of the index `timers_called`. */
const UNACKNOWLEDGED = sql<boolean>`(t.called_agency_ids is not null and t.acknowledged_at is null)`;
const ACKNOWLEDGED = sql<boolean>`(t.called_agency_ids is null or t.acknowledged_at is not null)`;

/** By its case a timer is found by those who may know the case. */
const isOfCase = (eb: Shown, { agency_id, coordinated }: Whose, case_id: string) =>
  eb.and([
    eb('t.case_id', '=', case_id),
    eb.or([
      eb('t.owner_agency_id', '=', agency_id),
      eb('t.sender_agency_id', '=', agency_id),
      eb.and([eb('t.receiver_agency_id', '=', agency_id), eb('o.accepted_at', 'is not', null)]),
      // Of a case itself: the authority that decides on it.
      eb.and([eb('t.responsible_agency_id', '=', agency_id), eb('t.subject_type', '=', 'case')]),
      SUPPORTED,
      ...(coordinated.length > 0 ? [eb('t.jurisdiction', 'in', [...coordinated])] : []),
    ]),
  ]);
