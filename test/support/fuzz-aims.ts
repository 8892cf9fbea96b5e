import { generateKeyPairSync } from 'node:crypto';
import type { DemoAgencyKey } from '../../src/demo.ts';
import type { Seen, View, World } from './fuzz-world.ts';
import { caseBody } from './night.ts';
import { shipped } from './rule-packs.ts';

/**
 * Who asks for which operation, about what, and with which words, so that it is likely to be done. The lifecycle is not told
 * again here: what may be done to a referral stands in the answers, under `allowed_actions`.
 */

/** Whom a request is from, what it is about, and what its body says at least. */
export interface Aim {
  by: DemoAgencyKey;
  staff?: 'worker' | 'supervisor' | 'nobody';
  params?: Record<string, string>;
  /** Laid over what the schema made; null stands for itself, undefined takes away. */
  body?: Record<string, unknown>;
  /** The version to name in `If-Match`. */
  version?: number;
}

/** Some number below another. */
export type Chance = (below: number) => number;

const auditor = (world: World, chance: Chance): Aim =>
  chance(2) ? { by: 'audit_body' } : { by: world.keys[chance(world.keys.length)]!, staff: 'supervisor' };

const FIRST_RESPONDERS: readonly DemoAgencyKey[] = ['helpline_a', 'helpline_b', 'labour_inspection', 'health'];
const RECEIVERS: Partial<Record<string, [DemoAgencyKey, string]>> = {
  medical: ['health', 'health'],
  psychosocial: ['civil_society', 'civil_society'],
  legal_aid: ['civil_society', 'civil_society'],
  labour_claim_wage_recovery: ['labour_inspection', 'labour_inspection'],
  identification: ['prosecution', 'prosecution'],
  criminal_investigation: ['prosecution', 'prosecution'],
  shelter_accommodation: ['shelter_c', 'shelter'],
};
const COVERED = Object.keys(RECEIVERS);

/** Undefined where nobody could do it now. */
export function aimAt(world: World, operation: string, chance: Chance, now: Date): Aim | undefined {
  const verb = VERBS[operation];
  return verb ? aimVerb(world, verb, chance, now) : AIMS[operation]?.(world, chance, now);
}

const BY_TELEPHONE = ['receive', 'accept', 'decline', 'confirm_handover'];

/** One of the verbs of a referral, by whom it was told that it may; or by telephone. */
function aimVerb(world: World, verb: string, chance: Chance, now: Date): Aim | undefined {
  const by_telephone = BY_TELEPHONE.includes(verb) && chance(5) === 0;
  const suits = by_telephone
    ? (view: View, by: DemoAgencyKey) => is_sender(view, by, world) && ['offered', 'received', 'accepted'].includes(view.status)
    : (view: View) => view.allowed_actions?.includes(verb);
  const found = one(world.seen('ref', suits), chance);
  if (!found) return undefined;
  const agency_id = verb === 'reroute' ? providerOf(world, found.view.service) : undefined;
  const told_by = by_telephone ? { channel: 'phone', at: now.toISOString(), staff_code: 'N-7' } : undefined;
  return {
    ...of(found),
    body: { ...particulars(verb, chance, now), told_by, offer_id: undefined, ...(agency_id ? { agency_id } : {}) },
  };
}

function particulars(verb: string, chance: Chance, now: Date): Record<string, unknown> {
  const later = (hours: number) => new Date(now.getTime() + hours * 3_600_000).toISOString();
  if (verb === 'accept') return { over_capacity: chance(3) > 0 };
  if (verb === 'confirm_handover') return { arrived_at: now.toISOString(), over_capacity: true };
  if (verb === 'waitlist') return { review_at: chance(2) ? later(0.2) : undefined };
  if (verb === 'review') return { next_review_at: chance(2) ? later(20) : undefined };
  return {};
}

function providerOf({ agencies }: World, service: string): string | undefined {
  const key = RECEIVERS[service]?.[0];
  return key && agencies[key].id;
}

/** A consent for something that somebody in the mechanism does. */
function consentOf({ agencies }: World, chance: Chance): Record<string, unknown> {
  const service = COVERED[chance(COVERED.length)]!;
  const [key, kind] = RECEIVERS[service]!;
  return {
    given_by: 'person',
    guardian: undefined,
    recipient: chance(3) ? { agency_kind: kind } : { agency_id: agencies[key].id },
    purposes: [service],
    expires_at: undefined,
  };
}

