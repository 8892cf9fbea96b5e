import { act } from '../audit/act.ts';
import { record } from '../audit/record.ts';
import { requireAssigned } from '../cases/assignments.ts';
import { findCase, lockCase } from '../cases/store.ts';
import { type AgencyActor, authorise, expectVersion } from '../core/access.ts';
import { Problem, raise } from '../core/problem.ts';
import { asSystem } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { endReferralTimers } from '../timers/apply.ts';
import { applyConsentChange } from './coverage.ts';
import { loadLocked, referralRelations } from './locked.ts';
import { noticeOf } from './notices.ts';
import { finish, subjectOf } from './progress.ts';
import { findReferral, saveGround } from './store.ts';
import { viewReferral } from './view.ts';

/**
 * Whoever referred on a lawful ground acted alone, perhaps at night; within 24 hours somebody else looks at it. What is not
 * upheld covers nothing from then on, as if a consent had been withdrawn.
 * @throws Problem `not_found`, `forbidden` also for the one who named the ground, `precondition_failed`, `wrong_state` where there
 *   is no ground or it was reviewed
 */
export const reviewGround = (services: Services, actor: AgencyActor, id: string, { upheld }: { upheld: boolean }) =>
  act(
    services,
    actor,
    'referral.review_ground',
    (tx, id) => viewReferral(services, tx, actor, id),
    async (tx, now) => {
      const { case_id } = (await findReferral(tx, id)) ?? raise('not_found');
      await lockCase(tx, case_id, 'update');
      const locked = await asSystem(tx, 'router', tx => loadLocked(services, tx, id));
      const { referral, offers } = locked;
      authorise(actor, 'referral.review_ground', referralRelations(actor, referral, offers));
      await requireAssigned(services, tx, actor, case_id);
      const ground = referral.lawful_ground;
      const reviewer = actor.caseworker!.staff_code;
      if (actor.agency_id === referral.sender_agency_id && ground?.staff_code === reviewer)
        throw new Problem('forbidden', { detail: 'somebody else reviews a ground than the one who named it' });
      expectVersion(actor, referral.version);
      if (!ground || ground.upheld !== undefined)
        throw new Problem('wrong_state', { members: { state: referral.status, allowed_actions: [] } });

      const reviewed_by = { agency_id: actor.agency_id, staff_code: reviewer };
      await asSystem(tx, 'router', async tx => {
        saveGround(tx, referral, { ...ground, upheld, reviewed_at: now.toISOString(), reviewed_by });
        endReferralTimers(tx, locked.timers, now, { meet: ['ground_review'] });
      });
      const main = {
        action: 'referral.review_ground',
        resource_type: 'referral',
        code: upheld ? 'upheld' : 'not_upheld',
        lawful_ground: ground.code,
        subjects: [subjectOf(locked)],
      };
      await finish(tx, locked, now);
      if (upheld) return { id, receipt: await record(services, tx, actor, main) };
      const found = (await asSystem(tx, 'router', tx => findCase(tx, case_id)))!;
      const events = [noticeOf('consent.withdrawn', locked, { parties: ['sender', 'owner'] })];
      return { id, receipt: await applyConsentChange(services, tx, actor, found, { ground_of: id }, { ...main, events }, now) };
    },
  );
