import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { signToken } from '../../src/access/tokens.ts';
import { SCOPES } from '../../src/core/codes.ts';
import type { DemoAgencyKey } from '../../src/demo.ts';
import { PreparingClient } from '../../src/platform/prepared.ts';
import { startTestApp } from '../support/app.ts';
import { type Operation, operationsOf, type Reply, startCalling } from '../support/callers.ts';
import { type Entry, everyEntry } from '../support/entries.ts';
import { fieldsOf, matchesReviewed } from '../support/fields.ts';
import { mechanism } from '../support/mechanism.ts';
import { ok } from '../support/night.ts';
import { OPERATIONS } from '../support/operations.ts';
import { callersOf, nameOf, rightful, visible, WHY, withoutEffect, wronglyTold } from '../support/refusals.ts';

/**
 * Every operation of the document, as everybody who may not: without a token, with one that is not good or not enough, without a
 * caseworker or with somebody else's, from another agency, in another role. At the end the same requests succeed for whoever may,
 * so nothing else was wrong with them. An operation that is new is in none of the tables, and fails.
 */

// Some two thousand requests, and other suites beside them.
t.setTimeout(240_000);

/** Operations that need no token, and why. */
const PUBLIC: Record<string, string> = {
  getHealth: 'whoever watches the process has no token',
  getReadiness: 'nor has a load balancer',
  getOpenApi: 'how to ask is told before anybody can',
  getProblem: 'a problem names its page, also one of somebody without a token',
  issueToken: 'here tokens come from',
  getServerMetadata: 'and this says where that is',
  getSigningKeys: 'and with which keys they are signed',
};

const DIRECTORY = 'the directory is open to every agency';
const CALENDARS = 'when somebody is open is part of the directory';
const RULES = 'what holds in a jurisdiction is for everybody to know';
const LOG = 'hashes, and entries without what they commit to, are for every auditor: only so can they check it';
const CRISES = 'everybody who works there may know that a crisis holds';
const NOTHING_NAMED = 'names nothing that could be foreign; that lists hold nothing foreign is looked at by itself';
const NOT_HELD = 'whoever is asked does not hold the case, so it has assigned it to nobody';

/** Kinds of refusal that an operation cannot have, and why. One that it can have is no exemption, and fails. */
const EXEMPT = {
  scope: { listCodes: 'coded lists are for every client', getRulePack: RULES },
  caseworker: {
    createAgency: 'an administrator acts by its scope',
    importDirectory: 'an administrator acts by its scope',
    createCalendar: 'an administrator acts by its scope',
    setCalendar: 'an administrator acts by its scope',
    setHoliday: 'an administrator acts by its scope',
    removeHoliday: 'an administrator acts by its scope',
    putRulePack: 'an administrator acts by its scope',
    getRulePack: RULES,
    listCalendars: CALENDARS,
    getCalendar: CALENDARS,
    previewClock: CALENDARS,
    listAgencies: DIRECTORY,
    getAgency: DIRECTORY,
    listServices: DIRECTORY,
    getService: DIRECTORY,
    getCapacity: DIRECTORY,
    listCrisisModes: CRISES,
    getCrisisMode: CRISES,
    exportDirectory: DIRECTORY,
    listCodes: 'the same for everybody',
    listEvents: 'a system pulls them, with nobody behind it',
  },
  foreign: {
    createAgency: NOTHING_NAMED,
    importDirectory: NOTHING_NAMED,
    createCalendar: NOTHING_NAMED,
    listCalendars: CALENDARS,
    getCalendar: CALENDARS,
    setCalendar: CALENDARS,
    setHoliday: CALENDARS,
    removeHoliday: CALENDARS,
    previewClock: CALENDARS,
    getRulePack: RULES,
    putRulePack: RULES,
    listAgencies: DIRECTORY,
    getAgency: DIRECTORY,
    changeAgency: DIRECTORY,
    listServices: DIRECTORY,
    getService: DIRECTORY,
    setService: DIRECTORY,
    getCapacity: DIRECTORY,
    exportDirectory: DIRECTORY,
    setCapacity: DIRECTORY,
    listCrisisModes: CRISES,
    getCrisisMode: CRISES,
    startCrisisMode: CRISES,
    renewCrisisMode: CRISES,
    changeCrisisPhase: CRISES,
    endCrisisMode: CRISES,
    listCodes: NOTHING_NAMED,
    getCoverage: NOTHING_NAMED,
    openCase: NOTHING_NAMED,
    openGroup: NOTHING_NAMED,
    listCases: NOTHING_NAMED,
    listReferrals: NOTHING_NAMED,
    listTimers: NOTHING_NAMED,
    createExpert: NOTHING_NAMED,
    listExperts: NOTHING_NAMED,
    listExpertRequests: NOTHING_NAMED,
    createWebhookEndpoint: NOTHING_NAMED,
    listWebhookEndpoints: NOTHING_NAMED,
    listEvents: NOTHING_NAMED,
    listAuditEntries: NOTHING_NAMED,
    exportLog: NOTHING_NAMED,
    openInquiry: NOTHING_NAMED,
    getCheckpoint: LOG,
    getVerifierKey: LOG,
    getTile: LOG,
    getInclusionProof: LOG,
    getConsistencyProof: LOG,
  },
  role: {
    listCrisisModes: CRISES,
    getCrisisMode: CRISES,
    listCalendars: CALENDARS,
    getCalendar: CALENDARS,
    previewClock: CALENDARS,
    getRulePack: RULES,
    listAgencies: DIRECTORY,
    getAgency: DIRECTORY,
    listServices: DIRECTORY,
    getService: DIRECTORY,
    getCapacity: DIRECTORY,
    exportDirectory: DIRECTORY,
    listCodes: 'the same for everybody',
    listEvents: 'a system pulls them, with nobody behind it',
  },
  assigned: {
    receiveReferral: NOT_HELD,
    requestInformation: NOT_HELD,
    waitlistReferral: NOT_HELD,
    acceptReferral: NOT_HELD,
    declineReferral: NOT_HELD,
    contestReferral: NOT_HELD,
  },
} satisfies Record<string, Record<string, string>>;

