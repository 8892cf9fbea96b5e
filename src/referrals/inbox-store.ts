import { sql } from 'kysely';
import type { Service } from '../core/codes.ts';
import type { Tx } from '../platform/database.ts';
import type { ReferralRow } from './store.ts';

export interface InboxFilter {
  box: 'incoming' | 'outgoing' | 'all';
  status?: string;
  service?: Service;
  urgency?: string;
  overdue?: boolean;
  sort?: 'due_at';
}

/** Why a referral is in the inbox of an agency. Each is found by an index of its own, and no referral by two of them. */
type Reason = 'asked' | 'sent' | 'owned' | { coordinated: string };

const reasonsFor = ({ box }: InboxFilter, coordinated: readonly string[]): Reason[] => {
  if (box === 'incoming') return ['asked'];
  if (box === 'outgoing') return ['sent'];
  return ['asked', 'sent', 'owned', ...coordinated.map(jurisdiction => ({ coordinated: jurisdiction }))];
};

interface InboxQuery {
  agency_id: string;
  coordinated: readonly string[];
  filter: InboxFilter;
}

interface After {
  due_at: Date | null;
  id: string;
}

/**
 * States and limits stand in the texts themselves: only so a plan that is made once knows the indexes of what is latest or runs, and
 * that a page is short.
 */
const SHORT_PAGE = 51;
const LONG_PAGE = 201;
const most = (limit: number) => sql.lit(limit <= SHORT_PAGE ? SHORT_PAGE : LONG_PAGE);

/**
 * A page of an inbox: each referral, the caller's own latest offer where it has one, and when something next falls due. The newest
 * first; or by what falls due next, and last, in the order of their making, those of which nothing does.
 */
export async function listInbox(
  tx: Tx,
  agency_id: string,
  coordinated: readonly string[],
  filter: InboxFilter,
  after: After | undefined,
  limit: number,
) {
  const query: InboxQuery = { agency_id, coordinated, filter };
  if (filter.sort === undefined) return (await listNewest(tx, query, after, limit)).slice(0, limit);
  const due = after?.due_at === null ? [] : await listDue(tx, query, after as Due | undefined, limit);
  if (due.length >= limit) return due.slice(0, limit);
  const others = await listWithoutDue(tx, query, after?.due_at === null ? after.id : undefined, limit - due.length);
  return [...due, ...others].slice(0, limit);
}

function listNewest(tx: Tx, query: InboxQuery, after: After | undefined, limit: number) {
  const branches = reasonsFor(query.filter, query.coordinated).map(reason =>
    becauseOf(tx, query, reason)
      .$if(after !== undefined, it => it.where('r.id', '<', after!.id))
      .orderBy('r.id', 'desc')
      .limit(most(limit)),
  );
  return union(tx, branches).orderBy('id', 'desc').limit(most(limit)).execute();
}

function listWithoutDue(tx: Tx, query: InboxQuery, after_id: string | undefined, limit: number) {
  const branches = reasonsFor(query.filter, query.coordinated).map(reason =>
    becauseOf(tx, query, reason)
      .where('next.due_at', 'is', null)
      .$if(after_id !== undefined, it => it.where('r.id', '>', after_id!))
      .orderBy('r.id')
      .limit(most(limit)),
  );
  return union(tx, branches).orderBy('id').limit(most(limit)).execute();
}

type Due = After & { due_at: Date };

/** Whoever is responsible is one of these, or coordinates. */
const PARTIES = ['receiver_agency_id', 'sender_agency_id', 'owner_agency_id'] as const;

/** Led by the clocks that run, in the order of each party's index; who is several parties finds a row several times. */
function listDue(tx: Tx, query: InboxQuery, after: Due | undefined, limit: number) {
  const { agency_id, coordinated } = query;
  const led = (party: (typeof PARTIES)[number] | 'jurisdiction', value: string) =>
    rowsOf(tx, query)
      .innerJoin('timers as t', 't.referral_id', 'r.id')
      .where(sql<boolean>`t.state = 'running'`)
      .where(`t.${party}`, '=', value)
      .where(eb =>
        eb.not(
          eb.exists(
            runningFor(tx, query)
              .where('c.referral_id', '=', eb.ref('t.referral_id'))
              .where(sql<boolean>`c.state = 'running'`)
              .where(sql<boolean>`(c.due_at, c.id) < (t.due_at, t.id)`)
              .select('c.id'),
          ),
        ),
      )
      .where(eb => {
        if (query.filter.box === 'incoming') return eb('own.id', 'is not', null);
        const sent = eb('r.sender_agency_id', '=', agency_id);
        if (query.filter.box === 'outgoing') return sent;
        const reasons = [eb('own.id', 'is not', null), sent, eb('r.owner_agency_id', '=', agency_id)];
        return eb.or(coordinated.length > 0 ? [...reasons, eb('r.jurisdiction', 'in', [...coordinated])] : reasons);
      })
      .$if(after !== undefined, it =>
        it
          .where('t.due_at', '>=', after!.due_at)
          .where(sql<boolean>`(t.due_at, t.referral_id) > (${after!.due_at}::timestamptz, ${after!.id})`),
      )
      .orderBy('t.due_at')
      .orderBy('t.referral_id')
      .limit(most(limit));
  const branches = [
    ...PARTIES.map(party => led(party, agency_id)),
    ...coordinated.map(jurisdiction => led('jurisdiction', jurisdiction)),
  ];
  return union(tx, branches).orderBy('due_at').orderBy('id').limit(most(limit)).execute();
}

