import { type CandidateRow, listCandidates } from '../agencies/candidates-store.ts';
import { act } from '../audit/act.ts';
import { record } from '../audit/record.ts';
import { requireAssigned } from '../cases/assignments.ts';
import { saveSeparation } from '../cases/separations/store.ts';
import {
  type AssigneesRow,
  type CaseRow,
  findAssignees,
  findCase,
  findProfile,
  listGrants,
  lockVisibleCase,
} from '../cases/store.ts';
import { caseRelations } from '../cases/view.ts';
import { type AgencyActor, authorise, expectVersion } from '../core/access.ts';
import { type Category, LAWFUL_GROUNDS, type LawfulGround } from '../core/codes.ts';
import { mayBeAsked, missingCategories, NOT_BY_GROUND } from '../core/consent.ts';
import { Problem } from '../core/problem.ts';
import { type Candidate, type CandidateService, lacksMandate } from '../core/routing.ts';
import { getDataKey } from '../platform/data-keys.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import { newId, newReference } from '../platform/ids.ts';
import { seal } from '../platform/vault.ts';
import { calendarsOf } from '../rules/calendars/store.ts';
import { findRulesOfCase, packInForce } from '../rules/store.ts';
import type { Services } from '../services.ts';
import { startTimers } from '../timers/apply.ts';
import { listDisclosed } from './coverage.ts';
import { type LockedReferral, partiesOf } from './locked.ts';
import { finish, referralTimerContext } from './progress.ts';
import { goOn, makeOffer, placesNeeded, rank, requireMayBeNamed } from './router.ts';
import type { ReferralBody, ReferralView } from './schema.ts';
import { type Sealed, sealedPlace } from './sealed.ts';
import { insertReferral, listParties, newReferral } from './store.ts';
import { viewReferral } from './view.ts';

/**
 * Asks for one service for one person. The first agency is asked in the same act: the named one, or the one that ranks first.
 * Consent, or a ground that the law gives the referring agency, must cover agency, purpose and every category asked for.
 * @throws Problem `agency_suspended`, `not_found`, `forbidden`, `unprocessable`, `not_offered`, `consent_missing`, `wrong_state`
 */
export const makeReferral = (services: Services, actor: AgencyActor, case_id: string, body: ReferralBody) =>
  act<ReferralView, Known>(
    services,
    actor,
    'referral.make',
    (tx, id) => viewReferral(services, tx, actor, id),
    async (tx, now, known) =>
      beginReferral(services, tx, actor, await prepareReferral(services, tx, actor, known, body, now), now),
    tx => {
      if (actor.suspended) throw new Problem('agency_suspended');
      // All said at once: where the first is refused, the server refuses the rest.
      return lookAt(services, tx, actor, case_id, body, lockVisibleCase(tx, case_id, 'share'));
    },
  );

/** A referral that may be made, and was not yet. */
export interface Prepared {
  body: ReferralBody;
  locked: LockedReferral;
  named: CandidateRow | undefined;
  ranked: Candidate[];
  providers: CandidateRow[];
  /** The cases from which the person is kept apart. */
  apart_from: string[];
}

/**
 * Looks whether a referral may be made. Changes nothing.
 * @throws Problem `not_found`, `forbidden`, `unprocessable`, `not_offered`, `consent_missing`, `wrong_state`
 */
export async function prepareReferral(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  { found, ...known }: Known,
  body: ReferralBody,
  now: Date,
): Promise<Prepared> {
  const relations = await caseRelations(tx, actor, found);
  authorise(actor, 'referral.make', relations);
  if (body.service === 'case_management' && !relations.includes('owner'))
    throw new Problem('forbidden', { detail: 'only its owner hands a case over' });
  await requireAssigned(services, tx, actor, found.id, known.assigned);
  requireRouting(body);
  requireGroundInFull(body);
  if (found.track === 'anonymous' && body.service !== 'identification') {
    throw new Problem('unprocessable', { detail: 'only an identification offer leaves an anonymous record' });
  }
  const named = body.recipient_agency_id === undefined ? undefined : requireProvider(known.providers, body.recipient_agency_id);
  await requireOwn(tx, actor, found, body.requirements?.separate_from ?? []);
  expectVersion(actor, found.version);
  if (found.stage === 'closed')
    throw new Problem('wrong_state', { detail: 'the case is closed', members: { state: 'closed', allowed_actions: [] } });

  const { pack } = known;
  const grounds = LAWFUL_GROUNDS.filter(code => pack.lawful_grounds[code].includes(actor.agency_kind));
  if (body.lawful_ground && !grounds.includes(body.lawful_ground.code)) throw consentMissing(body.categories, grounds);
  if (!relations.includes('owner')) await requireHeld(tx, actor, found, body, grounds, now);

  const locked = await withNeed(services, tx, actor, found, known, body, now);
  const { ranked, providers, apart_from } = await rank(services, tx, locked, now);
  if (named) requireMayBeNamed(ranked, named.agency_id);
  const possible = named
    ? [named]
    : providers.filter(({ agency_id }) => !barred(ranked.find(it => it.agency_id === agency_id)!.excluded_by));
  const missing = leastMissing(locked, possible.length > 0 ? possible : providers, now);
  if (missing) throw consentMissing(missing, groundsFor(missing, grounds));
  return { body, locked, named, ranked, providers, apart_from };
}

