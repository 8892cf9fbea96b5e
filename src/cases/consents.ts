import { listCandidates } from '../agencies/candidates-store.ts';
import { act } from '../audit/act.ts';
import { recordFailure } from '../audit/failures.ts';
import { noteInJournal } from '../audit/journal.ts';
import { record } from '../audit/record.ts';
import { type AgencyActor, authorise, expectVersion, type SystemActor, systemActor } from '../core/access.ts';
import { isLiveGrant } from '../core/consent.ts';
import { Problem, raise } from '../core/problem.ts';
import { getDataKey } from '../platform/data-keys.ts';
import { asSystem, type Tx, transact } from '../platform/database.ts';
import { newId } from '../platform/ids.ts';
import { open, seal } from '../platform/vault.ts';
import { applyConsentChange } from '../referrals/coverage.ts';
import type { Services } from '../services.ts';
import { requireAssigned } from './assignments.ts';
import { closed, lockOwnCase, ownerNotice } from './commands.ts';
import { insertConsent, listExpiredConsents, listExpiringConsents, saveConsent, saveExpiryWarned } from './consent-store.ts';
import type { ConsentBody, ConsentView, WithdrawBody } from './schema.ts';
import { type CaseRow, type ConsentRow, findCase, findConsent, listConsents, lockCase, lockVisibleCase } from './store.ts';
import { caseRelations } from './view.ts';

type Circumstances = Pick<
  ConsentBody,
  'given_by' | 'guardian' | 'child_assent' | 'interview_language' | 'explained_by' | 'spoken_in_private'
>;

/**
 * Records what the person (or a guardian whose conflict of interest was assessed) agreed to: recipient × purposes × categories
 * × time. Unplaced referrals that it covers are looked at again, holders see what it opens.
 * @throws Problem `not_found`, `forbidden`, `unprocessable`, `precondition_failed` (the case's version), `wrong_state`
 */
export const giveConsent = (services: Services, actor: AgencyActor, case_id: string, body: ConsentBody) =>
  act(services, actor, 'consent.give', viewOf(services, actor), async (tx, now) => {
    const owned = await lockOwnCase(services, tx, actor, case_id, 'consent.give');
    await requireGuardian(services, tx, body, owned, now);
    if (body.expires_at !== undefined && new Date(body.expires_at) <= now) throw fault('/expires_at', 'lies in the past');
    if (owned.track === 'anonymous')
      throw new Problem('unprocessable', { detail: 'an anonymous record has nobody who could consent' });
    const recipient = await findRecipient(tx, body.recipient);
    expectVersion(actor, owned.version);
    if (owned.stage === 'closed') throw closed();

    const id = newId('cns');
    const { given_by, guardian, child_assent, interview_language, explained_by, spoken_in_private } = body;
    const circumstances: Circumstances = {
      given_by,
      guardian,
      child_assent,
      interview_language,
      explained_by,
      spoken_in_private,
    };
    insertConsent(tx, {
      id,
      case_id,
      ...recipient,
      purposes: body.purposes,
      categories: body.categories,
      sealed: seal(await getDataKey(services, tx, case_id), place(id), circumstances),
      expires_at: body.expires_at === undefined ? null : new Date(body.expires_at),
      created_at: now,
      updated_at: now,
    });
    const main = {
      action: 'consent.give',
      resource_type: 'consent',
      subjects: [{ subject_id: case_id, resource_id: id }],
      events: [ownerNotice('consent.granted', case_id, owned.owner_agency_id, owned.risk)],
    };
    return { id, receipt: await applyConsentChange(services, tx, actor, owned, { given: true }, main, now) };
  });

/**
 * The person withdraws, wholly or some categories: disclosure stops at once, every holder is told and has to confirm deletion,
 * offers that nothing else covers end. A service that was accepted goes on unless `stop_service` says otherwise.
 * @throws Problem `not_found`, `forbidden`, `precondition_failed`, `wrong_state` for a grant that is over
 */
export const withdrawConsent = (services: Services, actor: AgencyActor, id: string, body: WithdrawBody) =>
  act(services, actor, 'consent.withdraw', viewOf(services, actor), async (tx, now) => {
    const { case_id } = (await findConsent(tx, id)) ?? raise('not_found');
    // Grants are the owner's to know: to others who know of the case there is none.
    if ((await findCase(tx, case_id))?.owner_agency_id !== actor.agency_id) raise('not_found');
    const owned = await lockOwnCase(services, tx, actor, case_id, 'consent.withdraw');
    const consent = (await findConsent(tx, id)) ?? raise('not_found');
    if (body.categories && body.stop_service) throw fault('/stop_service', 'stops a service, which no category does');
    expectVersion(actor, consent.version);
    if (!isLiveGrant(consent, now)) {
      throw new Problem('wrong_state', {
        members: { state: consent.withdrawn_at ? 'withdrawn' : 'expired', allowed_actions: [] },
      });
    }

    const categories = body.categories
      ? consent.categories.filter(category => !body.categories!.includes(category))
      : consent.categories;
    saveConsent(tx, id, body.categories ? { categories } : { withdrawn_at: now }, now);
    const details = [...(body.categories ?? []), ...(body.stop_service ? [STOP_SERVICE] : [])];
    noteInJournal(services, tx, { kind: 'withdrawn', id, details, at: now });
    const change = { withdrawn: consent, stop_service: body.stop_service ?? false, spoken_in_private: body.spoken_in_private };
    const main = {
      action: 'consent.withdraw',
      resource_type: 'consent',
      code: body.stop_service ? 'stop_service' : null,
      subjects: [{ subject_id: case_id, resource_id: id, ...(body.categories ? { changed: body.categories } : {}) }],
      events: [ownerNotice('consent.withdrawn', case_id, owned.owner_agency_id, owned.risk)],
    };
    return { id, receipt: await applyConsentChange(services, tx, actor, owned, change, main, now) };
  });