/** What a consent covers, or somebody in danger needs. */
function aimNewReferral(world: World, chance: Chance): Aim | undefined {
  const alone = { excluded_agencies: undefined, requirements: undefined, fallback: undefined };
  const automatic = { routing: 'automatic', recipient_agency_id: undefined };
  if (chance(5) === 0) {
    const kase = one(
      world.seen('cas', (view, by) => is_owner(view, by, world) && view.stage !== 'closed' && view.track === 'named'),
      chance,
    );
    const service = COVERED[chance(COVERED.length)]!;
    const lawful_ground = { code: 'imminent_danger_to_life', legal_basis: undefined };
    return kase && { ...of(kase), body: { ...alone, ...automatic, service, categories: ['narrative'], lawful_ground } };
  }
  const is_covered = (service: string) => COVERED.includes(service);
  const consent = one(
    world.seen('cns', ({ status, purposes }) => status === 'live' && purposes.some(is_covered)),
    chance,
  );
  if (!consent) return undefined;
  const { purposes, categories, case_id, recipient } = consent.view;
  const service = purposes.find(is_covered);
  const named = recipient.agency_id ?? providerOf(world, service);
  const routing = chance(2) ? { routing: 'direct', recipient_agency_id: named } : automatic;
  const open = categories.filter((it: string) => it !== 'source').slice(chance(2));
  return {
    by: consent.by,
    params: { id: case_id },
    body: { ...alone, ...routing, service, categories: open, lawful_ground: undefined },
  };
}

const one = <T>(them: readonly T[], chance: Chance): T | undefined => them[chance(Math.max(1, them.length))];

const of = ({ id, by, view }: Seen, staff?: Aim['staff']): Aim => ({
  by,
  params: { id },
  ...(staff ? { staff } : {}),
  ...(view.version === undefined ? {} : { version: view.version }),
});

const VERBS: Record<string, string> = {
  receiveReferral: 'receive',
  requestInformation: 'request_information',
  provideInformation: 'provide_information',
  waitlistReferral: 'waitlist',
  acceptReferral: 'accept',
  declineReferral: 'decline',
  rerouteReferral: 'reroute',
  confirmHandover: 'confirm_handover',
  reportNoShow: 'report_no_show',
  reviewReferral: 'review',
  completeReferral: 'complete',
  failReferral: 'fail',
  cancelReferral: 'cancel',
  contestReferral: 'contest',
};

/** One in which nobody works, so that nothing here depends on its rules. */
const jurisdiction = (chance: Chance): string => `Q${'MNOPQRSTUVWXYZ'[chance(14)]}`;

type Aiming = (world: World, chance: Chance, now: Date) => Aim | undefined;

/** Somebody who may, about one of the things that suit. */
const about =
  (
    prefix: string,
    suits: (view: View, by: DemoAgencyKey, world: World) => boolean,
    staff?: Aim['staff'],
    body?: (chance: Chance, now: Date) => Record<string, unknown>,
  ): Aiming =>
  (world, chance, now) => {
    const found = one(
      world.seen(prefix, (view, by) => suits(view, by, world)),
      chance,
    );
    return found && { ...of(found, staff), ...(body ? { body: body(chance, now) } : {}) };
  };

const is_owner = ({ owner_agency_id }: View, by: DemoAgencyKey, world: World) => owner_agency_id === world.agencies[by].id;
const is_sender = ({ sender_agency_id }: View, by: DemoAgencyKey, world: World) => sender_agency_id === world.agencies[by].id;
const is_own = ({ agency_id }: View, by: DemoAgencyKey, world: World) => agency_id === world.agencies[by].id;
const at_own_agency =
  (staff: Aim['staff'] = 'supervisor', body?: (chance: Chance) => Record<string, unknown>): Aiming =>
  (world, chance) => {
    const by = world.keys[chance(world.keys.length)]!;
    return { by, staff, params: { id: world.agencies[by].id }, ...(body ? { body: body(chance) } : {}) };
  };
const as_committee: Aiming = (world, chance) => ({
  by: 'committee',
  staff: 'nobody',
  params: { id: world.anyId('agy', 1 + chance(19)) },
});
const own_or_committee =
  (body?: (chance: Chance) => Record<string, unknown>): Aiming =>
  (world, chance, now) => ({
    ...(chance(3) ? at_own_agency() : as_committee)(world, chance, now)!,
    ...(body ? { body: body(chance) } : {}),
  });

