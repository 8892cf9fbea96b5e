import { generateKeyPairSync } from 'node:crypto';
import type { Calendar } from '../../src/core/calendar.ts';
import type { OfferStatus, Role, Scope } from '../../src/core/codes.ts';
import type { DemoAgencyKey } from '../../src/demo.ts';
import { timerEffects } from '../../src/referrals/timer-effects.ts';
import { fireDueTimers } from '../../src/timers/sweep.ts';
import { callForUndelivered } from '../../src/webhooks/undelivered/calls.ts';
import type { TestApp } from './app.ts';
import { bodyOf, calendar, holiday } from './calendars.ts';
import { drain } from './drain.ts';
import { expertBody, experts } from './experts.ts';
import { identification, SCREENING } from './identification.ts';
import { clinic } from './journey.ts';
import type { Answer, Mechanism } from './mechanism.ts';
import { caseBody, consentBody, ok, referralBody } from './night.ts';
import { shipped } from './rule-packs.ts';
import { lookAsOwner } from './trail.ts';

/**
 * Every operation of the document: who may do it, written from the contract and not from the code, and a request that really
 * succeeds when the rightful caller makes it, so that whoever is refused is refused for what he is. In all of them `helpline_a`
 * owns the case and sends, `health` is asked or has accepted, `committee` coordinates, and nobody else has to do with it.
 */

export interface Described {
  /** One of these suffices; none: every client may. */
  scopes: readonly Scope[];
  /**
   * The roles of which one suffices, for each agency. `[]`: it may know of the thing, and not do this. An agency that is not
   * named has what `others` have; without `others` the thing does not exist for it. `administrator`: the committee's client
   * with the scope `admin`. The first one named is the rightful caller, by its first role.
   */
  may: Partial<Record<DemoAgencyKey | 'others' | 'administrator', readonly Role[]>>;
  example(world: Prepared): Example | Promise<Example>;
}

export interface Example {
  params?: Record<string, string>;
  /** Of operations that cannot do without: `jurisdiction=XA`. */
  search?: string;
  /** What is asked for instead while nothing shall come of it, where a version does not stop whoever may. */
  standing?: Pick<Example, 'params' | 'body'>;
  body?: object;
  headers?: Record<string, string>;
  /** The case that the thing belongs to. */
  case_id?: string;
}

const FOR_SENDER: readonly Role[] = ['operator', 'caseworker', 'supervisor'];
const FOR_RECEIVER: readonly Role[] = ['caseworker', 'supervisor'];
const READERS: readonly Role[] = ['caseworker', 'operator', 'screener', 'supervisor'];
const SUPERVISOR: readonly Role[] = ['supervisor'];
const COORDINATOR: readonly Role[] = ['coordinator'];
const NOT: readonly Role[] = [];
/** Where no role is asked for. */
export const ANYBODY: readonly Role[] = ['operator', 'caseworker', 'screener', 'supervisor', 'coordinator', 'auditor'];

const MATCH = { 'if-match': '*' };

const CRISES = { scopes: ['directory', 'directory.read', 'clocks'], may: { health: ANYBODY, others: ANYBODY } } as const;
const OF_CRISIS = { scopes: ['clocks'], may: { committee: COORDINATOR, others: NOT } } as const;
const crisisParams = ({ jurisdiction, id }: Answer['body']) => ({ code: jurisdiction, id });

const CALENDARS = {
  scopes: ['clocks', 'directory', 'directory.read', 'admin'],
  may: { health: ANYBODY, others: ANYBODY },
} as const;
const ADMINISTRATOR = { scopes: ['admin'], may: { administrator: ANYBODY, others: NOT } } as const;
const READ_DIRECTORY = { scopes: ['directory', 'directory.read'], may: { health: ANYBODY, others: ANYBODY } } as const;
const ACCESS = ['directory', 'admin'] as const;
const READ_CASES = ['cases', 'cases.read'] as const;
const READ_REFERRALS = ['referrals', 'referrals.read'] as const;

const OWNER = { scopes: ['cases'], may: { helpline_a: FOR_SENDER, health: NOT, committee: NOT } } as const;
const OWNERS_SUPERVISOR = { scopes: ['cases'], may: { helpline_a: SUPERVISOR, health: NOT, committee: NOT } } as const;
const SENDER = { scopes: ['referrals'], may: { helpline_a: FOR_SENDER, health: NOT, committee: NOT } } as const;
const RECEIVER = { scopes: ['referrals'], may: { health: FOR_RECEIVER, helpline_a: NOT, committee: NOT } } as const;
const CORRESPONDENTS = { helpline_a: FOR_RECEIVER, health: FOR_RECEIVER, committee: NOT };
const PARTIES = { helpline_a: READERS, health: READERS, committee: COORDINATOR };
const LISTS = { helpline_a: READERS, committee: [...COORDINATOR, ...READERS], others: READERS };
const AUDITORS = { scopes: ['audit.read'], may: { helpline_a: ['auditor'], others: ['auditor'] } } as const;
const INQUIRY = { scopes: AUDITORS.scopes, may: { audit_body: ['auditor'] } } as const;
const ENDPOINT = { scopes: ['webhooks'], may: { health: SUPERVISOR } } as const;

