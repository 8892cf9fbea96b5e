import { recordFailure } from '../audit/failures.ts';
import { type Notice, record } from '../audit/record.ts';
import { lockCase } from '../cases/store.ts';
import { followOn } from '../core/follow-on.ts';
import { getDataKey } from '../platform/data-keys.ts';
import { asSystem, type Tx, transact } from '../platform/database.ts';
import { newId, newReference } from '../platform/ids.ts';
import { open, seal } from '../platform/vault.ts';
import type { Services } from '../services.ts';
import { startTimers } from '../timers/apply.ts';
import { findServing, isFollowOnDue, isNeedless, listFollowOnsDue, listNeedless } from './follow-on-store.ts';
import { type LockedReferral, loadLocked } from './locked.ts';
import { noticeOf } from './notices.ts';
import { cancelNeedless, finish, ROUTER, referralTimerContext, subjectOf } from './progress.ts';
import { goOn, placesNeeded } from './router.ts';
import { type Sealed, sealedPlace } from './sealed.ts';
import { findReferral, insertReferral, newReferral } from './store.ts';

/**
 * Handover without a gap: when a service is suspended, or its agency leaves, another is asked for each person served there, while
 * the old receiver goes on until it says itself that it is over. When it comes back before anybody said yes, nobody is asked.
 */

const BATCH = 50;

/**
 * Makes the follow-ons that are due, and takes back those that are not needed any more: one case at a time, each once, however many
 * look beside each other. One that fails holds up nobody, and is tried again in the next round.
 */
export async function makeFollowOns(services: Services): Promise<void> {
  await forEach(services, listNeedless, 'referral.cancel', async (tx, referral_id, now) => {
    const locked = await loadLocked(services, tx, referral_id);
    if (await isNeedless(tx, referral_id)) await cancelNeedless(services, tx, locked, now);
  });
  await forEach(services, listFollowOnsDue, 'referral.follow_on', async (tx, referral_id, now) => {
    const locked = await loadLocked(services, tx, referral_id);
    if (await isFollowOnDue(tx, referral_id)) await makeFollowOn(services, tx, locked, now);
  });
}

/** Does `work` for each of the list, with its case locked, in a transaction of its own. */
async function forEach(
  services: Services,
  list: typeof listNeedless,
  action: string,
  work: (tx: Tx, referral_id: string, now: Date) => Promise<void>,
): Promise<void> {
  for (let after = ''; ; ) {
    const due = await transact(services, ROUTER, tx => list(tx, after, BATCH));
    for (const { referral_id, case_id } of due) {
      const done = transact(services, ROUTER, async tx => {
        await lockCase(tx, case_id, 'share');
        await work(tx, referral_id, services.now());
      });
      await done.catch(async error => {
        services.log.error({ err: error, referral_id }, 'whom a service leaves was not helped on');
        await recordFailure(services, error, { role: 'router', action, subject: { subject_id: case_id, referral_id } });
      });
      services.wake_up.notify();
    }
    if (due.length < BATCH) return;
    after = due.at(-1)!.referral_id;
  }
}

/**
 * Asks for the same for the same person, in the sender's name. Consent is looked at as the router always does: where it covers
 * nobody else, the follow-on is unplaced, and sender, owner and coordinator are told.
 */
async function makeFollowOn(services: Services, tx: Tx, followed: LockedReferral, now: Date): Promise<void> {
  const { version: _, status: _status, ended: _ended, router_due_at: _due, ...asked } = followed.referral;
  const id = newId('ref');
  const key = await getDataKey(services, tx, asked.case_id);
  const request = open<Sealed>(key, sealedPlace(asked.id), asked.sealed);
  const referral = newReferral({
    ...asked,
    ...followOn(asked),
    id,
    reference: newReference(),
    follows_referral_id: asked.id,
    sealed: seal(key, sealedPlace(id), request),
    places: placesNeeded(followed),
    crisis_mode_id: followed.pack.crisis?.id ?? null,
    created_at: now,
    updated_at: now,
  });
  insertReferral(tx, referral);
  const locked: LockedReferral = { ...followed, referral, offers: [], timers: [], follow_on: null, freed: new Set() };
  if (referral.lawful_ground) await startTimers(tx, referralTimerContext(locked, now), ['ground_review']);
  await record(services, tx, ROUTER, {
    action: 'referral.follow_on',
    resource_type: 'referral',
    lawful_ground: referral.lawful_ground?.code ?? null,
    subjects: [{ ...subjectOf(locked), follows: asked.id, categories: referral.categories }],
  });
  await goOn(services, tx, ROUTER, locked, now);
  finish(tx, locked, now);
}

/**
 * What the agency that leaves is told when the person has arrived where the service goes on: that of its own offer, and not where.
 * Nothing where the referral follows none.
 */
export const arrivedElsewhere = (tx: Tx, locked: LockedReferral): Promise<Notice[]> =>
  asSystem(tx, 'router', async tx => {
    const { follows_referral_id } = locked.referral;
    if (!follows_referral_id) return [];
    const [referral, offer] = await Promise.all([findReferral(tx, follows_referral_id), findServing(tx, follows_referral_id)]);
    if (!referral || !offer) return [];
    const told = { offer, parties: ['receiver'], detail: { elsewhere: true } } as const;
    return [noticeOf('referral.handover_confirmed', { ...locked, referral }, told)];
  });
