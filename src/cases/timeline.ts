import { type ActOfCase, readActs } from '../audit/history.ts';
import { record } from '../audit/record.ts';
import { type AgencyActor, authorise, hasRole, type Relation } from '../core/access.ts';
import { Problem, raise } from '../core/problem.ts';
import { type HistoryAct, type HistoryReader, mainEvent, mayKnowOf, referralsKnown } from '../core/timeline.ts';
import { asSystem, type Tx, transact } from '../platform/database.ts';
import { decodeCursor, encodeCursor, type Page, pageLimit, toPage } from '../platform/http/paging.ts';
import { listAgencyFacts, listCaseOffers, listSentReferralIds } from '../referrals/store.ts';
import type { Services } from '../services.ts';
import { listTimerOffers } from '../timers/store.ts';
import { requireAssigned } from './assignments.ts';
import type { TimelineItem } from './schema.ts';
import { findCase, findForgottenAt, lockCase } from './store.ts';
import { caseRelations } from './view.ts';

/** Read at a time, of which the caller may know all or none. */
const BATCH = 200;

/**
 * Everything that happened on a case and that the caller may know, oldest first, as the trail has it; who acted from a protected
 * place is named to nobody. The read is in the trail itself.
 * @throws Problem `not_found` for whoever neither owns, holds or held, sent on nor coordinates it, `access_reason_required`
 */
export const readTimeline = (
  services: Services,
  actor: AgencyActor,
  case_id: string,
  query: { limit?: number; cursor?: string },
) =>
  transact(services, actor, async (tx): Promise<{ view: Page<TimelineItem>; receipt: string }> => {
    // Not shared: whoever is acting on the case commits first, so that nothing appears later among what was answered.
    // Whoever may not know of it waits for nobody.
    if (!(await findCase(tx, case_id)) && (await listSentReferralIds(tx, case_id, actor.agency_id)).length === 0)
      raise('not_found');
    await lockCase(tx, case_id, 'update');
    const known = await knowledgeOf(services, tx, actor, case_id);
    const limit = pageLimit(query);
    const acts = await knownActs(services, tx, case_id, known, positionOf(query.cursor), limit + 1);
    const view = toPage(
      acts,
      limit,
      act => encodeCursor(act.number),
      act => itemOf(act, known),
    );
    const receipt = await asSystem(tx, 'timeline', tx =>
      record(services, tx, actor, {
        action: 'case.timeline',
        outcome: 'read',
        resource_type: 'case',
        subjects: [{ subject_id: case_id }],
      }),
    );
    return { view, receipt };
  });

function positionOf(cursor: string | undefined): number | undefined {
  const [position] = decodeCursor(cursor, 1) ?? [];
  if (position === undefined || Number.isSafeInteger(position)) return position as number | undefined;
  throw new Problem('invalid_request', {
    errors: [{ pointer: 'querystring:cursor', detail: 'is not a cursor of this list' }],
  });
}

/** What the caller is to the case, and what it takes to tell what it may know. */
interface Knowledge {
  reader: HistoryReader;
  owns: boolean;
  referral_of: Map<string, string>;
  /** The offer that a timer is about. */
  timer_offers: Map<string, string | null>;
  /** In place of those who are named to nobody but themselves. */
  hidden: Map<string, { region: string | null; duty_contact: string | null }>;
}

async function knowledgeOf(services: Services, tx: Tx, actor: AgencyActor, case_id: string): Promise<Knowledge> {
  const found = await findCase(tx, case_id);
  const sent = await listSentReferralIds(tx, case_id, actor.agency_id);
  const relations: Relation[] = found ? await caseRelations(tx, actor, found) : [];
  if (sent.length > 0) relations.push('sender');
  authorise(actor, 'case.timeline', relations);
  await requireAssigned(services, tx, actor, case_id);

  const owns = relations.includes('owner');
  const own = (await listCaseOffers(tx, case_id)).filter(
    offer => offer.agency_id === actor.agency_id && offer.forgotten_at === null,
  );
  return asSystem(tx, 'router', async tx => {
    const offers = await listCaseOffers(tx, case_id);
    const owner_agency_id = (await findCase(tx, case_id))!.owner_agency_id;
    const secret = offers.filter(
      ({ location_protected, agency_id }) => location_protected && agency_id !== actor.agency_id && agency_id !== owner_agency_id,
    );
    const facts = await listAgencyFacts(
      tx,
      secret.map(({ agency_id }) => agency_id),
    );
    const contacts = new Map(facts.map(({ id, duty_contact }) => [id, duty_contact]));
    return {
      owns,
      reader: {
        agency_id: actor.agency_id,
        sees_all: owns || (relations.includes('coordinator') && hasRole(actor, 'coordinator')),
        holds: relations.includes('holder') || relations.includes('former_holder'),
        sent: new Set(sent),
        offers: new Set(own.map(({ id }) => id)),
        forgotten_at: await findForgottenAt(tx, case_id, actor.agency_id),
      },
      referral_of: new Map(offers.map(({ id, referral_id }) => [id, referral_id])),
      timer_offers: await listTimerOffers(tx, case_id),
      hidden: new Map(
        secret.map(({ agency_id, region }) => [agency_id, { region, duty_contact: contacts.get(agency_id) ?? null }]),
      ),
    };
  });
}