const ROSTER = { scopes: ['directory'], may: { health: SUPERVISOR, others: SUPERVISOR } } as const;
const READ_ROSTER = { scopes: ['directory', 'directory.read'], may: { health: FOR_RECEIVER } } as const;
const ASKS_FOR_EXPERTS = { helpline_a: FOR_SENDER, health: FOR_SENDER, committee: NOT };
const KEEPER = { scopes: ['referrals'], may: { health: FOR_RECEIVER, helpline_a: NOT } } as const;

const calendarBody = (more: Partial<Calendar> = {}) => bodyOf(calendar(more));

/** What the operations are done to, made when the first of them asks for it. */
export function prepared(test: TestApp, them: Mechanism) {
  const { as, agencies } = them;
  const { at, ask, sender } = clinic(them);
  const health = as('health', 'supervisor');
  const path = `/v1/agencies/${agencies.health.id}`;
  const jwk = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' });
  const once = <T>(make: () => Promise<T>): (() => Promise<T>) => {
    let made: Promise<T> | undefined;
    return () => {
      made ??= make();
      return made;
    };
  };
  /** A referral of its own, on which something can be done. */
  const night = (status: OfferStatus) => at(test, status);
  const verb = async (status: OfferStatus, body: object = {}): Promise<Example> => {
    const { kase, referral } = await night(status);
    return { params: { id: referral.id }, body, case_id: kase.id };
  };
  const timerOf = async (status: OfferStatus, name: string): Promise<Example> => {
    const { kase, referral } = await night(status);
    const { data } = ok(await sender.get(`/v1/timers?referral_id=${referral.id}&name=${name}`));
    return { params: { id: data[0].id }, case_id: kase.id };
  };
  const newGroup = async () => ok(await sender.post('/v1/groups', { cases: [caseBody(), caseBody()], families: [[0, 1]] }));
  const deciding = identification(test, them);
  const newEndpoint = async (): Promise<Answer['body']> =>
    ok(await health.post('/v1/webhook-endpoints', { url: 'http://127.0.0.1:9/hook', event_types: ['*'] }));
  const disclosureOf = async (status: OfferStatus) => {
    const { kase } = await night(status);
    const { data } = ok(await as('health').get(`/v1/cases/${kase.id}/disclosures`));
    return { id: data[0].id as string, kase };
  };
  const newClient = async (by: 'health' | 'committee') =>
    ok(await as(by, 'supervisor').post(`${path}/clients`, { scopes: ['directory'], jwks: { keys: [jwk] } })).id as string;

  let regions = 0;
  /** One at a time holds in a region: each time that it is sent it is about another. */
  const newCrisis = () => ({
    kind: 'epidemic',
    phase: 'response',
    reason: 'a fictional fever',
    get regions() {
      return [`XB-${++regions}`];
    },
  });
  const newExpert = async () => ok(await health.post('/v1/experts', expertBody())) as { id: string };
  const expert = once(newExpert);
  const held = once(() => night('accepted'));
  const expertRequest = async (state: 'requested' | 'confirmed', body?: object): Promise<Example> => {
    const { kase } = await held();
    const asked = experts(test, them).requestBody((await newExpert()).id, { case_id: kase.id });
    const { id } = ok(await sender.post('/v1/expert-requests', asked));
    if (state === 'confirmed') ok(await health.post(`/v1/expert-requests/${id}/confirm`, {}));
    return { params: { id }, body, case_id: kase.id };
  };

  return {
    test,
    them,
    path,
    jwk,
    night,
    verb,
    timerOf,
    newClient,
    expert,
    /** Of its own, so that something can be done to it; for the case that is held. */
    expertRequest,
    /** Opened by a supervisor, so that anybody else confirms it. */
    newInquiry: async () =>
      ok(await as('audit_body', 'supervisor').post('/v1/audit/inquiries', { reference: 'INQ-7' })).id as string,
    /** With something said of a date, which may be taken back. */
    newCalendar: async () =>
      ok(await as('committee', 'nobody').post('/v1/calendars', calendarBody({ holidays: [holiday('2026-11-24')] }))).id as string,
    disclosureOf,
    /** Accepted, and left so: what is only read, and what is refused. */
    held,
    endpoint: once(newEndpoint),
    newEndpoint,
    ask,
    group: once(newGroup),
    newGroup,
    /** Of the jurisdiction in which nothing else happens. */
    roster: once(async () => {
      const entries = [{ agency_id: agencies.health.id, staff_code: agencies.health.caseworkers[0].staff_code }];
      return ok(await as('committee').put('/v1/jurisdictions/XB/duty-roster', { entries }, { 'if-none-match': '*' }));
    }),
    newCrisis,
    crisis: async () => ok(await as('committee').post('/v1/jurisdictions/XB/crisis-modes', newCrisis())),
    deciding,
    /** A case on which `prosecution` decides, and which `health` holds, too. */
    undecided: once(async () => {
      const found = await deciding.accepted();
      await deciding.held(found, 'health');
      // Its like may be made again.
      await deciding.decide(found, 'initial', 'positive');
      return found;
    }),
  };
}

