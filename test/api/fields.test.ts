import t from 'tap';
import { ROLES } from '../../src/core/codes.ts';
import type { DemoAgencyKey } from '../../src/demo.ts';
import { startTestApp } from '../support/app.ts';
import { type Operation, operationsOf } from '../support/callers.ts';
import { fieldsOf, matchesReviewed, tableOf } from '../support/fields.ts';
import { type Answer, type Client, mechanism } from '../support/mechanism.ts';
import { ok } from '../support/night.ts';
import { type Position, takePositions } from '../support/relations.ts';

/**
 * Who is told which fields: for each operation that reads of a case, what comes back to whom, from each position towards it and
 * in each role. The tables were read against the contract; one that changes is read again.
 */

// Much of it, and other suites beside it.
t.setTimeout(240_000);

/** One letter each: the roles of one person. */
const LETTERS = { o: 'operator', c: 'caseworker', s: 'screener', S: 'supervisor', k: 'coordinator', a: 'auditor' } as const;
type Letter = keyof typeof LETTERS;

/** Positions from which every role asks; what a role may at all is held for each operation by `authorisation.test.ts`. */
const EACH_ROLE: Partial<Record<string, Letter[]>> = {
  owner: ['o', 'c', 's', 'S', 'a'],
  coord: ['k', 'c', 'S', 'a'],
  'coord/s': ['k'],
};

/** Reads that say nothing of a case. */
const OF_NO_CASE = [
  // One of what the list shows; and what says nothing of anybody.
  'getAuditEntry',
  'exportLog',
  'getInquiry',
  'getCheckpoint',
  'getVerifierKey',
  'getTile',
  'getInclusionProof',
  'getConsistencyProof',
  'getDutyRoster',
  'listClients',
  'getClient',
  'listCaseworkers',
  'getCaseworker',
  'listAgencies',
  'getAgency',
  'listServices',
  'getService',
  'getCapacity',
  'exportDirectory',
  'getRulePack',
  'listCrisisModes',
  'getCrisisMode',
  'listCodes',
  'getCoverage',
  'listExperts',
  'getExpert',
  // Who sees which of their fields stands in experts.test.ts.
  'listExpertRequests',
  'getExpertRequest',
  'listWebhookEndpoints',
  'getWebhookEndpoint',
  'listEndpointDeliveries',
];
const PUBLIC = ['getHealth', 'getReadiness', 'getOpenApi', 'getProblem', 'getServerMetadata', 'getSigningKeys'];
/** Lists of many kinds of rows: by what they are told apart, and what every row has. */
const KINDS: Record<string, { kindOf: (row: Answer['body']) => string; envelope: RegExp }> = {
  listEvents: {
    kindOf: ({ type }) => type,
    envelope: /^(type|timestamp|data\.(event_id|position|sequence|urgency|notify\.roles\[\]))$/,
  },
  getCaseTimeline: { kindOf: ({ action }) => action, envelope: /^(action|at|type)$/ },
};

/** Words that nobody is told from these positions, under whichever field: the person's, and what was written about them. */
const PERSONAL = /CANARY|Testname|Placeholder|1999-04-02|\+999 0000/;
const UNTOLD: Record<string, RegExp> = {
  sent: PERSONAL,
  asked: PERSONAL,
  declined: PERSONAL,
  ended: PERSONAL,
  deleted: PERSONAL,
  former: PERSONAL,
  next: PERSONAL,
  coord: PERSONAL,
  'coord/s': PERSONAL,
  audit: PERSONAL,
  others: PERSONAL,
  // What no consent opened to them.
  sends: /CANARY-(FORM|SECTOR|WORD|NUMBER|REASON)|Testname|Placeholder|1999-04-02|\+999 0000/,
  receiver: /CANARY-(FORM|SECTOR|WORD|NUMBER|REASON|BASIS)|Testname|Placeholder|1999-04-02|\+999 0000/,
  shelter: /CANARY-(FORM|SECTOR|WORD|NUMBER|REASON|BASIS|MESSAGE)|Testname|Placeholder|1999-04-02|\+999 0000/,
};

const INTRODUCTION = `# What comes back to whom

Rows are fields, columns positions towards the case; a letter says who of the agency is told: ${Object.entries(LETTERS)
  .map(([letter, role]) => `\`${letter}\` ${role}`)
  .join(', ')}.