/** One that holds. */
const ofCrisis: Aiming = (world, chance) => {
  const found = one(
    world.seen('crm', ({ status }) => status === 'in_force'),
    chance,
  );
  return found && { by: 'committee', params: { code: found.view.jurisdiction, id: found.id } };
};

const KEYS = [generateKeyPairSync('ed25519'), generateKeyPairSync('ec', { namedCurve: 'P-256' })].map(({ publicKey }) =>
  publicKey.export({ format: 'jwk' }),
);
const jwks = (chance: Chance) => ({ keys: [KEYS[chance(2)]] });
const MET_BY_HAND = [
  'missing_person_check',
  'welfare_check',
  'follow_up',
  'safety_ack',
  'immediate_needs',
  'authority_notification',
  'stay_review',
];
const NEVER_RESTS = ['safety_ack', 'missing_person_check', 'welfare_check', 'deletion_confirmation', 'ground_review'];
const is_unkept = (view: View, by: DemoAgencyKey, world: World) => is_own(view, by, world) && !world.isKept(view.id);
/** Of the directory; `status` and what routing goes by stay, or nobody would be asked any more. */
const harmless = () => ({
  status: 'active',
  jurisdictions: undefined,
  regions: undefined,
  calendar_id: undefined,
  operating_mode: 'open',
  first_responder: undefined,
});
const service_of = (chance: Chance) => ['medical', 'legal_aid', 'interpretation', 'livelihood', 'cash_material'][chance(5)]!;
const at_service: Aiming = (world, chance, now) => {
  const aim = at_own_agency()(world, chance, now)!;
  return { ...aim, params: { ...aim.params, service: service_of(chance) } };
};

/** One who can be found: what else is said of experts is as it comes. */
const anExpert = () => ({
  skills: ['interpretation'],
  jurisdictions: ['XA'],
  regions: undefined,
  availability: undefined,
  unavailable: undefined,
  languages: undefined,
  conflicts: undefined,
});
const inTwoDays = (chance: Chance, now: Date) => {
  const from = now.getTime() + (48 + chance(500)) * 3_600_000;
  return { from: new Date(from).toISOString(), to: new Date(from + 3_600_000).toISOString() };
};
const answering = (verb: string): Aiming => about('xrq', ({ allowed_actions }) => allowed_actions?.includes(verb) ?? false);