/**
 * Makes a referral that may be made, and asks the first agency.
 * @param first the one to ask, where that is settled already
 */
export async function beginReferral(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  { body, locked, named }: Prepared,
  now: Date,
  first: CandidateRow | undefined = named,
): Promise<{ id: string; receipt: string }> {
  const { id, case_id } = locked.referral;
  await asSystem(tx, 'router', async tx => {
    insertReferral(tx, locked.referral);
    if (body.lawful_ground) await startTimers(tx, referralTimerContext(locked, now), ['ground_review']);
  });
  for (const from_case_id of locked.separate_from ?? []) {
    const said = { case_id, from_case_id, said_by_agency_id: actor.agency_id, until: null, agreed_at: now, created_at: now };
    await saveSeparation(tx, { id: newId('sep'), ...said });
  }
  const receipt = await record(services, tx, actor, {
    action: 'referral.make',
    resource_type: 'referral',
    lawful_ground: body.lawful_ground?.code,
    subjects: [{ subject_id: case_id, referral_id: id, categories: body.categories }],
  });
  if (first) await makeOffer(services, tx, actor, locked, first, now);
  if (!named) await goOn(services, tx, actor, locked, now);
  finish(tx, locked, now);
  return { id, receipt };
}

/** What is known of a case and of those who could help, before a referral of it is made. */
export type Known = { found: CaseRow; assigned: AssigneesRow | null; providers: CandidateRow[] } & Pick<
  LockedReferral,
  'grants' | 'pack' | 'profile' | 'coordinators' | 'agencies'
>;

/** @param finding the case, which is being locked */
export async function lookAt(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  case_id: string,
  { service }: Pick<ReferralBody, 'service'>,
  finding: Promise<CaseRow> | CaseRow,
): Promise<Known> {
  const asking = findAssignees(tx, { case_id }, actor.agency_id);
  const looking = asSystem(tx, 'router', tx =>
    Promise.all([
      listGrants(tx, { case_id }),
      findProfile(services, tx, { case_id }),
      listParties(tx, { case_id }, actor.agency_id),
      listCandidates(services, tx, { service, case_id }, services.now()),
      findRulesOfCase(tx, { case_id }),
    ]),
  );
  const [found, assigned = null, [grants, profile, parties, providers, rules]] = await Promise.all([finding, asking, looking]);
  const pack = await packInForce(services, tx, found, rules);
  return { found, assigned, providers, grants, profile, pack, ...partiesOf(parties) };
}

/**
 * Of a referral it holds at once from whom it keeps apart, so it names the caller's own cases, for one of them.
 * @throws Problem `unprocessable`
 */
async function requireOwn(tx: Tx, actor: AgencyActor, found: CaseRow, separate_from: readonly string[]): Promise<void> {
  const refused = (detail: string) =>
    new Problem('unprocessable', { errors: [{ pointer: '/requirements/separate_from', detail }] });
  for (const id of separate_from) {
    if (id === found.id) throw refused('is the case itself');
    const owners = [found, await findCase(tx, id)].map(it => it?.owner_agency_id);
    if (owners.some(owner => owner !== actor.agency_id))
      throw refused('not both cases are yours: propose it by `POST /v1/cases/{id}/separations`');
  }
}

/** The grounds that would help: none where all that is missing may never be handed over on a ground. */
const groundsFor = (missing: readonly Category[], grounds: readonly LawfulGround[]): readonly LawfulGround[] =>
  missing.length > 0 && missing.every(category => NOT_BY_GROUND.includes(category)) ? [] : grounds;

export function requireRouting(body: Pick<ReferralBody, 'routing' | 'recipient_agency_id' | 'fallback'>): void {
  const wrong = (pointer: string, detail: string) => new Problem('unprocessable', { errors: [{ pointer, detail }] });
  if (body.routing === 'direct' && !body.recipient_agency_id)
    throw wrong('/recipient_agency_id', 'is missing: a direct referral names its recipient');
  if (body.routing === 'automatic' && body.recipient_agency_id)
    throw wrong('/recipient_agency_id', 'belongs to a direct referral');
  if (body.routing === 'automatic' && body.fallback) throw wrong('/fallback', 'belongs to a direct referral');
}

