import { insertCaseworker, insertClient } from '../../src/access/store.ts';
import { signToken } from '../../src/access/tokens.ts';
import { insertAgency, insertCapacity, insertService } from '../../src/agencies/store.ts';
import { systemActor } from '../../src/core/access.ts';
import { type AgencyKind, type Role, SCOPES, SOFT_RULES } from '../../src/core/codes.ts';
import { LIFE_SAFETY } from '../../src/core/policy.ts';
import { type Tx, transact } from '../../src/platform/database.ts';
import { newId } from '../../src/platform/ids.ts';
import { illustrativePack } from '../../src/rules/packs.ts';
import { insertRulePack } from '../../src/rules/store.ts';
import type { TestApp } from './app.ts';
import { type Answer, answerOf } from './mechanism.ts';
import { type Act, type GrantName, isStep, PLACES, type Receiver, type Who } from './model.ts';
import { caseBody, consentBody, ok } from './night.ts';

/**
 * Lanes: small mechanisms side by side in one database, each a jurisdiction of its own with one sender, one coordinator and the
 * three receivers that the model knows. What happens in one never reaches another, so that many sequences run at once.
 */

const SERVICE = 'psychosocial';
const CATEGORIES = ['identity', 'demographics'] as const;

/** The languages put the receivers in this order, the person's first; the place of `b` must not become known. */
const AGENCIES: Record<Exclude<Who, 'stranger'>, { kind: AgencyKind; roles: Role[]; languages: string[] }> = {
  sender: { kind: 'hotline', roles: ['caseworker'], languages: [] },
  coordinator: { kind: 'coordination_committee', roles: ['coordinator'], languages: [] },
  a: { kind: 'civil_society', roles: ['caseworker', 'supervisor'], languages: ['ar'] },
  b: { kind: 'civil_society', roles: ['caseworker'], languages: [] },
  c: { kind: 'social_services', roles: ['caseworker'], languages: ['fr'] },
};
export const HIDDEN: Receiver = 'b';

interface Member {
  agency_id: string;
  client_id: string;
}

export interface Lane {
  members: Record<Who, Member>;
  case_id: string;
  /** The live grants, by which receivers they cover. */
  grants: Record<GrantName, string>;
  /** The referrals of this sequence, in the order in which they were made. */
  referrals: string[];
  /** Sends what the model calls an act. */
  send(act: Act): Promise<Answer>;
  read(who: Who, referral: number): Promise<Answer>;
  /** Which of the lane's agencies an answer names. */
  named(answer: Answer): Who[];
}

/** What the HTTP contract calls the verbs, with what it asks to be said. */
const BODIES: Record<string, object> = {
  request_information: { questions: ['Is she hurt?'] },
  provide_information: { answers: ['No'] },
  complete: { outcome_code: 'service_provided' },
  fail: { reason_code: 'service_ended' },
  cancel: { reason_code: 'error' },
  contest: { note: 'nobody here said so' },
};