const ACTS = '# What an act answers\n\nTo whoever may do it, first of all. Acts that answer the same fields stand together.\n';

/** Of what is wrong with a token, that with which each operation is asked; the others are tried on one. */
const EVERYWHERE = ['none', 'no JWT', 'expired', 'of a client that was revoked'];

const exempt = (kind: keyof typeof EXEMPT): string[] => Object.keys(EXEMPT[kind]);

t.test('every operation, as everybody', async t => {
  const test = await startTestApp(t, { RATE_LIMIT: '100000,100000' });
  const { app, services } = test;
  const them = await mechanism(test);
  const { as, agencies, tokenFor } = them;
  const keys = Object.keys(agencies) as DemoAgencyKey[];
  const calling = await startCalling(test, them);
  const { send, ask } = calling;
  const walled = calling.operations.filter(({ id }) => !(id in PUBLIC));
  /** Asks for each operation, and says what is wrong with the answers. */
  const each = async (among: readonly Operation[], look: (operation: Operation) => Promise<string[]>) => {
    const wrong: string[] = [];
    for (const operation of among) wrong.push(...(await look(operation)));
    return wrong;
  };
  /** That the exemptions of this kind are those that are needed. */
  const heldFor = (kind: keyof typeof EXEMPT, held: readonly Operation[]) => {
    const without = walled.filter(operation => !held.includes(operation)).map(({ id }) => id);
    return [without.sort(), exempt(kind).sort()] as const;
  };

  await t.test('is in the tables', async t => {
    const published = JSON.parse(readFileSync(new URL('../../openapi/openapi.json', import.meta.url), 'utf8'));
    const identity = ({ id, method, path }: Operation) => `${id}: ${method} ${path}`;
    t.strictSame(calling.operations.map(identity), operationsOf(published).map(identity), 'what is served is what is published');
    t.strictSame(
      calling.operations.map(({ id }) => id).sort(),
      [...Object.keys(PUBLIC), ...Object.keys(OPERATIONS)].sort(),
      'each has an example or is public, and there are no others',
    );
    const { paths } = app.openapi() as { paths: Record<string, Record<string, { security: { oauth: string[] }[] }>> };
    for (const { id, path, method } of calling.operations) {
      const scopes = paths[path]![method.toLowerCase()]!.security.flatMap(({ oauth }) => oauth);
      t.strictSame(scopes.sort(), [...(OPERATIONS[id]?.scopes ?? [])].sort(), `${id}: scopes`);
    }
  });

  await t.test('asks for a token that is good now', async t => {
    const { token: of_revoked, id } = await tokenOfNew();
    ok(await as('health', 'supervisor').post(`/v1/clients/${id}/revoke`));
    const content = { client_id: agencies.health.client_id, scopes: SCOPES };
    const earlier = { ...services, now: () => new Date(services.now().getTime() - 301_000) };
    const other_key = { ...services.vault, token_key: generateKeyPairSync('ed25519').privateKey };
    const good = await tokenFor('health');
    const credentials: Record<string, string | undefined> = {
      none: undefined,
      'no bearer token': `Basic ${Buffer.from('health:health').toString('base64')}`,
      'no JWT': 'Bearer not-a-token',
      'of another algorithm': `Bearer ${[Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url'), good.split('.')[1], ''].join('.')}`,
      'signed by another key': `Bearer ${await signToken({ ...services, vault: other_key } as typeof services, content)}`,
      expired: `Bearer ${await signToken(earlier, content)}`,
      'of a client that was revoked': `Bearer ${of_revoked}`,
      'of a client that is not enabled yet': `Bearer ${(await tokenOfNew('committee')).token}`,
      'of a client that there is not': `Bearer ${await signToken(services, { ...content, client_id: 'cli_01jabcdefghjkmnpqrstvwxyz0' })}`,
    };
    const refused = visible(await ask(walled[0]!, 'present', {}));
    t.match(refused, { status: 401, headers: { 'www-authenticate': 'Bearer' }, text: /"code":"unauthenticated"/ });
    const wrong = await each(walled, async operation => {
      const found: string[] = [];
      for (const [name, authorization] of Object.entries(credentials)) {
        if (operation !== walled[0] && !EVERYWHERE.includes(name)) continue;
        const staff_code = agencies.health.caseworkers[1].staff_code;
        const headers = { 'acting-caseworker': staff_code, ...(authorization ? { authorization } : {}) };
        if (!same(visible(await ask(operation, 'present', headers)), refused)) found.push(`${operation.id}: ${name}`);
      }
      return found;
    });
    t.strictSame(wrong, []);
    const open = calling.operations.filter(({ id }) => id in PUBLIC && !['getProblem', 'issueToken'].includes(id));
    for (const operation of open) t.equal((await ask(operation, 'present', {})).status, 200, `${operation.id} is public`);
    t.equal((await app.inject('/problems/not_found')).statusCode, 200, 'getProblem is public');
    t.match((await app.inject({ method: 'POST', url: '/oauth/token' })).json(), { code: /^invalid_/ }, 'issueToken is public');

    async function tokenOfNew(by: 'health' | 'committee' = 'health') {
      const path = `/v1/agencies/${agencies.health.id}/clients`;
      const jwk = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' });
      const { id } = ok(
        await as(by, 'supervisor').post(path, { scopes: SCOPES.filter(it => it !== 'admin'), jwks: { keys: [jwk] } }),
      );
      return { id: id as string, token: await signToken(services, { client_id: id, scopes: SCOPES }) };
    }
  });

  await t.test('asks for one of its scopes', async t => {
    const held = walled.filter(({ id }) => OPERATIONS[id]!.scopes.length > 0);
    const [without, exempted] = heldFor('scope', held);
    t.strictSame(without, exempted);
    const wrong = await each(held, async operation => {
      const { scopes } = OPERATIONS[operation.id]!;
      const asked = withoutEffect(operation);
      const caller = rightful(operation.id);
      const others = SCOPES.filter(scope => !scopes.includes(scope));
      const refused = await send(asked, { ...caller, person: caller.person ?? 'everything' }, { scopes: others });
      const absent = await send(
        asked,
        { ...caller, person: caller.person ?? 'everything' },
        { scopes: others, ids: idsOf(operation) },
      );
      const found: string[] = [];
      if (refused.status !== 403 || refused.body.code !== 'insufficient_scope') found.push(`${operation.id}: ${refused.text}`);
      if (!same(visible(refused), visible(absent))) found.push(`${operation.id} tells without its scope what there is`);
      for (const scope of scopes.filter(scope => scope !== 'admin')) {
        const { status, body } = await send(
          asked,
          { ...caller, person: caller.person ?? 'everything' },
          { scopes: [scope], ids: idsOf(operation) },
        );
        if (status === 401 || body?.code === 'insufficient_scope') found.push(`${operation.id} with ${scope}`);
      }
      return found;
    });
    t.strictSame(wrong, []);
  });

  await t.test('asks who is behind it', async t => {
    const held = walled.filter(({ names_headers }) => names_headers.includes('Acting-Caseworker'));
    const [without, exempted] = heldFor('caseworker', held);
    t.strictSame(without, exempted);
    const wrong = await each(walled, async operation => {
      const asked = withoutEffect(operation);
      const { person: _, ...caller } = rightful(operation.id);
      const found: string[] = [];
      const unnamed = await send(asked, caller);
      if (held.includes(operation) && unnamed.body?.code !== 'acting_caseworker_required')
        found.push(`${operation.id}: ${unnamed.text}`);
      const foreign = agencies.shelter_c.caseworkers[1].staff_code;
      const replies: Reply[] = [];
      for (const staff_code of ['NOBODY-1', foreign, 'inactive'])
        replies.push(await send(asked, caller, { headers: { 'acting-caseworker': staff_code } }));
      if (replies.some(({ status, body }) => status !== 403 || body.code !== 'caseworker_not_active'))
        found.push(`${operation.id}: ${replies[0]!.text}`);
      if (replies.some(reply => !same(visible(reply), visible(replies[0]!))))
        found.push(`${operation.id} tells unknown from foreign`);
      return found;
    });
    t.strictSame(wrong, []);
  });

  await t.test('answers each agency and role as the contract has it', async t => {
    const stranger = { key: 'helpline_b', person: 'everything' } as const;
    const is_absent = (operation: Operation) => callersOf(operation.id, [stranger.key])[0]![1] === 'absent';
    for (const [kind, verdict] of [
      ['foreign', 'absent'],
      ['role', 'forbidden'],
    ] as const) {
      const having = walled.filter(({ id }) => callersOf(id, keys).some(([, it]) => it === verdict));
      const [without, exempted] = heldFor(kind, having);
      t.strictSame(without, exempted, kind);
    }

    const pairs: [Operation, Reply, Reply][] = [];
    const other_work: string[] = [];
    const wrong = await each(walled, async operation => {
      const asked = withoutEffect(operation);
      const [foreign, for_foreign] = await statementsOf(() => send(asked, stranger));
      const [absent, for_absent] = await statementsOf(() => send(asked, stranger, { ids: idsOf(operation) }));
      if (is_absent(operation)) {
        pairs.push([operation, foreign, absent]);
        if (!same(for_foreign, for_absent))
          other_work.push(`${operation.id}: ${for_foreign.join('; ')} — ${for_absent.join('; ')}`);
      }
      return wronglyTold(calling, operation, callersOf(operation.id, someOf(operation)), absent);
    });
    t.strictSame(wrong, []);
    t.strictSame(other_work, [], 'what is foreign is looked for, and recorded, by the same statements as what is absent');

    const entries = await everyEntry(as(stranger.key, 'supervisor'), 'outcome=denied');
    const of = new Map(entries.map(entry => [entry.meta.request_id, shapeOf(entry)]));
    const telling = pairs.filter(
      ([, foreign, absent]) => !of.get(foreign.request_id) || !same(of.get(foreign.request_id), of.get(absent.request_id)),
    );
    t.strictSame(
      telling.map(([{ id }]) => id),
      [],
      'nor does its own auditor see a difference',
    );
    t.match(of.get(pairs[0]![1].request_id), { meta: { code: 'not_visible', subjects: 1 }, subjects: [{}] });

    /** The parties, whom the table names, the stranger, and two other agencies, in turn. */
    function someOf(operation: Operation): DemoAgencyKey[] {
      const { may } = OPERATIONS[operation.id]!;
      const others = keys.filter(key => !(key in may) && key !== stranger.key);
      const at = walled.indexOf(operation) * 2;
      const two = [0, 1].map(i => others[(at + i) % others.length]!);
      return [...keys.filter(key => key in may), stranger.key, ...two];
    }
  });

  await t.test('lists nothing foreign', async t => {
    const lists = walled.filter(({ id, method, params }) => method === 'GET' && !params && !/Agencies|Codes|Calendars/.test(id));
    const ids = new Set(walled.flatMap(({ params = {}, case_id = [] }) => Object.values(params).concat(case_id)));
    // Ids; not codes, nor places in the log, nor what everybody is told.
    const theirs = [...ids].filter(id => /^[a-z]{3}_[0-9a-z]{26}$/.test(id) && !/^(agy|cwk|cal|crm)_/.test(id));
    t.ok(lists.length > 5 && theirs.length > 40);
    for (const key of keys.filter(key => !['helpline_a', 'health', 'prosecution', 'committee'].includes(key))) {
      for (const operation of lists) {
        const { status, text } = await send(operation, { key, person: 'everything' });
        const at_audit_body = key === 'audit_body' && (status === 403 || /^(listAuditEntries|exportLog)$/.test(operation.id));
        const for_audit_body = operation.id === 'exportLog' && status === 403;
        t.ok(
          at_audit_body || for_audit_body || (status === 200 && !theirs.some(id => text.includes(id))),
          `${operation.id} by ${key}`,
        );
      }
    }
  });

  await t.test('lets a suspended agency do everything but what brings somebody new', async t => {
    const setStatus = (status: string) =>
      Promise.all(
        (['helpline_a', 'health'] as const).map(async key =>
          ok(await as('committee', 'nobody').patch(`/v1/agencies/${agencies[key].id}`, { status }, { 'if-match': '*' })),
        ),
      );
    await setStatus('suspended');
    const refused: string[] = [];
    await each(walled, async operation => {
      const { body } = await send(withoutEffect(operation), rightful(operation.id));
      if (body?.code === 'agency_suspended') refused.push(operation.id);
      return [];
    });
    t.strictSame(
      refused,
      ['openCase', 'openGroup', 'makeReferral', 'referGroup', 'rerouteReferral'],
      'and whoever was to be asked is suspended, too',
    );
    await setStatus('active');
  });

  await t.test('asks for a reason where the case is assigned to others', async t => {
    const named = walled.filter(({ names_headers }) => names_headers.includes('Access-Reason'));
    const assigned: Operation[] = [];
    const wrong = await each(named, async operation => {
      const caller = rightful(operation.id);
      const staff_codes = [agencies[caller.key].caseworkers[1].staff_code];
      const headers = {
        authorization: `Bearer ${await tokenFor(caller.key)}`,
        'acting-caseworker': staff_codes[0]!,
        'if-match': '*',
      };
      const url = `/v1/cases/${operation.case_id}/assignees`;
      const { statusCode } = await app.inject({ method: 'PUT', url, headers, payload: { staff_codes } });
      if (statusCode === 200) assigned.push(operation);
      const { 'access-reason': _, ...unexplained } = withoutEffect(operation).headers!;
      const person = caller.person === 'supervisor' ? 'supervisor' : caller.person;
      const { body } = await send({ ...withoutEffect(operation), headers: unexplained }, { ...caller, person });
      return (body?.code === 'access_reason_required') === (statusCode === 200) ? [] : [`${operation.id}: ${body?.code}`];
    });
    t.strictSame(wrong, []);
    t.strictSame(
      named
        .filter(operation => !assigned.includes(operation))
        .map(({ id }) => id)
        .sort(),
      exempt('assigned').sort(),
    );
  });

  await t.test('does it for whoever may', async t => {
    const told = new Map<string, string[]>();
    for (const operation of walled) {
      const caller = rightful(operation.id);
      const { status, text, body } = await send(operation, caller, { headers: WHY });
      t.ok(status < 300, `${operation.id} by ${nameOf(caller)}: ${status} ${status < 300 ? '' : text}`);
      if (operation.method === 'GET') continue;
      const fields = fieldsOf(body ?? {}).sort();
      told.set(fields.join('\n'), [...(told.get(fields.join('\n')) ?? []), `\`${operation.id}\` by ${nameOf(caller)}`]);
    }
    const sections = [...told].map(([fields, acts]) => `## ${acts.join(', ')}\n\n${fields.replaceAll(/^(.+)$/gm, '- $1')}\n`);
    matchesReviewed(t, 'fields.acts.md', [ACTS, ...sections].join('\n'));
  });
});

const idsOf = ({ params }: Operation) => (params ? 'absent' : 'present');
const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** What an agency's own auditor sees of a refusal, without what no two entries have in common. */
function shapeOf(entry: Entry | undefined) {
  if (!entry) return undefined;
  const { meta, subjects } = entry;
  const { request_id: _, at: __, ...rest } = meta;
  return { meta: rest, subjects: subjects.map(({ commit: _, ...shown }) => shown), names: Object.keys(entry) };
}

/** The beginnings of the SQL that was sent meanwhile, but for what an earlier act had to tell the workers. */
async function statementsOf<T>(work: () => Promise<T>): Promise<[T, string[]]> {
  const statements: string[] = [];
  const { query } = PreparingClient.prototype;
  PreparingClient.prototype.query = function (this: PreparingClient, config: unknown, ...rest: unknown[]) {
    if (typeof config === 'string' && !config.startsWith('notify')) statements.push(config.trim().slice(0, 60));
    return query.call(this, config, ...rest);
  };
  try {
    return [await work(), statements];
  } finally {
    PreparingClient.prototype.query = query;
  }
}