/** In imminent danger the code is enough, so that nobody waits at night; every other ground says whether the person was told. */
export function requireGroundInFull({ lawful_ground }: Pick<ReferralBody, 'lawful_ground'>): void {
  if (!lawful_ground || lawful_ground.code === 'imminent_danger_to_life' || lawful_ground.person_informed !== undefined) return;
  throw new Problem('unprocessable', { errors: [{ pointer: '/lawful_ground/person_informed', detail: 'is missing' }] });
}

/** An agency that holds the case by an accepted offer refers on within what it holds. */
async function requireHeld(
  tx: Tx,
  actor: AgencyActor,
  found: CaseRow,
  body: ReferralBody,
  grounds: readonly string[],
  now: Date,
): Promise<void> {
  const { categories } = await listDisclosed(tx, actor, found, now);
  const beyond = body.categories.filter(category => !categories.includes(category));
  if (beyond.length > 0) throw consentMissing(beyond, grounds);
}

const consentMissing = (categories: readonly Category[], lawful_grounds: readonly string[]) =>
  new Problem('consent_missing', { members: { categories, lawful_grounds } });

/** Exclusions for which somebody else may be asked now or later; whoever is barred for another reason never will be. */
const barred = (excluded_by: readonly string[]): boolean =>
  excluded_by.some(reason => reason !== 'no_consent' && reason !== 'no_capacity' && reason !== 'spoken_for');

/**
 * What is missing for the provider for which least is missing; undefined where nothing is. With no provider at all, what the
 * grants for this purpose leave open.
 */
function leastMissing(
  { referral, grants }: LockedReferral,
  providers: readonly CandidateService[],
  now: Date,
): Category[] | undefined {
  const recipients =
    providers.length > 0
      ? providers.map(({ agency_id, kind }) => ({ id: agency_id, kind }))
      : grants.map(grant => ({ id: grant.recipient_agency_id ?? '', kind: grant.recipient_agency_kind ?? ('' as never) }));
  const askable = recipients.filter(recipient => mayBeAsked(referral, grants, recipient, now));
  if (askable.length === 0) return [...referral.categories];
  const missing = askable
    .map(recipient => missingCategories(referral, grants, recipient, now))
    .sort((a, b) => a.length - b.length)[0]!;
  return missing.length > 0 ? missing : undefined;
}

/**
 * The named agency's service. A person may choose what the ranking would not; but not an agency that does not do it at all.
 * @throws Problem `not_offered`, `agency_suspended`
 */
export function requireProvider(providers: readonly CandidateRow[], agency_id: string): CandidateRow {
  const provider = providers.find(it => it.agency_id === agency_id);
  if (!provider || provider.status === 'suspended' || lacksMandate(provider)) throw new Problem('not_offered');
  if (provider.agency_status === 'suspended')
    throw new Problem('agency_suspended', { detail: 'the named agency takes no new offers' });
  return provider;
}

async function withNeed(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  found: CaseRow,
  known: Omit<Known, 'found'>,
  body: ReferralBody,
  now: Date,
): Promise<LockedReferral> {
  const id = newId('ref');
  const staff_code = actor.caseworker!.staff_code;
  const { lawful_ground, note, requirements } = body;
  const sealed: Sealed = { note, requirements, legal_basis: lawful_ground?.legal_basis };
  const key = await getDataKey(services, tx, found.id);
  const referral = newReferral({
    id,
    reference: newReference(),
    case_id: found.id,
    owner_agency_id: found.owner_agency_id,
    sender_agency_id: actor.agency_id,
    jurisdiction: found.jurisdiction,
    region: found.region,
    service: body.service,
    urgency: body.urgency,
    routing: body.routing,
    recipient_agency_id: body.recipient_agency_id ?? null,
    fallback: body.fallback ?? false,
    categories: body.categories,
    excluded_agencies: body.excluded_agencies ?? [],
    lawful_ground: lawful_ground
      ? { code: lawful_ground.code, person_informed: lawful_ground.person_informed ?? false, staff_code }
      : null,
    sealed: seal(key, sealedPlace(id), sealed),
    places: placesNeeded(known),
    crisis_mode_id: known.pack.crisis?.id ?? null,
    follows_referral_id: null,
    staff_code,
    created_at: now,
    updated_at: now,
  });
  const { assigned: _assigned, ...facts } = known;
  return {
    ...facts,
    referral,
    stage: found.stage,
    separate_from: requirements?.separate_from,
    calendars: calendarsOf(services),
    offers: [],
    timers: [],
    follow_on: null,
    freed: new Set(),
  };
}