const STOP_SERVICE = 'stop_service';

/**
 * Withdraws what had been withdrawn before the database was restored from an older copy. Nobody's word is overheard by that.
 * @param details the categories, where it was not the whole grant; `stop_service`, where that was asked for
 */
export async function withdrawAgain(
  services: Services,
  tx: Tx,
  clock: SystemActor,
  id: string,
  details: readonly string[],
): Promise<void> {
  const now = services.now();
  const known = await findConsent(tx, id);
  if (!known) return;
  await lockCase(tx, known.case_id, 'update');
  const [consent, owned] = await Promise.all([findConsent(tx, id), findCase(tx, known.case_id)]);
  if (!consent || !owned || consent.withdrawn_at || consent.expired_at) return;
  const stop_service = details.includes(STOP_SERVICE);
  const categories = consent.categories.filter(category => !details.includes(category));
  const in_part = details.length > (stop_service ? 1 : 0);
  saveConsent(tx, id, in_part ? { categories } : { withdrawn_at: now }, now);
  const main = {
    action: 'consent.withdraw',
    resource_type: 'consent',
    code: 'restored',
    subjects: [{ subject_id: owned.id, resource_id: id, ...(in_part ? { changed: [...details] } : {}) }],
    events: [ownerNotice('consent.withdrawn', owned.id, owned.owner_agency_id, owned.risk)],
  };
  const change = { withdrawn: consent, stop_service, spoken_in_private: true };
  await applyConsentChange(services, tx, clock, owned, change, main, now);
}

/** Every grant of the case, live or over, newest first. @throws Problem `not_found`, `forbidden` */
export const listCaseConsents = (services: Services, actor: AgencyActor, case_id: string) =>
  transact(services, actor, async tx => {
    const found = await lockVisibleCase(tx, case_id, 'share');
    authorise(actor, 'consent.list', await caseRelations(tx, actor, found));
    await requireAssigned(services, tx, actor, case_id);
    const rows = await listConsents(tx, { case_id });
    const data = await Promise.all(rows.map(row => consentView(services, tx, row)));
    const receipt = await record(services, tx, actor, {
      action: 'consent.list',
      outcome: 'read',
      resource_type: 'consent',
      subjects: [{ subject_id: case_id }],
    });
    return { view: { data, next_cursor: null }, receipt };
  });

/**
 * Draws the consequences of grants whose time is over, as for a withdrawal.
 * @returns whether there may be more
 */
export async function expireConsents(services: Services): Promise<boolean> {
  const batch = 50;
  const clock = systemActor('clock');
  const due = await transact(services, clock, tx => listExpiredConsents(tx, services.now(), batch));
  let failed = 0;
  for (const { id, case_id } of due) {
    const expired = transact(services, clock, async tx => {
      const now = services.now();
      await lockCase(tx, case_id, 'update');
      const consent = await findConsent(tx, id);
      const owned = await findCase(tx, case_id);
      if (!owned || !consent || consent.expired_at || consent.withdrawn_at) return;
      saveConsent(tx, id, { expired_at: now }, now);
      const main = {
        action: 'consent.expire',
        resource_type: 'consent',
        subjects: [{ subject_id: case_id, resource_id: id }],
        events: [ownerNotice('consent.expired', case_id, owned.owner_agency_id, owned.risk)],
      };
      // An expiry is nobody's word that was overheard: no welfare check.
      await applyConsentChange(
        services,
        tx,
        clock,
        owned,
        { withdrawn: consent, stop_service: false, spoken_in_private: true },
        main,
        now,
      );
    });
    // One that fails must not hold up the others; it stays due.
    await expired.catch(async error => {
      failed += 1;
      services.log.error({ err: error, consent_id: id }, 'consent was not expired');
      const subject = { subject_id: case_id, resource_id: id };
      await recordFailure(services, error, { role: 'clock', action: 'consent.expire', subject });
    });
    services.wake_up.notify();
  }
  return due.length === batch && failed === 0;
}

const HOUR_MS = 3_600_000;
const WARN_BEFORE_MS = 72 * HOUR_MS;
/** With less left than this, nobody could do anything about it any more. */
const WARN_AT_LEAST_MS = HOUR_MS;

/**
 * Tells the owner, once per grant, that a consent ends within 72 hours.
 * @returns whether there may be more
 */
