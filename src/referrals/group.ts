import type { CandidateRow } from '../agencies/candidates-store.ts';
import { act } from '../audit/act.ts';
import { type Notice, record } from '../audit/record.ts';
import { findGroup, getBatch, insertBatch, lockMembers } from '../cases/groups/store.ts';
import type { CaseRow } from '../cases/store.ts';
import { groupRelations } from '../cases/view.ts';
import { type AgencyActor, authorise } from '../core/access.ts';
import { Problem, type ProblemExtras, raise } from '../core/problem.ts';
import { placesFree } from '../core/routing.ts';
import { askTogether } from '../core/together.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import { newId } from '../platform/ids.ts';
import type { Services } from '../services.ts';
import { keepSuspected } from './companions-store.ts';
import { beginReferral, lookAt, type Prepared, prepareReferral, requireGroundInFull, requireRouting } from './make.ts';
import { noticeOf } from './notices.ts';
import type { GroupReferralBody, GroupReferralsView, ReferralBody } from './schema.ts';
import { listReferralsById } from './store.ts';

/** One service for many who were found together: a referral for each of them, in one act. */

/** Why a member was not referred, as the same request for that member alone would say it. */
type Refused = { case_id: string; code: Problem['code'] } & Pick<ProblemExtras, 'detail' | 'errors' | 'members'>;
type Item = { case_id: string; referral_id: string } | Refused;

/**
 * Makes a referral for each member that may be referred; whoever may not is told why, and holds up nobody else. Families are asked
 * for at one agency that can take them whole, and so are all members where `together` says so.
 * @throws Problem `agency_suspended`, `not_found`, `forbidden`, `unprocessable`, and where nobody was referred, why
 */
export const referGroup = (services: Services, actor: AgencyActor, group_id: string, body: GroupReferralBody) =>
  act(services, actor, 'group.refer', viewOf(services), async (tx, now) => {
    if (actor.suspended) throw new Problem('agency_suspended');
    const group = (await findGroup(tx, group_id)) ?? raise('not_found');
    const own = await lockMembers(tx, group_id, actor.agency_id);
    authorise(actor, 'group.refer', groupRelations(actor, group, own));
    requireRouting(body);
    requireGroundInFull(body);

    const families = own.filter(({ family }) => family !== null).map(({ id }) => id);
    await asSystem(tx, 'router', tx => keepSuspected(services, tx, families));
    const { prepared, refused } = await prepareAll(services, tx, actor, own, body, now);
    if (prepared.length === 0) throw whyNobody(refused);
    const { first, parted } = plan(prepared, body);
    const items: Item[] = [];
    for (const { found, ready } of prepared.toSorted((a, b) => Number(first.has(b.found.id)) - Number(first.has(a.found.id)))) {
      // Whoever is alone is asked for where places are left by those who go together, and by the others before.
      ready.locked.providers = undefined;
      const made = await beginReferral(services, tx, actor, ready, now, ready.named ?? first.get(found.id));
      items.push({ case_id: found.id, referral_id: made.id });
    }
    const id = newId('bat');
    insertBatch(services, tx, { id, group_id, items: [...items, ...refused] }, { agency_id: actor.agency_id, created_at: now });
    const receipt = await record(services, tx, actor, {
      action: 'group.refer',
      resource_type: 'group',
      subjects: [{ subject_id: group_id }],
      events: parted.map(({ ready }): Notice => noticeOf('referral.parted', ready.locked)),
    });
    return { id, receipt };
  });

interface Member {
  found: CaseRow;
  ready: Prepared;
}

/**
 * All members that are meant, each looked at before anything of any is written.
 * @param own those that the caller owns, locked
 */
