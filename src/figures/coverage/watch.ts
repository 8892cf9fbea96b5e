import { findDirectoryVersion, listJurisdictions } from '../../agencies/store.ts';
import { recordFailure } from '../../audit/failures.ts';
import { record } from '../../audit/record.ts';
import { systemActor } from '../../core/access.ts';
import { COVERED_SERVICES } from '../../core/coverage.ts';
import { OPENED_GAPS, type OpenedGap, openedGaps } from '../../core/opened-gaps.ts';
import { type Tx, transact } from '../../platform/database.ts';
import { listCoordinators } from '../../referrals/store.ts';
import { findRules, ILLUSTRATIVE_VERSION } from '../../rules/store.ts';
import type { Services } from '../../services.ts';
import { findCoverageState, insertCoverageState, lockCoverageState, saveCoverageState } from './store.ts';
import { lookForGaps, takeSurvey } from './survey.ts';

/**
 * Tells the coordinators when a change of the directory or of the rules leaves persons of some kind without anybody: at all, or
 * tonight, or when all is closed next. Whoever is full, or closed at this hour, is no such gap; what was missing when a jurisdiction
 * was first looked at was opened by no change, nor is what another night brings.
 */

/** Another night is looked at in silence, so that what changes during it can be told. */
const AGAIN_MS = 15 * 60_000;

const ROUTER = systemActor('router');

/**
 * Looks again at each jurisdiction in which something has changed. However many processes look at once, each is looked at by one.
 * @returns false: it looks at everything
 */
export async function watchCoverage(services: Services): Promise<boolean> {
  for (const jurisdiction of await transact(services, ROUTER, listJurisdictions)) {
    await transact(services, ROUTER, tx => lookAgain(services, tx, jurisdiction))
      .then(told => told > 0 && services.wake_up.notify())
      .catch(async error => {
        // One that fails must not stand before the others: it is looked at again by the next round.
        services.log.error({ err: error }, 'nobody looked for gaps in the coverage of a jurisdiction');
        const subject = { subject_id: jurisdiction };
        await recordFailure(services, error, { role: 'router', action: 'coverage.note_gap', subject });
      });
  }
  return false;
}

/** @returns how many gaps were told */
async function lookAgain(services: Services, tx: Tx, jurisdiction: string): Promise<number> {
  // Before the directory itself: what changes in between is looked at again by the next round.
  const seen = await findSeen(services, tx, jurisdiction);
  const state = await findCoverageState(tx, jurisdiction);
  const now = services.now();
  const isKnown = (it: { seen: string | null; looked_at: Date }) =>
    it.seen === seen && now.getTime() - it.looked_at.getTime() < AGAIN_MS;
  if (state && isKnown(state)) return 0;
  if (!state) await insertCoverageState(tx, jurisdiction, now);
  const before = await lockCoverageState(tx, jurisdiction);
  if (!before || isKnown(before)) return 0;

  const survey = await takeSurvey(services, tx, jurisdiction, now);
  const { lines: gaps } = await lookForGaps(survey, COVERED_SERVICES, { gaps: OPENED_GAPS, with_places: false });
  const hours = survey.sameHours(before.looked_at);
  const opened =
    before.seen === null || before.seen === seen
      ? []
      : COVERED_SERVICES.flatMap(it => openedGaps(it, before.gaps, gaps, before.regions, survey.dimensions, hours));
  const regions = survey.dimensions.regions.filter(region => region !== null);
  await saveCoverageState(tx, { jurisdiction, seen, regions, gaps, looked_at: now });
  for (const gap of opened) await tell(services, tx, jurisdiction, gap);
  return opened.length;
}

async function findSeen(services: Services, tx: Tx, jurisdiction: string): Promise<string> {
  const directory = await findDirectoryVersion(tx, jurisdiction);
  const { version, modes } = await findRules(tx, jurisdiction);
  const now = services.now();
  const held = modes?.filter(({ expires_at }) => new Date(expires_at) > now).map(({ id, phase }) => `${id} ${phase}`) ?? [];
  return [directory, version ?? ILLUSTRATIVE_VERSION, ...held].join(' ');
}

async function tell(services: Services, tx: Tx, jurisdiction: string, opened: OpenedGap): Promise<void> {
  const { service, gap, when, regions, profiles } = opened;
  const body = { jurisdiction, service, gap, when, regions, profiles, notify: { roles: ['coordinator'] } };
  const coordinators = await listCoordinators(tx, jurisdiction);
  await record(services, tx, ROUTER, {
    action: 'coverage.note_gap',
    resource_type: 'coverage',
    subjects: [{ subject_id: jurisdiction, service, gap, when, regions, profiles: String(profiles) }],
    events: [
      {
        type: 'coverage.gap',
        subject_id: jurisdiction,
        urgent: false,
        recipients: coordinators.map(agency_id => ({ agency_id, body })),
      },
    ],
  });
}