export async function warnExpiringConsents(services: Services): Promise<boolean> {
  const batch = 50;
  const clock = systemActor('clock');
  const from_now = (ms: number) => new Date(services.now().getTime() + ms);
  const due = await transact(services, clock, tx =>
    listExpiringConsents(tx, from_now(WARN_AT_LEAST_MS), from_now(WARN_BEFORE_MS), batch),
  );
  let failed = 0;
  for (const { id, case_id } of due) {
    const warned = transact(services, clock, async tx => {
      await lockCase(tx, case_id, 'update');
      const consent = await findConsent(tx, id);
      const owned = await findCase(tx, case_id);
      if (!owned || !consent?.expires_at || consent.expiry_warned_at || consent.withdrawn_at || consent.expired_at) return;
      saveExpiryWarned(tx, id, services.now());
      const detail = { consent_id: id, expires_at: consent.expires_at.toISOString() };
      await record(services, tx, clock, {
        action: 'consent.warn',
        resource_type: 'consent',
        subjects: [{ subject_id: case_id, resource_id: id }],
        events: [ownerNotice('consent.expiring', case_id, owned.owner_agency_id, owned.risk, detail)],
      });
    });
    await warned.catch(async error => {
      failed += 1;
      services.log.error({ err: error, consent_id: id }, 'end of a consent was not told');
      const subject = { subject_id: case_id, resource_id: id };
      await recordFailure(services, error, { role: 'clock', action: 'consent.warn', subject });
    });
    services.wake_up.notify();
  }
  return due.length === batch && failed === 0;
}

const place = (id: string) => ({ table: 'consents', row: id, category: 'consent', version: 1 });

const viewOf = (services: Services, actor: AgencyActor) => async (tx: Tx, id: string) => {
  const found = (await findConsent(tx, id)) ?? raise('not_found');
  await requireAssigned(services, tx, actor, found.case_id);
  return consentView(services, tx, found);
};

async function consentView(services: Services, tx: Tx, row: ConsentRow): Promise<ConsentView> {
  const circumstances = open<Circumstances>(await getDataKey(services, tx, row.case_id), place(row.id), row.sealed);
  return {
    id: row.id,
    case_id: row.case_id,
    status: row.withdrawn_at ? 'withdrawn' : isLiveGrant(row, services.now()) ? 'live' : 'expired',
    ...circumstances,
    recipient: row.recipient_agency_id ? { agency_id: row.recipient_agency_id } : { agency_kind: row.recipient_agency_kind! },
    purposes: row.purposes,
    categories: row.categories,
    expires_at: row.expires_at?.toISOString() ?? null,
    withdrawn_at: row.withdrawn_at?.toISOString() ?? null,
    version: row.version,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

/**
 * A guardian speaks for the person only once it was found that nothing conflicts; else a best-interest decision of the child
 * authority stands in: an agency that protects children in this jurisdiction, and does not own the case.
 */
async function requireGuardian(
  services: Services,
  tx: Tx,
  { given_by, guardian, child_assent }: ConsentBody,
  owned: CaseRow,
  now: Date,
): Promise<void> {
  if (given_by === 'person') {
    if (guardian) throw fault('/guardian', 'belongs to a consent given by a guardian');
    return;
  }
  if (!guardian) throw fault('/guardian', 'is missing');
  if (child_assent === undefined) throw fault('/child_assent', 'is missing: whether the child assents is recorded');
  const { conflict, best_interest_decision: decision } = guardian;
  if (conflict !== 'none' && !decision) {
    throw fault(
      '/guardian/conflict',
      'a guardian in conflict of interest, or not assessed, cannot consent: a best-interest decision stands in',
    );
  }
  if (!decision) return;
  if (new Date(decision.decided_at) > now) throw fault('/guardian/best_interest_decision/decided_at', 'lies in the future');
  const { jurisdiction, owner_agency_id } = owned;
  const authorities = await asSystem(tx, 'router', tx =>
    listCandidates(services, tx, { service: 'guardianship_child_protection', jurisdiction }, now),
  );
  const decides = authorities.some(
    ({ agency_id }) => agency_id === decision.decided_by_agency_id && agency_id !== owner_agency_id,
  );
  if (!decides) {
    throw fault('/guardian/best_interest_decision/decided_by_agency_id', 'is no child authority of this jurisdiction');
  }
}

async function findRecipient(
  tx: Tx,
  recipient: ConsentBody['recipient'],
): Promise<Pick<ConsentRow, 'recipient_agency_id' | 'recipient_agency_kind'>> {
  if ('agency_kind' in recipient) return { recipient_agency_id: null, recipient_agency_kind: recipient.agency_kind };
  const known = await asSystem(tx, 'router', tx =>
    tx.selectFrom('agencies').select('id').where('id', '=', recipient.agency_id).executeTakeFirst(),
  );
  if (!known) throw fault('/recipient/agency_id', 'is not an agency');
  return { recipient_agency_id: known.id, recipient_agency_kind: null };
}

const fault = (pointer: string, detail: string) => new Problem('unprocessable', { errors: [{ pointer, detail }] });