export type Prepared = ReturnType<typeof prepared>;

const onCase =
  (body?: object, headers?: Record<string, string>) =>
  async ({ held }: Prepared): Promise<Example> => {
    const { kase } = await held();
    return { params: { id: kase.id }, body, headers, case_id: kase.id };
  };
const onReferral =
  (body?: object) =>
  async ({ held }: Prepared): Promise<Example> => {
    const { kase, referral } = await held();
    return { params: { id: referral.id }, body, case_id: kase.id };
  };
const onCalendar =
  (more: Omit<Example, 'params'> = {}, params: Record<string, string> = {}) =>
  async ({ newCalendar }: Prepared): Promise<Example> => ({ params: { id: await newCalendar(), ...params }, ...more });
const onEndpoint =
  (body?: object, headers?: Record<string, string>) =>
  async ({ endpoint }: Prepared): Promise<Example> => ({ params: { id: (await endpoint()).id }, body, headers });
const ofHealth =
  (more: Omit<Example, 'params'> = {}, params: Record<string, string> = {}) =>
  ({ them }: Prepared): Example => ({ params: { id: them.agencies.health.id, ...params }, ...more });
const nothingNamed = (body?: object) => (): Example => ({ body });

const aCaseworker = async ({ path, them }: Prepared): Promise<string> =>
  ok(await them.as('health', 'supervisor').get(`${path}/caseworkers`)).data[0].id;