Every role asks as owner and as coordinator. Elsewhere a caseworker does and, but for the owner's agency, a supervisor who is an
auditor, too. Lists are cut to what is about that case and referral. The numbers are the answers' statuses.
`;
const legendOf = (positions: readonly Position[]) => positions.map(({ name, means }) => `- **${name}**: ${means}`).join('\n');

t.test('reads', async t => {
  const test = await startTestApp(t, { RATE_LIMIT: '100000,100000' });
  const them = await mechanism(test);
  const { as, agencies } = them;
  const positions = await takePositions(test, them);
  for (const key of ['helpline_a', 'committee'] as const) {
    const path = `/v1/agencies/${agencies[key].id}/caseworkers`;
    for (const role of ROLES) ok(await as(key, 'supervisor').post(path, { staff_code: role, roles: [role] }));
  }
  /** One person for each letter: at the owner and the committee people with that role alone. */
  const peopleAt = ({ name, key }: Position): [Letter, Client][] =>
    (EACH_ROLE[name] ?? (key === 'audit_body' ? ['a', 'S'] : key === 'helpline_a' ? ['c', 'a'] : ['c', 'S'])).map(letter => [
      letter,
      ['helpline_a', 'committee'].includes(key)
        ? withRole(key, LETTERS[letter])
        : as(key, letter === 'S' ? 'supervisor' : 'worker'),
    ]);
  const withRole = (key: DemoAgencyKey, staff_code: string): Client => ({
    ...as(key),
    get: path => as(key).get(path, { 'acting-caseworker': staff_code }),
  });

  const reads = operationsOf(test.app.openapi()).filter(
    ({ id, method }) => method === 'GET' && !OF_NO_CASE.includes(id) && !PUBLIC.includes(id),
  );
  const tables: string[] = [];
  const told_too_much: string[] = [];
  /** Who is in a protected place, and that there is another case. */
  const hiddenFrom = ({ name, key, case_id }: Position): string[] => [
    ...(['shelter_a', 'shelter_b'] as const).flatMap(it => (it === key || key === 'audit_body' ? [] : agencies[it].id)),
    ...(['next', 'shelter'].includes(name) ? others.filter(id => id !== case_id) : []),
  ];
  const others = [...new Set(positions.map(({ case_id }) => case_id))];
  for (const operation of reads) {
    const told = new Map<string, string[]>();
    for (const [i, position] of positions.entries()) {
      for (const [letter, person] of peopleAt(position)) {
        const { status, body } = await person.get(pathFor(operation, position));
        const rows = status === 200 && Array.isArray(body.data) ? rowsAbout(position, operation, body.data) : undefined;
        const fields = status !== 200 ? [] : rows === undefined ? fieldsOf(body) : kindsOf(operation, rows);
        const said = JSON.stringify(rows ?? body);
        const words = [UNTOLD[position.name]?.exec(said)?.[0], ...hiddenFrom(position).filter(id => said.includes(id))];
        told_too_much.push(...words.flatMap(word => (word ? `${operation.id} tells ${position.name} ${letter}: ${word}` : [])));
        for (const field of [` ${status}`, ...fields]) {
          const cells = told.get(field) ?? positions.map(() => '');
          cells[i] += letter;
          told.set(field, cells);
        }
      }
    }
    const rows = [...told].sort(([a], [b]) => (a < b ? -1 : 1)).map(([field, cells]) => [field.trim(), ...cells]);
    tables.push(`## ${operation.id}\n\n${tableOf(['', ...positions.map(({ name }) => name)], rows)}\n`);
  }
  t.strictSame(told_too_much, []);
  matchesReviewed(t, 'fields.reads.md', [INTRODUCTION, `${legendOf(positions)}\n`, ...tables].join('\n'));
});

/** As much as there is of it, of the trail what came first: what this test reads is in there, too. */
function pathFor({ path, names_query }: Operation, { case_id, referral_id }: Position): string {
  const filters = {
    limit: '200',
    order: 'oldest',
    ...(path === '/v1/timers' ? { referral_id } : path === '/v1/audit/entries' ? { case_id } : {}),
  };
  const query = Object.entries(filters).filter(([name]) => names_query.includes(name));
  return `${path.replace('{id}', path.startsWith('/v1/cases') ? case_id : referral_id)}?${new URLSearchParams(query)}`;
}

/** The rows of a list that are about the case, or the referral. */
const rowsAbout = ({ case_id, referral_id }: Position, { path }: Operation, rows: Answer['body'][]): Answer['body'][] =>
  path.includes('{id}') ? rows : rows.filter(row => [case_id, referral_id].some(id => JSON.stringify(row).includes(id)));

/** The fields of the rows; in a list of many kinds, each kind and what it has beside what all have. */
function kindsOf({ id }: Operation, rows: Answer['body'][]): string[] {
  const kinds = KINDS[id];
  if (!kinds) return [...new Set(rows.flatMap(row => fieldsOf([row], 'data')))];
  const told = rows.flatMap(row => {
    const kind = kinds.kindOf(row);
    const more = fieldsOf(row).filter(field => !kinds.envelope.test(field));
    return [kind, ...more.map(field => `${kind}: ${field}`)];
  });
  return [...new Set(told)];
}
