import { listCandidates } from '../../agencies/candidates-store.ts';
import { record } from '../../audit/record.ts';
import { askAssigned, requireAssigned } from '../../cases/assignments.ts';
import { type CaseRow, findCase, findProfile, listGrants, lockCase } from '../../cases/store.ts';
import { type AgencyActor, authorise, type Relation } from '../../core/access.ts';
import { behind, type Reader, type Standing, standingOf, type ToldCandidate, tellCandidates } from '../../core/candidates.ts';
import { isNamed } from '../../core/consent.ts';
import { Problem, raise } from '../../core/problem.ts';
import { hasFirewall } from '../../core/routes.ts';
import { asSystem, type Tx, transact } from '../../platform/database.ts';
import { decodeCursor, encodeCursor, pageLimit, toPage } from '../../platform/http/paging.ts';
import { findRules, packInForce } from '../../rules/store.ts';
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
    const now = services.now();
    const { case_id, service, jurisdiction } = (await findReferral(tx, id)) ?? raise('not_found');
    // All said at once, and looked at once it is clear that the caller may.
    const [, referral = raise('not_found'), offers, assigned, found, [grants, profile, known_case, rules, providers]] =
      await Promise.all([
        lockCase(tx, case_id, 'share'),
        findReferral(tx, id),
        listOffers(tx, id),
        askAssigned(tx, { case_id }, actor.agency_id),
        findCase(tx, case_id),
        asSystem(tx, 'router', tx =>
          Promise.all([
            listGrants(tx, { case_id }),
            findProfile(services, tx, { case_id }),
            findCase(tx, case_id),
            findRules(tx, jurisdiction),
            listCandidates(services, tx, { service, jurisdiction }, now),
          ]),
        ),
      ]);
    const relations = referralRelations(actor, referral, offers);
    authorise(actor, 'referral.candidates', relations);
    await requireAssigned(services, tx, actor, case_id, assigned);
    if (referral.ended) throw new Problem('wrong_state', { members: { state: referral.status, allowed_actions: [] } });

    const pack = await packInForce(services, tx, referral, rules);
    const { stage } = known_case!;
    const { ranked, tie_key, apart_from } = await rank(
      services,
      tx,
      { referral, offers, grants, profile, stage, pack, providers },
      now,
    );
    const contacts = new Map(providers.map(({ agency_id, duty_contact }) => [agency_id, duty_contact]));
    const all = tellCandidates(ranked, providers, {
      agency_id: actor.agency_id,
      knows: await whatIsKnown(tx, actor, referral, relations, found, now),
      names: agency_id => isNamed(grants, agency_id, now),
      reticent: kind => apart_from.length > 0 || hasFirewall(pack.firewalls, service, kind),
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
  found: CaseRow | undefined,
  now: Date,
): Promise<Reader['knows']> {
  // An owner to which the case went over may not know all of the person.
  if (found && relations.includes('owner'))
    return (await withheldNow(tx, found, now)).some(category => category !== 'source') ? 'profile' : 'all';
  if (!relations.includes('sender')) return 'nothing';
  const disclosures = await listDisclosures(tx, { case_id: referral.case_id }, actor.agency_id);
  return disclosures.some(({ ended_at }) => ended_at === null) ? 'profile' : 'nothing';
}

const candidateView = (
  { hidden, agency_id, kind, ...rest }: ToldCandidate,
  { region }: ReferralRow,
  duty_contact: string | null,
): CandidateView => (hidden ? { placed: { region, duty_contact }, ...rest } : { agency_id, kind, ...rest });