export async function openLanes({ app, services }: TestApp, count: number, offersOf: (referral_id: string) => Promise<string[]>) {
  const tokens = new Map<string, { token: string; made_at: number }>();
  const stranger = await transact(services, systemActor('setup'), tx => insertMember(tx, 'ZZ', AGENCIES.sender));
  return Promise.all(Array.from({ length: count }, (_, number) => openLane(number)));

  async function openLane(number: number): Promise<Lane> {
    const jurisdiction = `L${String.fromCharCode(65 + number)}`;
    const members = await transact(services, systemActor('setup'), async tx => {
      const members: Partial<Record<Who, Member>> = { stranger };
      for (const who of Object.keys(AGENCIES) as Exclude<Who, 'stranger'>[]) {
        members[who] = await insertMember(tx, jurisdiction, AGENCIES[who]);
        if (who in PLACES) await insertPlaces(tx, members[who].agency_id, who as Receiver);
      }
      // Warnings and escalations move nothing, and take their time; but whoever is on duty has to be called.
      const pack = illustrativePack(jurisdiction);
      const policies = pack.policies.map(policy => ({
        ...policy,
        warn_at: [],
        escalate: LIFE_SAFETY.includes(policy.name) ? policy.escalate.slice(0, 1) : [],
      }));
      // Nothing but the languages, so that who is asked next does not depend on who is being asked.
      const points = Object.fromEntries(SOFT_RULES.map(rule => [rule, rule === 'language' ? 20 : 0]));
      const routing = { ...pack.routing, points: points as typeof pack.routing.points };
      await insertRulePack(tx, { ...pack, policies, routing }, 1, services.now());
      return members as Record<Who, Member>;
    });
    const { id: case_id } = ok(
      await post('sender', '/v1/cases', caseBody({ jurisdiction, region: undefined, needs: [SERVICE] })),
    );
    const lane: Lane = { members, case_id, grants: { kind: '', name: '' }, referrals: [], send, read, named };
    for (const grant of ['kind', 'name'] as const) lane.grants[grant] = ok(await give(grant)).id;
    return lane;

    function give(grant: GrantName): Promise<Answer> {
      const recipient = grant === 'kind' ? { agency_kind: AGENCIES.a.kind } : { agency_id: members.c.agency_id };
      const body = { recipient, purposes: [SERVICE], categories: [...CATEGORIES] };
      return post('sender', `/v1/cases/${case_id}/consents`, consentBody(body));
    }

    async function send(act: Act): Promise<Answer> {
      if (act.verb === 'give') {
        const answer = await give(act.grant);
        lane.grants[act.grant] = answer.body.id;
        return answer;
      }
      if (act.verb === 'withdraw') {
        const body = { stop_service: act.stop_service, spoken_in_private: true };
        return post('sender', `/v1/consents/${lane.grants[act.grant]}/withdraw`, body);
      }
      if (act.verb === 'places') {
        const path = `/v1/agencies/${members.a.agency_id}/services/${SERVICE}/capacity`;
        return request('a', 'PUT', path, { total: PLACES.a, held_elsewhere: act.held_elsewhere });
      }
      if (act.verb === 'make') {
        const { urgency, routing, to } = act;
        const recipient =
          routing === 'automatic'
            ? { routing }
            : { routing: 'direct', recipient_agency_id: members[to].agency_id, fallback: routing === 'direct with fallback' };
        const body = { service: SERVICE, urgency, categories: [...CATEGORIES], ...recipient };
        const answer = await post('sender', `/v1/cases/${case_id}/referrals`, body);
        if (answer.status === 201) lane.referrals.push(answer.body.id);
        return answer;
      }
      return isStep(act) ? post(act.who, ...(await stepOf(act)), act.stale ? { 'if-match': '"999999"' } : {}) : ({} as never);
    }

    async function stepOf(act: Extract<Act, { referral: number }>): Promise<[path: string, body: object]> {
      const { verb, to, told_of, reason = 'unsafe', over_capacity } = act;
      const id = lane.referrals[act.referral]!;
      const at = services.now().toISOString();
      const told = told_of !== undefined && {
        told_by: { channel: 'phone', at, staff_code: 'NIGHT-7' },
        offer_id: (await offersOf(id))[told_of],
      };
      const body = {
        ...BODIES[verb],
        ...(verb === 'decline' ? { reason_code: reason } : {}),
        ...(verb === 'reroute' ? { agency_id: members[to!].agency_id, reason_code: 'better_match' } : {}),
        ...(verb === 'confirm_handover' ? { arrived_at: at } : {}),
        ...(over_capacity ? { over_capacity } : {}),
        ...(told || {}),
      };
      return [`/v1/referrals/${id}/${verb.replaceAll('_', '-')}`, body];
    }

    function read(who: Who, referral: number): Promise<Answer> {
      return request(who, 'GET', `/v1/referrals/${lane.referrals[referral]}`);
    }

    function named(answer: Answer): Who[] {
      const text = JSON.stringify(answer.body);
      return (Object.keys(members) as Who[]).filter(who => text.includes(members[who].agency_id));
    }

    function post(who: Who, path: string, body: object, headers: Record<string, string> = {}): Promise<Answer> {
      return request(who, 'POST', path, body, headers);
    }

    async function request(
      who: Who,
      method: 'GET' | 'POST' | 'PUT',
      url: string,
      payload?: object,
      headers = {},
    ): Promise<Answer> {
      const authorization = `Bearer ${await tokenOf(members[who].client_id)}`;
      return answerOf(
        await app.inject({ method, url, headers: { authorization, 'acting-caseworker': 'S-1', ...headers }, payload }),
      );
    }
  }

  async function tokenOf(client_id: string): Promise<string> {
    const now = services.now().getTime();
    const known = tokens.get(client_id);
    if (known && now - known.made_at < 240_000) return known.token;
    const token = await signToken(services, { client_id, scopes: SCOPES });
    tokens.set(client_id, { token, made_at: now });
    return token;
  }

  async function insertMember(tx: Tx, jurisdiction: string, { kind, roles, languages }: (typeof AGENCIES)['a']): Promise<Member> {
    const made = { created_at: services.now(), updated_at: services.now() };
    const agency_id = newId('agy');
    const client_id = newId('cli');
    await insertAgency(tx, {
      id: agency_id,
      name: `Fictional ${jurisdiction} ${kind}`,
      kind,
      jurisdictions: [jurisdiction],
      regions: [],
      languages,
      competent_authority: false,
      first_responder: kind === 'hotline',
      duty_contact: 'duty desk, +999 0200',
      calendar_id: null,
      status: 'active',
      operating_mode: 'open',
      ...made,
    });
    const scopes = SCOPES.filter(scope => scope !== 'admin');
    await insertClient(tx, { id: client_id, agency_id, description: 'lane', scopes, status: 'active', ...made });
    const worker = { id: newId('cwk'), agency_id, staff_code: 'S-1', roles, languages: [], certifications: [] };
    await insertCaseworker(tx, { ...worker, status: 'active', ...made });
    return { agency_id, client_id };
  }

  async function insertPlaces(tx: Tx, agency_id: string, receiver: Receiver): Promise<void> {
    const made = { created_at: services.now(), updated_at: services.now() };
    await insertService(tx, {
      agency_id,
      service: SERVICE,
      regions: [],
      sexes: [],
      min_age: null,
      max_age: null,
      accepts_dependants: true,
      languages: [],
      protection_statuses: [],
      intake_hours: null,
      location_protected: receiver === HIDDEN,
      status: 'active',
      suspended_reason: null,
      ...made,
    });
    const total = PLACES[receiver];
    if (Number.isFinite(total))
      await insertCapacity(tx, { agency_id, service: SERVICE, total, held_elsewhere: 0 }, services.now());
  }
}