/** Clocks that the caller may know of. A receiver's are its own; another's must not show by when they fall due. */
const runningFor = (tx: Tx, { agency_id, coordinated }: InboxQuery) =>
  tx.selectFrom('timers as c').where(eb => {
    const parties = PARTIES.map(party => eb(`c.${party}`, '=', agency_id));
    return eb.or(coordinated.length > 0 ? [...parties, eb('c.jurisdiction', 'in', [...coordinated])] : parties);
  });

/** Referrals as rows of an inbox, whoever's they are. */
const rowsOf = (tx: Tx, query: InboxQuery) =>
  tx
    .selectFrom('referrals as r')
    .leftJoin('offers as own', join =>
      join
        .onRef('own.referral_id', '=', 'r.id')
        .on('own.agency_id', '=', query.agency_id)
        .on(sql<boolean>`own.latest`)
        .on('own.forgotten_at', 'is', null),
    )
    .leftJoinLateral(
      eb =>
        runningFor(tx, query)
          .where('c.referral_id', '=', eb.ref('r.id'))
          .where(sql<boolean>`c.state in ('running', 'breached')`)
          .select([
            sql<Date | null>`min(c.due_at) filter (where c.state = 'running')`.as('due_at'),
            // A clock that ended its offer is over, but not one whose offer is kept open after an outage.
            sql<boolean>`coalesce(bool_or(c.state = 'breached'
            and (c.on_breach is distinct from 'expire_offer' or c.next_step_at is not null)), false)`.as('overdue'),
          ])
          .as('next'),
      join => join.onTrue(),
    )
    .select([
      'r.id',
      'r.reference',
      'r.case_id',
      'r.owner_agency_id',
      'r.sender_agency_id',
      'r.jurisdiction',
      'r.region',
      'r.service',
      'r.urgency',
      'r.version',
      'r.created_at',
      'r.updated_at',
      'own.id as offer_id',
      'own.accepted_at',
      'own.ended_at as own_ended_at',
      'next.due_at',
      'next.overdue',
    ])
    .select(sql<string>`coalesce(own.status, r.status)`.as('status'))
    .$if(query.filter.status !== undefined, it => it.where(sql`coalesce(own.status, r.status)`, '=', query.filter.status!))
    .$if(query.filter.service !== undefined, it => it.where('r.service', '=', query.filter.service!))
    .$if(query.filter.urgency !== undefined, it => it.where('r.urgency', '=', query.filter.urgency as ReferralRow['urgency']))
    .$if(query.filter.overdue !== undefined, it => it.where('next.overdue', '=', query.filter.overdue!));

const becauseOf = (tx: Tx, query: InboxQuery, reason: Reason) =>
  rowsOf(tx, query).where(eb => {
    // Of the box `outgoing`, what came back to its sender is no less sent. That there is no offer is asked of a column of the
    // join's own clause: only so the planner takes it for what it is, and stops at a page.
    if (reason === 'asked') return eb('own.id', 'is not', null);
    if (reason === 'sent') {
      const sent = eb('r.sender_agency_id', '=', query.agency_id);
      return query.filter.box === 'outgoing' ? sent : eb.and([sent, eb('own.referral_id', 'is', null)]);
    }
    const not_sent = [eb('own.referral_id', 'is', null), eb('r.sender_agency_id', '!=', query.agency_id)];
    if (reason === 'owned') return eb.and([eb('r.owner_agency_id', '=', query.agency_id), ...not_sent]);
    return eb.and([eb('r.jurisdiction', '=', reason.coordinated), eb('r.owner_agency_id', '!=', query.agency_id), ...not_sent]);
  });

/** Each row once. Each branch keeps its own order and limit. */
function union(tx: Tx, branches: readonly ReturnType<typeof rowsOf>[]) {
  const [first, ...others] = branches.map(rows => tx.selectFrom(rows.as('r')).selectAll());
  return tx.selectFrom(others.reduce((all, more) => all.union(more), first!).as('r')).selectAll();
}
