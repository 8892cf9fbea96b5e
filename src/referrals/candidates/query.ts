import { record } from '../../audit/record.ts';
import { requireAssigned } from '../../cases/assignments.ts';
import { findCase, findProfile, listGrants, lockCase } from '../../cases/store.ts';
import { type AgencyActor, authorise, type Relation } from '../../core/access.ts';
import { behind, type Reader, type Standing, standingOf, type ToldCandidate, tellCandidates } from '../../core/candidates.ts';
import type { Category } from '../../core/codes.ts';
import { isNamed } from '../../core/consent.ts';
import { Problem, raise } from '../../core/problem.ts';
import { asSystem, type Tx, transact } from '../../platform/database.ts';
import { decodeCursor, encodeCursor, pageLimit, toPage } from '../../platform/http/paging.ts';
import { getCurrentRulePack } from '../../rules/store.ts';
import type { Services } from '../../services.ts';
import { withheldNow } from '../coverage.ts';
import { listDisclosures } from '../disclosure-store.ts';
import { referralRelations } from '../locked.ts';
import { rank } from '../router.ts';
import { findReferral, listOffers, type ReferralRow } from '../store.ts';
import type { CandidateView } from './schema.ts';

/**
 * Who could take a referral now, and why: what the router would find if it looked at this instant, best first, whoever is
 * excluded behind. A page goes on behind where the last one ended, as they rank now. Recorded before the answer.
 * @throws Problem `not_found`, `forbidden`, `wrong_state` once the referral has ended
 */
export const listReferralCandidates = (
  services: Services,
  actor: AgencyActor,
  id: string,
  query: { limit?: number; cursor?: string },
) =>
  transact(services, actor, async tx => {
    const limit = pageLimit(query);
    const after = decodeCursor(query.cursor, 3) as Standing | undefined;
    const { case_id } = (await findReferral(tx, id)) ?? raise('not_found');
    await lockCase(tx, case_id, 'share');
    const referral = (await findReferral(tx, id)) ?? raise('not_found');
    const offers = await listOffers(tx, id);
    const relations = referralRelations(actor, referral, offers);
    authorise(actor, 'referral.candidates', relations);
    await requireAssigned(services, tx, actor, case_id);
    if (referral.ended) throw new Problem('wrong_state', { members: { state: referral.status, allowed_actions: [] } });

    const now = services.now();
    const found = relations.includes('owner') ? await findCase(tx, case_id) : undefined;
    const [grants, profile, known_case, pack] = await asSystem(tx, 'router', tx =>
      Promise.all([
        listGrants(tx, { case_id }),
        findProfile(services, tx, { case_id }),
        findCase(tx, case_id),
        getCurrentRulePack(services, tx, referral.jurisdiction, referral.region),
      ]),
    );
    const { ranked, providers, tie_key } = await rank(
      services,
      tx,
      { referral, offers, grants, profile, stage: known_case!.stage, pack },
      now,
    );
    const contacts = new Map(providers.map(({ agency_id, duty_contact }) => [agency_id, duty_contact]));
    const all = tellCandidates(ranked, providers, {
      agency_id: actor.agency_id,
      knows: await whatIsKnown(tx, actor, referral, relations, found ? await withheldNow(tx, found, now) : []),
      names: agency_id => isNamed(grants, agency_id, now),
      tie_key,
    });
    const told = after ? behind(all, after, { tie_key }) : all;
    const receipt = await record(services, tx, actor, {
      action: 'referral.candidates',
      outcome: 'read',
      resource_type: 'referral',
      subjects: [{ subject_id: case_id, referral_id: id }],
    });
    const view = toPage(
      told,
      limit,
      last => encodeCursor(...standingOf(last, { tie_key })),
      candidate => candidateView(candidate, referral, contacts.get(candidate.agency_id) ?? null),
    );
    return { view, receipt };
  });

/** The owner knows the person; a sender that holds the case, the profile; to everybody else the person is masked. */
async function whatIsKnown(
  tx: Tx,
  actor: AgencyActor,
  referral: ReferralRow,
  relations: readonly Relation[],
  withheld: readonly Category[],
): Promise<Reader['knows']> {
  // An owner to which the case went over may not know all of the person.
  if (relations.includes('owner')) return withheld.some(category => category !== 'source') ? 'profile' : 'all';
  if (!relations.includes('sender')) return 'nothing';
  const disclosures = await listDisclosures(tx, { case_id: referral.case_id }, actor.agency_id);
  return disclosures.some(({ ended_at }) => ended_at === null) ? 'profile' : 'nothing';
}

const candidateView = (
  { hidden, agency_id, kind, ...rest }: ToldCandidate,
  { region }: ReferralRow,
  duty_contact: string | null,
): CandidateView => (hidden ? { placed: { region, duty_contact }, ...rest } : { agency_id, kind, ...rest });