const AIMS: Record<string, Aiming> = {
  getProblem: (_, chance) => ({ by: 'health', params: { code: ['not_found', 'consent_missing', 'wrong_state'][chance(3)]! } }),
  openCase: (_, chance) => ({
    by: FIRST_RESPONDERS[chance(FIRST_RESPONDERS.length)]!,
    body: { track: 'named', jurisdiction: 'XA', region: 'XA-1', group_id: undefined, family: undefined },
  }),
  openGroup: (_, chance) => ({
    by: FIRST_RESPONDERS[chance(FIRST_RESPONDERS.length)]!,
    body: { cases: Array.from({ length: 1 + chance(3) }, () => caseBody()), families: [[0]] },
  }),
  getGroup: (world, chance) => {
    const found = one(
      world.seen('cas', (view, by) => is_owner(view, by, world) && typeof view.group_id === 'string'),
      chance,
    );
    return found && { ...of(found), params: { id: String(found.view.group_id) } };
  },
  getCase: about('cas', () => true),
  getCaseTimeline: about('cas', () => true),
  listDisclosures: about('cas', () => true),
  amendCase: about(
    'cas',
    (view, by, world) => is_owner(view, by, world) && view.stage !== 'closed',
    undefined,
    () => ({ track: undefined, region: undefined, group_id: undefined, family: undefined }),
  ),
  closeCase: about(
    'cas',
    (view, by, world) => is_owner(view, by, world) && view.stage !== 'closed' && view.risk === 'low',
    'supervisor',
  ),
  reopenCase: about('cas', (view, by, world) => is_owner(view, by, world) && view.stage === 'closed', 'supervisor'),
  assignCase: (world, chance, now) => {
    const aim = about('cas', is_owner)(world, chance, now);
    return (
      aim && {
        ...aim,
        version: chance(2),
        body: { staff_codes: chance(2) ? [] : [world.agencies[aim.by].caseworkers[0].staff_code] },
      }
    );
  },
  getAssignees: about('cas', is_owner),
  giveConsent: (world, chance, now) => {
    const aim = about('cas', (view, by, it) => is_owner(view, by, it) && view.stage !== 'closed' && view.track === 'named')(
      world,
      chance,
      now,
    );
    return aim && { ...aim, body: consentOf(world, chance) };
  },
  listConsents: about('cas', is_owner),
  withdrawConsent: about(
    'cns',
    ({ status }) => status === 'live',
    undefined,
    () => ({ categories: undefined }),
  ),
  confirmDeletion: about(
    'dsc',
    (view, by, world) => is_own(view, by, world) && view.deletion_due_at !== null && !view.deletion_confirmed_at,
  ),
  makeReferral: aimNewReferral,
  getReferral: about('ref', () => true),
  listCandidates: about(
    'ref',
    ({ sender_agency_id, status }, by, world) =>
      sender_agency_id === world.agencies[by].id && ['unplaced', 'offered', 'received'].includes(status),
  ),
  sendMessage: about('ref', ({ status, offer }) => ['accepted', 'in_progress'].includes(offer?.status ?? status)),
  listMessages: about('ref', ({ status, offer }) => ['accepted', 'in_progress'].includes(offer?.status ?? status)),
  reviewGround: (world, chance, now) => {
    const aim = about('ref', ({ lawful_ground }) => lawful_ground?.upheld === null, 'supervisor')(world, chance, now);
    return aim && (chance(2) ? aim : { ...aim, by: 'committee', staff: 'worker' });
  },
  pauseTimer: about(
    'tmr',
    (view, by, world) =>
      view.responsible_agency_id === world.agencies[by].id &&
      view.state === 'running' &&
      view.urgency !== 'emergency' &&
      !NEVER_RESTS.includes(view.name),
    'supervisor',
  ),
  resumeTimer: about(
    'tmr',
    (view, by, world) =>
      view.responsible_agency_id === world.agencies[by].id &&
      view.state === 'paused' &&
      view.pause_reason !== 'information_requested',
    'supervisor',
  ),
  meetTimer: about(
    'tmr',
    (view, by, world) =>
      view.responsible_agency_id === world.agencies[by].id &&
      ['running', 'breached'].includes(view.state) &&
      MET_BY_HAND.includes(view.name),
  ),
  waiveTimer: about(
    'tmr',
    (view, by, world) =>
      view.name === 'recovery_period' &&
      view.state === 'running' &&
      ['helpline_a', 'helpline_b', 'health'].includes(by) &&
      !is_own(view, by, world),
    undefined,
    () => ({ requested_by_person: true, spoken_in_private: true }),
  ),
  recordScreening: about(
    'cas',
    (view, by, world) => is_owner(view, by, world) && view.stage !== 'closed' && by !== 'health',
    undefined,
    () => ({ instrument: undefined, version: undefined, answers: undefined }),
  ),
  listScreenings: about('cas', is_owner),
  makeDecision: (world, chance, now) => {
    const found = one(
      world.seen('cas', (view, by) => by === 'prosecution' && ['reported', 'presumed'].includes(view.stage)),
      chance,
    );
    const kind = ['initial', 'reasonable_grounds'][chance(2)];
    return found && { ...of(found), body: { kind, decided_at: now.toISOString() } };
  },
  listDecisions: about('cas', is_owner),
  serveDecision: about(
    'dec',
    ({ served_at }) => served_at === null,
    undefined,
    () => ({ served_at: undefined }),
  ),
  requestReconsideration: about('cas', (view, by, world) => is_owner(view, by, world) && view.stage === 'not_identified'),
  // Nobody on it could be called at first, so that the committee is told.
  acknowledgeEscalation: (world, chance, now) => {
    const aim = about('tmr', ({ calls, acknowledged_at, state }) => calls > 0 && !acknowledged_at && state === 'breached')(
      world,
      chance,
      now,
    );
    return aim && (chance(2) ? aim : { ...aim, by: 'committee' });
  },
  // Nobody pulls there.
  acknowledgeUndelivered: ({ agencies, keys }, chance) => ({
    by: chance(2) ? 'committee' : 'health',
    params: { id: agencies[keys[chance(keys.length)]!].id },
  }),
  getDutyRoster: (_, chance) => ({ by: chance(2) ? 'committee' : 'health', params: { code: 'XA' } }),
  setDutyRoster: ({ agencies }, chance) => ({
    by: 'committee',
    params: { code: 'XA' },
    version: 1 + chance(3),
    body: {
      entries: (['health', 'civil_society', 'helpline_a'] as const)
        .slice(chance(3))
        .map(key => ({ agency_id: agencies[key].id, staff_code: agencies[key].caseworkers[0].staff_code })),
    },
  }),
  startCrisisMode: (_, chance) => ({
    by: 'committee',
    params: { code: 'XA' },
    // What is for everybody to read names nobody.
    body: { regions: [`XA-${chance(30)}`], reason: 'flood', expires_at: undefined },
  }),
  listCrisisModes: (world, chance) => ({ by: world.keys[chance(world.keys.length)]!, params: { code: jurisdiction(chance) } }),
  getCrisisMode: ofCrisis,
  changeCrisisPhase: ofCrisis,
  renewCrisisMode: (world, chance, now) => {
    const aim = ofCrisis(world, chance, now);
    return aim && { ...aim, body: { expires_at: undefined } };
  },
  endCrisisMode: ofCrisis,
  listAuditEntries: (world, chance) => auditor(world, chance),
  getAuditEntry: (_, chance) => ({ by: 'audit_body', params: { index: String(chance(20)) } }),
  exportLog: () => ({ by: 'audit_body' }),
  openInquiry: () => ({ by: 'audit_body', body: { from: undefined, to: undefined } }),
  getInquiry: about('inq', () => true),
  confirmInquiry: about('inq', ({ state }) => state === 'waiting', 'supervisor'),
  getCheckpoint: (world, chance) => auditor(world, chance),
  getVerifierKey: (world, chance) => auditor(world, chance),
  getTile: (world, chance) => ({
    ...auditor(world, chance),
    params: { '*': `${['0', 'entries'][chance(2)]}/000.p/${1 + chance(20)}` },
  }),
  getInclusionProof: (world, chance) => ({ ...auditor(world, chance), params: { index: String(chance(20)) } }),
  getConsistencyProof: (world, chance) => auditor(world, chance),
  createAgency: () => ({ by: 'committee', staff: 'nobody', body: { jurisdictions: ['XA'], regions: ['XA-1'] } }),
  changeAgency: (world, chance, now) =>
    chance(2)
      ? { ...as_committee(world, chance, now)!, version: 1, body: harmless() }
      : {
          ...at_own_agency()(world, chance, now)!,
          version: 1,
          body: { ...harmless(), status: undefined, name: undefined, competent_authority: undefined, duty_contact: 'duty desk' },
        },
  getRulePack: (world, chance) => ({ by: world.keys[chance(world.keys.length)]!, params: { code: jurisdiction(chance) } }),
  putRulePack: (_world, chance) => {
    const code = jurisdiction(chance);
    const counted = { version: undefined, created_at: undefined };
    const body = { ...shipped('XA'), ...counted, jurisdiction: code };
    return { by: 'committee', staff: 'nobody', params: { code }, body, ...(chance(2) ? { version: 1 } : {}) };
  },
  listClients: own_or_committee(),
  listCaseworkers: own_or_committee(),
  createClient: own_or_committee(chance => ({ scopes: ['referrals', 'cases'], jwks: chance(2) ? jwks(chance) : undefined })),
  createCaseworker: own_or_committee(chance => ({ staff_code: `Z-${chance(1_000_000)}` })),
  changeCaseworker: about('cwk', is_unkept, 'supervisor'),
  rotateClientSecret: about('cli', (view, by, world) => is_unkept(view, by, world) && view.status !== 'revoked', 'supervisor'),
  setClientKeys: about('cli', (view, by, world) => is_unkept(view, by, world) && view.status !== 'revoked', 'supervisor', jwks),
  revokeClient: about('cli', (view, by, world) => is_unkept(view, by, world) && view.status !== 'revoked', 'supervisor'),
  enableClient: (world, chance) => {
    // An administrator of another agency saw it, who made it; its own supervisor enables it.
    const found = one(
      world.seen('cli', ({ status, agency_id }) => status === 'disabled' && world.keyOf(agency_id) !== undefined),
      chance,
    );
    return found && { by: world.keyOf(found.view.agency_id)!, staff: 'supervisor', params: { id: found.id } };
  },
  importDirectory: (_, chance) => ({
    by: 'committee',
    body: {
      jurisdiction: 'XA',
      source: 'fuzz',
      agency_kinds: undefined,
      service_codes: undefined,
      directory: { organizations: [{ id: String(chance(9)), name: 'Somebody', attributes: [{ value: 'health' }] }] },
    },
  }),
  listServices: at_own_agency('worker'),
  getService: (world, chance) => ({
    by: world.keys[chance(world.keys.length)]!,
    params: chance(2)
      ? { id: world.agencies.health.id, service: 'medical' }
      : { id: world.agencies.shelter_a.id, service: 'shelter_accommodation' },
  }),
  getCapacity: (world, chance) => ({
    by: world.keys[chance(world.keys.length)]!,
    params: { id: world.agencies[chance(2) ? 'shelter_a' : 'shelter_c'].id, service: 'shelter_accommodation' },
  }),
  setService: (world, chance, now) => ({
    ...at_service(world, chance, now)!,
    version: 1 + chance(3),
    body: {
      regions: ['XA-1'],
      located_in: 'XA-1',
      schedules: [],
      min_age: undefined,
      status: 'active',
      accepts_dependants: true,
      protection_statuses: [],
      sexes: [],
      languages: [],
    },
  }),
  setCapacity: (world, chance) => ({
    by: 'health',
    staff: 'supervisor',
    params: { id: world.agencies.health.id, service: 'medical' },
    body: { total: 50 + chance(9) },
  }),
  createExpert: at_own_agency('supervisor', () => anExpert()),
  listExperts: at_own_agency(),
  getExpert: about('xpt', is_own, 'supervisor'),
  changeExpert: about('xpt', is_own, 'supervisor', () => ({ ...anExpert(), status: 'active' })),
  matchExperts: (_, chance, now) => ({
    by: FIRST_RESPONDERS[chance(FIRST_RESPONDERS.length)]!,
    body: { ...inTwoDays(chance, now), skill: 'interpretation', jurisdiction: 'XA', case_id: undefined, languages: undefined },
  }),
  makeExpertRequest: (world, chance, now) => {
    const found = one(
      world.seen('xpt', ({ status }) => status === 'active'),
      chance,
    );
    return (
      found && {
        by: FIRST_RESPONDERS[chance(FIRST_RESPONDERS.length)]!,
        body: {
          ...inTwoDays(chance, now),
          expert_id: found.id,
          skill: 'interpretation',
          jurisdiction: 'XA',
          mode: 'in_person',
          case_id: undefined,
          language: undefined,
          region: undefined,
          against: undefined,
        },
      }
    );
  },
  listExpertRequests: at_own_agency(),
  getExpertRequest: about('xrq', () => true),
  confirmExpertRequest: answering('confirm'),
  declineExpertRequest: answering('decline'),
  cancelExpertRequest: answering('cancel'),
  completeExpertRequest: answering('complete'),
  createWebhookEndpoint: at_own_agency('supervisor', chance => ({
    event_types: chance(2) ? ['*'] : ['referral.offered'],
    // No nonsense is a certificate.
    tls: undefined,
  })),
  listWebhookEndpoints: at_own_agency(),
  getWebhookEndpoint: about('whe', is_own, 'supervisor'),
  updateWebhookEndpoint: about('whe', is_own, 'supervisor', chance => ({
    event_types: chance(2) ? ['*'] : undefined,
    description: 'changed',
    tls: undefined,
  })),
  deleteWebhookEndpoint: about('whe', ({ status }) => status === 'paused', 'supervisor'),
  rotateWebhookSecret: about('whe', is_own, 'supervisor'),
  testWebhookEndpoint: about('whe', ({ status }) => status === 'active', 'supervisor'),
  pauseWebhookEndpoint: about('whe', ({ status }) => status === 'active', 'supervisor'),
  enableWebhookEndpoint: about('whe', ({ status }) => status === 'paused' || status === 'disabled', 'supervisor'),
  recoverWebhookEndpoint: about('whe', is_own, 'supervisor', (_, now) => ({
    since: new Date(now.getTime() - 3_600_000).toISOString(),
  })),
  redeliverDelivery: about('dlv', ({ state }) => state !== 'pending', 'supervisor'),
  listEndpointDeliveries: about('whe', is_own, 'supervisor'),
};