/** The next `count` acts that the reader may know of. */
async function knownActs(
  services: Services,
  tx: Tx,
  case_id: string,
  known: Knowledge,
  after: number | undefined,
  count: number,
): Promise<ActOfCase[]> {
  const acts: ActOfCase[] = [];
  for (let position = after; acts.length < count; ) {
    const batch = await asSystem(tx, 'timeline', tx => readActs(services, tx, case_id, position, BATCH));
    acts.push(...batch.filter(act => mayKnowOf(historyOf(act, known), known.reader)));
    position = batch.at(-1)?.number;
    if (batch.length < BATCH) break;
  }
  return acts.slice(0, count);
}

function historyOf({ at, action, agency_id, resource_type, record }: ActOfCase, { timer_offers }: Knowledge): HistoryAct {
  const { referral_id, referral_ids, offer_ids } = record;
  const offer_id = record.offer_id ?? (resource_type === 'timer' ? timer_offers.get(record.resource_id!) : undefined);
  return {
    at,
    action,
    agency_id,
    ...(referral_id === undefined ? {} : { referral_id }),
    ...(referral_ids === undefined ? {} : { referral_ids }),
    ...(offer_id ? { offer_id } : {}),
    ...(offer_ids === undefined ? {} : { offer_ids: offer_ids as string[] }),
  };
}

function itemOf(act: ActOfCase, known: Knowledge): TimelineItem {
  const { reader, owns } = known;
  const history = historyOf(act, known);
  const own = act.agency_id === reader.agency_id;
  const type = mainEvent(act.action);
  const referral_ids = referralsKnown(history, reader, known.referral_of);
  const { resource_id } = act.record;
  const is = (resource_type: string) => act.resource_type === resource_type;
  return {
    at: act.at.toISOString(),
    action: act.action,
    ...(type === undefined ? {} : { type }),
    ...whoOf(act, known),
    ...(own && act.caseworker !== null ? { staff_code: act.caseworker } : {}),
    ...(history.referral_id === undefined ? {} : { referral_id: history.referral_id }),
    ...(referral_ids.length === 0 ? {} : { referral_ids }),
    ...(history.offer_id === undefined ? {} : { offer_id: history.offer_id }),
    // Grants are the owner's, and so is why a case ended.
    ...(resource_id === undefined ? {} : !is('consent') ? { resource_id } : owns || own ? { consent_id: resource_id } : {}),
    ...codesOf(act, owns || own),
  };
}

/** What the service itself did to a timer names it by the code; what people did has the timer beside their reason. */
function codesOf(
  { code, resource_type, agency_id, record }: ActOfCase,
  concerned: boolean,
): Pick<TimelineItem, 'timer' | 'code'> {
  if (resource_type !== 'timer') return code !== null && (concerned || resource_type === 'referral') ? { code } : {};
  const timer = typeof record.timer === 'string' ? record.timer : (code ?? undefined);
  return { ...(timer ? { timer } : {}), ...(agency_id !== null && code !== null && code !== timer ? { code } : {}) };
}

function whoOf(
  { agency_id, action }: ActOfCase,
  { hidden, reader }: Knowledge,
): Pick<TimelineItem, 'by' | 'agency_id' | 'placed'> {
  if (agency_id === null) return { by: 'system' };
  // Who is called has nothing to do with the case, as far as anybody can tell.
  if (action === 'timer.acknowledge_escalation' && agency_id !== reader.agency_id) return { by: 'duty_roster' };
  const placed = hidden.get(agency_id);
  return placed ? { placed } : { agency_id };
}