async function prepareAll(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  own: readonly CaseRow[],
  { members, together: _together, ...body }: GroupReferralBody,
  now: Date,
): Promise<{ prepared: Member[]; refused: Refused[] }> {
  const open = own.filter(({ stage }) => stage !== 'closed');
  const meant = members ? own.filter(({ id }) => members.includes(id)) : open;
  const refused: Refused[] = (members ?? []).flatMap((case_id, i) =>
    own.some(({ id }) => id === case_id) ? [] : [{ case_id, ...unknownMember(`/members/${i}`) }],
  );
  const prepared: Member[] = [];
  for (const found of meant) {
    try {
      const known = await lookAt(services, tx, actor, found.id, body, found);
      const ready = await prepareReferral(services, tx, actor, known, bodyFor(found, body), now);
      // Nobody has been asked for any of them yet; where all go to one agency, two who must not meet cannot.
      if (ready.named && prepared.some(other => ready.apart_from.includes(other.found.id)))
        throw new Problem('unprocessable', {
          detail: 'somebody of the group from whom this person is kept apart is referred there',
        });
      prepared.push({ found, ready });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const { detail, errors, members } = error.extras;
      refused.push({ case_id: found.id, code: error.code, detail, errors, members });
    }
  }
  return { prepared, refused };
}

const unknownMember = (pointer: string) => ({
  code: 'not_found' as const,
  errors: [{ pointer, detail: 'is not a member of the group that you own' }],
});

/** Nobody is kept apart from himself. */
const bodyFor = ({ id }: CaseRow, body: ReferralBody): ReferralBody =>
  body.requirements?.separate_from?.includes(id)
    ? { ...body, requirements: { ...body.requirements, separate_from: body.requirements.separate_from.filter(it => it !== id) } }
    : body;

/** The one reason where it is the same for all. */
function whyNobody(refused: readonly Refused[]): Problem {
  const [one] = refused;
  if (!one) return new Problem('unprocessable', { detail: 'no case of the group is open' });
  if (one.code !== 'not_found' && refused.every(({ code }) => code === one.code)) return new Problem(one.code, one);
  return new Problem('unprocessable', {
    detail: 'nobody could be referred',
    errors: refused.map(({ errors, code, detail }) => errors?.[0] ?? { pointer: '/members', detail: detail ?? code }),
  });
}

/** Where each is asked for first, and who of a family has to be asked for apart from it. */
function plan(
  prepared: readonly Member[],
  { routing, together, urgency }: GroupReferralBody,
): { first: Map<string, CandidateRow>; parted: Member[] } {
  if (routing === 'direct') return { first: new Map(), parted: [] };
  const providers = new Map(prepared.flatMap(({ ready }) => ready.providers.map(provider => [provider.agency_id, provider])));
  const places_left = new Map(
    [...providers.values()].flatMap(provider => {
      const free = placesFree(provider, urgency);
      return free === null ? [] : [[provider.agency_id, free]];
    }),
  );
  const members = prepared.map(({ found, ready }) => ({
    id: found.id,
    family: found.family,
    places: ready.locked.referral.places,
    ranked: ready.ranked,
    apart_from: new Set(ready.apart_from),
  }));
  const asked = askTogether(members, places_left, together);
  return {
    first: new Map([...asked.first].map(([case_id, agency_id]) => [case_id, providers.get(agency_id)!])),
    parted: prepared.filter(({ found }) => found.family !== null && asked.parted.includes(found.family)),
  };
}

const viewOf =
  (services: Services) =>
  async (tx: Tx, batch_id: string): Promise<GroupReferralsView> => {
    const { group_id, items } = await getBatch<Item>(services, tx, batch_id);
    const ids = items.flatMap(it => ('referral_id' in it ? [it.referral_id] : []));
    const referrals = new Map((await listReferralsById(tx, ids)).map(referral => [referral.id, referral]));
    return {
      group_id,
      referrals: items.map(it => {
        if (!('referral_id' in it)) {
          const { members, ...refused } = it;
          return { ...refused, ...members };
        }
        const { id, reference, status } = referrals.get(it.referral_id) ?? raise('not_found');
        return { case_id: it.case_id, id, reference, status };
      }),
    };
  };
