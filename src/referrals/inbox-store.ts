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

/** Nothing due comes last. */
const DUE = sql<Date>`coalesce(next.due_at, 'infinity')`;

/** An inbox row: the referral, the caller's own latest offer where it has one, and when something next falls due. */
export async function listInbox(
  tx: Tx,
  agency_id: string,
  coordinated: readonly string[],
  filter: InboxFilter,
  after: { due_at: Date | null; id: string } | undefined,
  limit: number,
) {
  const rows = (reason: Reason) =>
    tx
      .selectFrom('referrals as r')
      .leftJoin('offers as own', join =>
        join
          .onRef('own.referral_id', '=', 'r.id')
          .on('own.agency_id', '=', agency_id)
          .on('own.latest', '=', true)
          .on('own.forgotten_at', 'is', null),
      )
      .leftJoinLateral(
        eb =>
          eb
            .selectFrom('timers as t')
            .whereRef('t.referral_id', '=', 'r.id')
            .where('t.state', 'in', ['running', 'breached'])
            .where(eb => {
              // A receiver's clocks are its own; another's must not show by when they fall due.
              const parties = [
                eb('t.owner_agency_id', '=', agency_id),
                eb('t.sender_agency_id', '=', agency_id),
                eb('t.receiver_agency_id', '=', agency_id),
                eb('t.responsible_agency_id', '=', agency_id),
              ];
              return eb.or(coordinated.length > 0 ? [...parties, eb('t.jurisdiction', 'in', [...coordinated])] : parties);
            })
            .select(({ fn }) => [
              fn.min('t.due_at').filterWhere('t.state', '=', 'running').as('due_at'),
              // A clock that ended its offer is over, but not one whose offer is kept open after an outage.
              sql<boolean>`coalesce(bool_or(t.state = 'breached'
                and (t.on_breach is distinct from 'expire_offer' or t.next_step_at is not null)), false)`.as('overdue'),
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
      .where(eb => {
        // Of the box `outgoing`, what came back to its sender is no less sent. That there is no offer is asked of a column of the
        // join's own clause: only so the planner takes it for what it is, and stops at a page.
        if (reason === 'asked') return eb('own.id', 'is not', null);
        if (reason === 'sent') {
          const sent = eb('r.sender_agency_id', '=', agency_id);
          return filter.box === 'outgoing' ? sent : eb.and([sent, eb('own.referral_id', 'is', null)]);
        }
        const not_sent = [eb('own.referral_id', 'is', null), eb('r.sender_agency_id', '!=', agency_id)];
        if (reason === 'owned') return eb.and([eb('r.owner_agency_id', '=', agency_id), ...not_sent]);
        return eb.and([eb('r.jurisdiction', '=', reason.coordinated), eb('r.owner_agency_id', '!=', agency_id), ...not_sent]);
      })
      .$if(filter.status !== undefined, it => it.where(sql`coalesce(own.status, r.status)`, '=', filter.status!))
      .$if(filter.service !== undefined, it => it.where('r.service', '=', filter.service!))
      .$if(filter.urgency !== undefined, it => it.where('r.urgency', '=', filter.urgency as ReferralRow['urgency']))
      .$if(filter.overdue !== undefined, it => it.where('next.overdue', '=', filter.overdue!))
      .$if(filter.sort === undefined, it =>
        it
          .$if(after !== undefined, it => it.where('r.id', '<', after!.id))
          .orderBy('r.id', 'desc')
          .limit(limit),
      )
      .$if(filter.sort === 'due_at', it =>
        it
          .$if(after !== undefined, it =>
            it.where(sql<boolean>`(${DUE}, r.id) > (${after!.due_at ?? 'infinity'}::timestamptz, ${after!.id})`),
          )
          .orderBy(DUE)
          .orderBy('r.id')
          .limit(limit),
      );

  const [first, ...others] = reasonsFor(filter, coordinated).map(reason => tx.selectFrom(rows(reason).as('r')).selectAll());
  const found = others.reduce((all, more) => all.unionAll(more), first!);
  const inbox = tx.selectFrom(found.as('next')).selectAll().limit(limit);
  return filter.sort === 'due_at' ? inbox.orderBy(DUE).orderBy('id').execute() : inbox.orderBy('id', 'desc').execute();
}