export const OPERATIONS: Record<string, Described> = {
  createClient: {
    scopes: ACCESS,
    may: { health: SUPERVISOR, administrator: ANYBODY },
    example: w => ofHealth({ body: { scopes: ['directory'], jwks: { keys: [w.jwk] } } })(w),
  },
  listClients: {
    scopes: [...ACCESS, 'directory.read'],
    may: { health: SUPERVISOR, administrator: ANYBODY },
    example: ofHealth(),
  },
  getClient: {
    scopes: [...ACCESS, 'directory.read'],
    may: { health: SUPERVISOR, administrator: ANYBODY },
    example: ({ them }) => ({ params: { id: them.agencies.health.client_id } }),
  },
  rotateClientSecret: {
    scopes: ACCESS,
    may: { health: SUPERVISOR, administrator: NOT },
    example: ({ them }) => ({ params: { id: them.agencies.health.client_id } }),
  },
  setClientKeys: {
    scopes: ACCESS,
    may: { health: SUPERVISOR, administrator: NOT },
    example: async w => ({ params: { id: await w.newClient('health') }, body: { keys: [w.jwk] }, headers: MATCH }),
  },
  revokeClient: {
    scopes: ACCESS,
    may: { health: SUPERVISOR, administrator: ANYBODY },
    example: async w => ({ params: { id: await w.newClient('health') } }),
  },
  enableClient: {
    scopes: ['directory'],
    may: { health: SUPERVISOR, administrator: NOT },
    example: async w => ({ params: { id: await w.newClient('committee') } }),
  },
  createCaseworker: {
    scopes: ACCESS,
    may: { health: SUPERVISOR, administrator: ANYBODY },
    example: ofHealth({
      body: { staff_code: 'CC-NEW', roles: ['screener'] },
      standing: { body: { staff_code: 'CC-1', roles: ['screener'] } },
    }),
  },
  listCaseworkers: {
    scopes: [...ACCESS, 'directory.read'],
    may: { health: SUPERVISOR, administrator: ANYBODY },
    example: ofHealth(),
  },
  getCaseworker: {
    scopes: [...ACCESS, 'directory.read'],
    may: { health: SUPERVISOR, administrator: ANYBODY },
    example: async w => ({ params: { id: await aCaseworker(w) } }),
  },
  changeCaseworker: {
    scopes: ['directory'],
    may: { health: SUPERVISOR, administrator: NOT },
    example: async w => ({ params: { id: await aCaseworker(w) }, body: { languages: ['ar'] }, headers: MATCH }),
  },
  createAgency: {
    scopes: ['admin'],
    may: { administrator: ANYBODY, others: NOT },
    example: nothingNamed({ name: 'Example Clinic', kind: 'health', jurisdictions: ['XA'] }),
  },
  listAgencies: { ...READ_DIRECTORY, example: nothingNamed() },
  getAgency: { ...READ_DIRECTORY, example: ofHealth() },
  changeAgency: {
    scopes: ACCESS,
    may: { health: SUPERVISOR, administrator: ANYBODY, others: NOT },
    example: ofHealth({ body: { languages: ['ar'] }, headers: MATCH }),
  },
  importDirectory: {
    ...ADMINISTRATOR,
    example: nothingNamed({
      jurisdiction: 'XA',
      source: 'example',
      directory: {
        organizations: [{ id: '1', name: 'Example Clinic', attributes: [{ value: 'health' }], services: [] }],
      },
    }),
  },
  exportDirectory: { ...READ_DIRECTORY, example: () => ({ search: 'jurisdiction=XA' }) },
  listServices: { ...READ_DIRECTORY, example: ofHealth() },
  getService: { ...READ_DIRECTORY, example: ofHealth({}, { service: 'medical' }) },
  setService: {
    scopes: ['directory'],
    may: { health: SUPERVISOR, others: NOT },
    example: ofHealth({ body: {}, headers: MATCH }, { service: 'medical' }),
  },
  getCapacity: {
    ...READ_DIRECTORY,
    example: ({ them }) => ({ params: { id: them.agencies.shelter_c.id, service: 'shelter_accommodation' } }),
  },
  setCapacity: {
    scopes: ['directory'],
    may: { health: SUPERVISOR, others: NOT },
    example: ofHealth({ body: { total: 90 } }, { service: 'medical' }),
  },
  createExpert: { ...ROSTER, example: nothingNamed(expertBody()) },
  listExperts: { ...READ_ROSTER, may: { health: FOR_RECEIVER, others: FOR_RECEIVER }, example: nothingNamed() },
  getExpert: { ...READ_ROSTER, example: async ({ expert }) => ({ params: { id: (await expert()).id } }) },
  changeExpert: {
    scopes: ['directory'],
    may: { health: SUPERVISOR },
    example: async ({ expert }) => ({ params: { id: (await expert()).id }, body: { remote: true }, headers: MATCH }),
  },
  matchExperts: {
    scopes: READ_REFERRALS,
    may: ASKS_FOR_EXPERTS,
    example: async ({ test, them, held }) => {
      const { kase } = await held();
      return { body: experts(test, them).matchBody({ case_id: kase.id }), case_id: kase.id };
    },
  },
  makeExpertRequest: {
    scopes: ['referrals'],
    may: ASKS_FOR_EXPERTS,
    example: async ({ test, them, held, expert }) => {
      const { kase } = await held();
      const body = experts(test, them).requestBody((await expert()).id, { case_id: kase.id });
      return { body, case_id: kase.id };
    },
  },
  listExpertRequests: { scopes: READ_REFERRALS, may: { helpline_a: READERS, others: READERS }, example: nothingNamed() },
  getExpertRequest: {
    scopes: READ_REFERRALS,
    may: { helpline_a: READERS, health: READERS },
    example: w => w.expertRequest('requested'),
  },
  confirmExpertRequest: { ...KEEPER, example: w => w.expertRequest('requested', {}) },
  declineExpertRequest: { ...KEEPER, example: w => w.expertRequest('requested', { reason_code: 'unsafe' }) },
  cancelExpertRequest: {
    scopes: ['referrals'],
    may: { helpline_a: FOR_SENDER, health: FOR_SENDER },
    example: w => w.expertRequest('confirmed', { reason_code: 'rescheduled' }),
  },
  completeExpertRequest: {
    scopes: ['referrals'],
    may: { helpline_a: FOR_SENDER, health: NOT },
    example: w => w.expertRequest('confirmed', {}),
  },
  createCalendar: { ...ADMINISTRATOR, example: nothingNamed(calendarBody()) },
  listCalendars: { ...CALENDARS, example: nothingNamed() },
  getCalendar: { ...CALENDARS, example: onCalendar() },
  setCalendar: { ...ADMINISTRATOR, example: onCalendar({ body: calendarBody(), headers: MATCH }) },
  setHoliday: { ...ADMINISTRATOR, example: onCalendar({ body: { name: 'Founding day' } }, { date: '2026-11-23' }) },
  removeHoliday: {
    ...ADMINISTRATOR,
    example: onCalendar({}, { date: '2026-11-24' }),
  },
  previewClock: {
    ...CALENDARS,
    example: async it => ({
      body: {
        clock: 'working_days',
        duration: 'P3D',
        calendar_id: (await onCalendar()(it)).params!.id,
        started_at: '2026-11-19T08:00:00.000Z',
      },
    }),
  },
  getRulePack: { scopes: [], may: { health: ANYBODY, others: ANYBODY }, example: () => ({ params: { code: 'XA' } }) },
  putRulePack: {
    ...ADMINISTRATOR,
    example: () => ({ params: { code: 'XA' }, body: shipped('XA'), headers: MATCH }),
  },
  getCoverage: {
    scopes: ['figures.read'],
    may: { committee: [...COORDINATOR, ...READERS], others: READERS },
    example: nothingNamed(),
  },
  listCodes: { scopes: [], may: { health: ANYBODY, others: ANYBODY }, example: nothingNamed() },

  openCase: {
    scopes: ['cases'],
    // First responders, and nobody else.
    may: { helpline_a: FOR_SENDER, helpline_b: FOR_SENDER, labour_inspection: FOR_SENDER, health: FOR_SENDER, others: NOT },
    example: nothingNamed(caseBody()),
  },
  openGroup: {
    scopes: ['cases'],
    may: { helpline_a: FOR_SENDER, helpline_b: FOR_SENDER, labour_inspection: FOR_SENDER, health: FOR_SENDER, others: NOT },
    example: nothingNamed({ cases: [caseBody(), caseBody()], families: [[0, 1]] }),
  },
  getGroup: {
    scopes: READ_CASES,
    may: { helpline_a: READERS },
    example: async ({ group }) => ({ params: { id: (await group()).group_id } }),
  },
  referGroup: {
    scopes: ['referrals'],
    may: { helpline_a: FOR_SENDER },
    example: async ({ newGroup }) => {
      const { group_id, cases } = await newGroup();
      const body = referralBody({ lawful_ground: { code: 'imminent_danger_to_life' } });
      return { params: { id: group_id }, body: { ...body, members: [cases[0].id] }, case_id: cases[0].id };
    },
  },
  separateCase: {
    ...OWNER,
    example: async ({ held, group }) => {
      const [{ kase }, { cases }] = await Promise.all([held(), group()]);
      return { params: { id: kase.id }, body: { case_id: cases[0].id }, case_id: kase.id };
    },
  },
  agreeSeparation: {
    scopes: ['cases'],
    may: { helpline_a: FOR_SENDER, health: NOT, committee: COORDINATOR },
    example: async ({ held, them: { as } }) => {
      const [{ kase }, own] = [await held(), ok(await as('health').post('/v1/cases', caseBody()))];
      const { id } = ok(await as('health').post(`/v1/cases/${own.id}/separations`, { case_id: kase.id }));
      return { params: { id: kase.id, separation_id: id }, case_id: kase.id };
    },
  },
  listSeparations: {
    scopes: READ_CASES,
    may: { helpline_a: READERS, health: NOT, committee: COORDINATOR },
    example: onCase(),
  },
  liftSeparation: {
    scopes: ['cases'],
    may: { helpline_a: FOR_SENDER, health: NOT, committee: COORDINATOR },
    example: async w => {
      const { params, body, case_id } = await OPERATIONS.separateCase!.example(w);
      const { id } = ok(await w.them.as('helpline_a').post(`/v1/cases/${params!.id}/separations`, body));
      return { params: { ...params, separation_id: id }, case_id };
    },
  },
  listCases: { scopes: READ_CASES, may: LISTS, example: nothingNamed() },
  getCase: { scopes: READ_CASES, may: PARTIES, example: onCase() },
  amendCase: {
    scopes: ['cases'],
    may: { helpline_a: FOR_RECEIVER, health: NOT, committee: NOT },
    example: onCase({ risk: 'low' }, MATCH),
  },
  closeCase: {
    ...OWNERS_SUPERVISOR,
    example: async ({ night }) => {
      const { kase } = await night('accepted');
      return { params: { id: kase.id }, body: { reason_code: 'error' }, case_id: kase.id };
    },
  },
  reopenCase: {
    ...OWNERS_SUPERVISOR,
    example: async ({ night, them }) => {
      const { kase } = await night('accepted');
      ok(await them.as('helpline_a', 'supervisor').post(`/v1/cases/${kase.id}/close`, { reason_code: 'error' }));
      return { params: { id: kase.id }, body: { reason: 'closed by mistake' }, case_id: kase.id };
    },
  },
  getCaseTimeline: { scopes: READ_CASES, may: PARTIES, example: onCase() },
  assignCase: {
    scopes: ['cases'],
    may: { ...CORRESPONDENTS, committee: NOT },
    example: onCase({ staff_codes: [] }, MATCH),
  },
  getAssignees: { scopes: READ_CASES, may: { helpline_a: READERS, health: READERS, committee: NOT }, example: onCase() },
  listDisclosures: { scopes: READ_CASES, may: PARTIES, example: onCase() },
  confirmDeletion: {
    scopes: ['cases', 'referrals'],
    may: { health: FOR_RECEIVER, helpline_a: NOT, committee: NOT },
    example: async ({ disclosureOf }) => {
      const { id } = await disclosureOf('failed');
      const live = await disclosureOf('accepted');
      return { params: { id }, standing: { params: { id: live.id } }, case_id: live.kase.id };
    },
  },
  recordScreening: {
    scopes: ['cases'],
    may: { helpline_a: ['screener'], health: NOT, committee: NOT },
    example: onCase(SCREENING),
  },
  listScreenings: {
    scopes: READ_CASES,
    may: { helpline_a: READERS, health: NOT, committee: NOT },
    example: async ({ night, them }) => {
      const { kase } = await night('accepted');
      ok(await them.as('helpline_a').post(`/v1/cases/${kase.id}/screenings`, SCREENING));
      return { params: { id: kase.id }, case_id: kase.id };
    },
  },
  makeDecision: {
    scopes: ['cases'],
    may: { prosecution: FOR_RECEIVER, helpline_a: NOT, health: NOT, committee: NOT },
    example: async ({ undecided, deciding }) => {
      const { kase } = await undecided();
      return { params: { id: kase.id }, body: deciding.body('initial', 'positive'), case_id: kase.id };
    },
  },
  listDecisions: {
    scopes: READ_CASES,
    may: { prosecution: READERS, helpline_a: READERS, committee: COORDINATOR, health: NOT },
    example: async ({ undecided }) => {
      const { kase } = await undecided();
      return { params: { id: kase.id }, case_id: kase.id };
    },
  },
  serveDecision: {
    scopes: ['cases'],
    // To whoever merely holds the case there is no decision.
    may: { helpline_a: FOR_RECEIVER, prosecution: FOR_RECEIVER, committee: NOT },
    example: async ({ deciding }) => {
      const found = await deciding.accepted();
      await deciding.held(found, 'health');
      const { id } = await deciding.decide(found, 'reasonable_grounds', 'negative');
      return { params: { id }, body: {}, case_id: found.kase.id };
    },
  },
  requestReconsideration: {
    scopes: ['cases'],
    may: { helpline_a: FOR_SENDER, health: FOR_SENDER, prosecution: NOT, committee: NOT },
    example: async ({ deciding }) => {
      const found = await deciding.decided('reasonable_grounds', 'negative');
      await deciding.held(found, 'health');
      return { params: { id: found.kase.id }, body: { reason: 'she was afraid' }, case_id: found.kase.id };
    },
  },
  giveConsent: { ...OWNER, example: onCase(consentBody()) },
  listConsents: { scopes: READ_CASES, may: { helpline_a: READERS, health: NOT, committee: NOT }, example: onCase() },
  withdrawConsent: {
    scopes: ['cases'],
    // What was agreed to is the owner's to know; others see what it opened to them.
    may: { helpline_a: FOR_SENDER },
    example: async ({ night }) => {
      const { kase, consent } = await night('accepted');
      return { params: { id: consent.id }, body: { spoken_in_private: true }, case_id: kase.id };
    },
  },

  makeReferral: {
    scopes: ['referrals'],
    may: { helpline_a: FOR_SENDER, health: FOR_SENDER, committee: NOT },
    example: onCase(referralBody({ service: 'medical', urgency: 'urgent' })),
  },
  listReferrals: { scopes: READ_REFERRALS, may: LISTS, example: nothingNamed() },
  getReferral: { scopes: READ_REFERRALS, may: PARTIES, example: onReferral() },
  receiveReferral: { ...RECEIVER, example: w => w.verb('offered') },
  requestInformation: { ...RECEIVER, example: w => w.verb('received', { questions: ['Is she hurt?'] }) },
  provideInformation: { ...SENDER, example: w => w.verb('info_requested', { answers: ['No'] }) },
  waitlistReferral: { ...RECEIVER, example: w => w.verb('received') },
  acceptReferral: { ...RECEIVER, example: w => w.verb('offered') },
  declineReferral: { ...RECEIVER, example: w => w.verb('offered', { reason_code: 'unsafe' }) },
  rerouteReferral: {
    scopes: ['referrals'],
    may: { helpline_a: FOR_SENDER, committee: COORDINATOR, health: NOT },
    example: w => w.verb('declined', { agency_id: w.them.agencies.health.id, reason_code: 'better_match' }),
  },
  confirmHandover: {
    ...RECEIVER,
    example: w => w.verb('accepted', { arrived_at: w.test.clock.now().toISOString() }),
  },
  reportNoShow: { ...RECEIVER, example: w => w.verb('accepted') },
  reviewReferral: { ...RECEIVER, example: w => w.verb('in_progress') },
  completeReferral: { ...RECEIVER, example: w => w.verb('in_progress', { outcome_code: 'service_provided' }) },
  failReferral: { ...RECEIVER, example: w => w.verb('in_progress', { reason_code: 'service_ended' }) },
  cancelReferral: { ...SENDER, example: w => w.verb('offered', { reason_code: 'error' }) },
  contestReferral: {
    ...RECEIVER,
    example: async w => {
      const example = await w.verb('offered', { note: 'nobody here said so' });
      const told_by = { channel: 'phone', at: w.test.clock.now().toISOString(), staff_code: 'NIGHT-7' };
      const decline = { reason_code: 'no_capacity', told_by };
      ok(await w.them.as('committee').post(`/v1/referrals/${example.params!.id}/decline`, decline));
      return example;
    },
  },
  reviewGround: {
    scopes: ['referrals'],
    may: { helpline_a: SUPERVISOR, committee: COORDINATOR, health: NOT },
    example: async ({ ask }) => {
      const { kase, referral } = await ask({ lawful_ground: { code: 'imminent_danger_to_life' } });
      return { params: { id: referral.id }, body: { upheld: true }, case_id: kase.id };
    },
  },
  listCandidates: {
    scopes: READ_REFERRALS,
    may: { helpline_a: FOR_SENDER, committee: COORDINATOR, health: NOT },
    example: onReferral(),
  },
  sendMessage: { scopes: ['referrals'], may: CORRESPONDENTS, example: onReferral({ text: 'She has arrived.' }) },
  listMessages: { scopes: READ_REFERRALS, may: CORRESPONDENTS, example: onReferral() },

  listTimers: { scopes: ['clocks', ...READ_REFERRALS], may: LISTS, example: nothingNamed() },
  pauseTimer: {
    scopes: ['clocks'],
    may: { health: SUPERVISOR, committee: COORDINATOR, helpline_a: NOT },
    example: async ({ timerOf }) => ({ ...(await timerOf('accepted', 'handover')), body: { reason_code: 'force_majeure' } }),
  },
  resumeTimer: {
    scopes: ['clocks'],
    may: { health: SUPERVISOR, committee: COORDINATOR, helpline_a: NOT },
    example: async ({ timerOf, them }) => {
      const example = await timerOf('accepted', 'handover');
      const pause = { reason_code: 'force_majeure' };
      ok(await them.as('committee').post(`/v1/timers/${example.params!.id}/pause`, pause));
      return example;
    },
  },
  meetTimer: {
    scopes: ['clocks'],
    // That of the referral, which no longer concerns whoever failed.
    may: { helpline_a: FOR_SENDER, committee: NOT },
    example: async ({ verb, them }) => {
      const { params, case_id } = await verb('accepted');
      ok(await them.as('health').post(`/v1/referrals/${params!.id}/report-no-show`));
      const { data } = ok(await them.as('helpline_a').get(`/v1/timers?referral_id=${params!.id}&name=missing_person_check`));
      return { params: { id: data[0].id }, case_id };
    },
  },
  acknowledgeEscalation: {
    scopes: ['clocks'],
    // Where nobody is on duty; whoever declined is not concerned any more.
    may: { committee: COORDINATOR, helpline_a: NOT },
    example: async ({ ask, them, test }) => {
      const { kase, referral } = await ask({ urgency: 'emergency' });
      ok(await them.as('health').post(`/v1/referrals/${referral.id}/decline`, { reason_code: 'unsafe' }));
      // Time passes for this clock alone: other examples are under way.
      const { services } = test;
      const at = services.now().toISOString();
      const steps = JSON.stringify([{ at, kind: 'escalate', level: 1, to: 'responsible' }]);
      const overdue = `update timers set state = 'breached', breached_at = $1, next_step_at = $1, steps = $2
        where referral_id = $3 and name = 'unplaced_review'`;
      await lookAsOwner(services, overdue, [at, steps, referral.id]);
      while (await fireDueTimers(services, timerEffects(services)));
      const { data } = ok(await them.as('helpline_a').get(`/v1/timers?referral_id=${referral.id}&name=unplaced_review`));
      return { params: { id: data[0].id }, case_id: kase.id };
    },
  },
  acknowledgeUndelivered: {
    scopes: ['clocks'],
    // Nobody is on duty here either.
    may: { committee: COORDINATOR },
    example: async ({ ask, them, test }) => {
      const { health } = them.agencies;
      const { referral } = await ask({ urgency: 'emergency' });
      await lookAsOwner(
        test.services,
        `update events set occurred_at = occurred_at - interval '5 minutes' where agency_id = $1 and referral_id = $2`,
        [health.id, referral.id],
      );
      await callForUndelivered(test.services);
      return { params: { id: health.id }, body: {} };
    },
  },
  getDutyRoster: {
    scopes: ['clocks'],
    may: { committee: COORDINATOR, health: READERS },
    example: async ({ roster }) => ({ params: { code: (await roster()).jurisdiction } }),
  },
  setDutyRoster: {
    scopes: ['clocks'],
    may: { committee: COORDINATOR, health: NOT },
    example: async ({ roster }) => {
      const { jurisdiction, entries } = await roster();
      return { params: { code: jurisdiction }, body: { entries }, headers: MATCH };
    },
  },

  startCrisisMode: {
    scopes: ['clocks'],
    may: { committee: COORDINATOR, others: NOT },
    example: ({ newCrisis }) => ({ params: { code: 'XB' }, body: newCrisis() }),
  },
  listCrisisModes: { ...CRISES, example: async ({ crisis }) => ({ params: { code: (await crisis()).jurisdiction } }) },
  getCrisisMode: { ...CRISES, example: async ({ crisis }) => ({ params: crisisParams(await crisis()) }) },
  renewCrisisMode: { ...OF_CRISIS, example: async ({ crisis }) => ({ params: crisisParams(await crisis()), body: {} }) },
  changeCrisisPhase: {
    ...OF_CRISIS,
    example: async ({ crisis }) => ({ params: crisisParams(await crisis()), body: { phase: 'post_crisis' } }),
  },
  endCrisisMode: { ...OF_CRISIS, example: async ({ crisis }) => ({ params: crisisParams(await crisis()) }) },

  waiveTimer: {
    scopes: ['clocks'],
    may: { helpline_a: FOR_SENDER, health: FOR_SENDER, prosecution: NOT, committee: NOT },
    example: async ({ deciding, them }) => {
      const found = await deciding.decided('reasonable_grounds', 'positive');
      await deciding.held(found, 'health');
      const { data } = ok(await them.as('helpline_a').get(`/v1/timers?case_id=${found.kase.id}&name=recovery_period`));
      const body = { requested_by_person: true, spoken_in_private: true };
      return { params: { id: data[0].id }, body, case_id: found.kase.id };
    },
  },

  createWebhookEndpoint: {
    scopes: ['webhooks'],
    may: { health: SUPERVISOR, others: SUPERVISOR },
    example: nothingNamed({ url: 'http://127.0.0.1:9/another', event_types: ['*'] }),
  },
  listWebhookEndpoints: {
    scopes: ['webhooks'],
    may: { health: SUPERVISOR, others: SUPERVISOR },
    example: nothingNamed(),
  },
  getWebhookEndpoint: { ...ENDPOINT, example: onEndpoint() },
  updateWebhookEndpoint: { ...ENDPOINT, example: onEndpoint({ description: 'night desk' }, MATCH) },
  rotateWebhookSecret: { ...ENDPOINT, example: onEndpoint() },
  testWebhookEndpoint: { ...ENDPOINT, example: onEndpoint() },
  recoverWebhookEndpoint: { ...ENDPOINT, example: onEndpoint({ since: '2026-11-21T00:00:00.000Z' }) },
  listEndpointDeliveries: { ...ENDPOINT, example: onEndpoint() },
  pauseWebhookEndpoint: { ...ENDPOINT, example: async w => ({ params: { id: (await w.newEndpoint()).id } }) },
  enableWebhookEndpoint: {
    ...ENDPOINT,
    example: async ({ newEndpoint, them }) => {
      const { id } = await newEndpoint();
      ok(await them.as('health', 'supervisor').post(`/v1/webhook-endpoints/${id}/pause`));
      return { params: { id } };
    },
  },
  redeliverDelivery: {
    ...ENDPOINT,
    example: async w => {
      const { id } = await w.endpoint();
      await w.night('offered');
      await drain(w.test.services);
      const { data } = ok(await w.them.as('health', 'supervisor').get(`/v1/webhook-endpoints/${id}/deliveries`));
      return { params: { id: data[0].id } };
    },
  },
  deleteWebhookEndpoint: { ...ENDPOINT, example: async w => ({ params: { id: (await w.newEndpoint()).id } }) },
  listEvents: { scopes: ['webhooks'], may: { health: ANYBODY, others: ANYBODY }, example: nothingNamed() },
  listAuditEntries: { ...AUDITORS, example: nothingNamed() },
  getAuditEntry: {
    scopes: AUDITORS.scopes,
    may: { helpline_a: ['auditor'], audit_body: ['auditor'] },
    example: async w => {
      await w.night('offered');
      const { data } = ok(await w.them.as('helpline_a', 'supervisor').get('/v1/audit/entries?action=case.open'));
      return { params: { index: String(data[0].index) } };
    },
  },
  exportLog: {
    scopes: AUDITORS.scopes,
    may: { audit_body: ['auditor'], others: NOT },
    example: nothingNamed(),
  },
  openInquiry: {
    scopes: AUDITORS.scopes,
    may: { audit_body: ['auditor'], others: NOT },
    example: nothingNamed({ reference: 'INQ-7' }),
  },
  getInquiry: { ...INQUIRY, example: async w => ({ params: { id: await w.newInquiry() } }) },
  confirmInquiry: { ...INQUIRY, example: async w => ({ params: { id: await w.newInquiry() } }) },
  getCheckpoint: { ...AUDITORS, example: nothingNamed() },
  getVerifierKey: { ...AUDITORS, example: nothingNamed() },
  getTile: { ...AUDITORS, example: () => ({ params: { '*': '0/000.p/1' } }) },
  getInclusionProof: { ...AUDITORS, example: () => ({ params: { index: '0' } }) },
  getConsistencyProof: { ...AUDITORS, example: nothingNamed() },
};
