import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

/**
 * What ARCHITECTURE.md says of the layers, held against the imports that the source really has. An exemption here is a decision
 * to be read, and the list may only shrink.
 */

const root = fileURLToPath(new URL('..', import.meta.url));
const IMPORT = /(?:^|\n)\s*(?:import|export)\b[^'";]*?\bfrom\s+'([^']+)'|(?:^|\n)\s*import\s+'([^']+)'|\bimport\('([^']+)'\)/g;

interface Import {
  from: string;
  /** A file below the root, or a package. */
  to: string;
}

const files = globSync('src/**/*.ts', { cwd: root })
  .map(file => normalize(file))
  .sort();
const source = (file: string) => readFileSync(join(root, file), 'utf8');
const imports: Import[] = files.flatMap(from =>
  [...source(from).matchAll(IMPORT)].map(match => {
    const to = (match[1] ?? match[2] ?? match[3])!;
    return { from, to: to.startsWith('.') ? normalize(join(dirname(from), to)) : to };
  }),
);

const ROOT_FILES = ['src/main.ts', 'src/api.ts', 'src/worker.ts', 'src/services.ts', 'src/restore.ts', 'src/demo.ts'];
const CAPABILITIES = ['access', 'agencies', 'rules', 'cases', 'referrals', 'timers', 'webhooks', 'audit', 'figures', 'experts'];

const capabilityOf = (file: string): string | undefined => CAPABILITIES.find(name => file.startsWith(`src/${name}/`));
const isFile = (to: string) => to.startsWith('src/');
const told = (found: Import[]) => found.map(({ from, to }) => `${from} → ${to}`);

/** What a capability offers to others beside its store: the act and the record, and the consequences that acts have elsewhere. */
const DOORS = [
  'src/agencies/candidates-store.ts',
  'src/agencies/schema.ts',
  'src/audit/act.ts',
  'src/audit/counted.ts',
  'src/audit/failures.ts',
  'src/audit/history.ts',
  'src/audit/journal.ts',
  'src/audit/read.ts',
  'src/audit/record.ts',
  'src/cases/assignments.ts',
  'src/cases/clocks.ts',
  'src/cases/schema.ts',
  'src/cases/view.ts',
  'src/experts/clocks.ts',
  'src/experts/notices.ts',
  'src/referrals/coverage.ts',
  'src/referrals/disclosures.ts',
  'src/referrals/follow-up.ts',
  'src/timers/apply.ts',
  'src/timers/schema.ts',
  'src/timers/sweep.ts',
  'src/timers/view.ts',
];

t.test('core is pure: it imports core, hashes, and what has no I/O', async t => {
  const pure = ['node:crypto', 'canonicalize', 'rrule-temporal'];
  const wrong = imports.filter(
    ({ from, to }) => from.startsWith('src/core/') && !to.startsWith('src/core/') && !pure.includes(to),
  );
  t.same(told(wrong), []);
  const hashes =
    /^import \{ (?:type )?(?:(?:hash|createHmac|createPublicKey|timingSafeEqual|sign|verify|type KeyObject)(?:, )?)+ \} from 'node:crypto';$/;
  for (const file of files.filter(file => file.startsWith('src/core/'))) {
    const code = source(file).replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
    t.notMatch(
      code,
      /\bDate\.now\(|new Date\(\)|Math\.random|process\.|randomBytes|setTimeout/,
      `${file} knows neither the time nor chance`,
    );
    for (const line of code.split('\n').filter(line => line.includes("'node:crypto'")))
      t.match(line, hashes, `${file} takes hashes only`);
  }
});

t.test('platform imports platform and core', async t => {
  const wrong = imports.filter(
    ({ from, to }) => from.startsWith('src/platform/') && isFile(to) && !/^src\/(platform|core)\//.test(to),
  );
  // The public routes are a part of the application that no capability owns.
  t.same(told(wrong.filter(({ from }) => from !== 'src/platform/http/public-routes.ts')), []);
});

t.test('a capability knows of the others what they offer', async t => {
  const wrong = imports.filter(({ from, to }) => {
    const own = capabilityOf(from);
    const other = capabilityOf(to);
    if (!own || !isFile(to)) return false;
    if (other) return own !== other && !to.endsWith('/store.ts') && !DOORS.includes(to);
    return (
      !/^src\/(platform|core)\//.test(to) && to !== 'src/services.ts' && !(to === 'src/api.ts' && from.endsWith('/routes.ts'))
    );
  });
  t.same(told(wrong), []);
});

t.test('no circles between files', async t => {
  const graph = Map.groupBy(
    // `App` and `Services` are types that the root files make of everything.
    imports.filter(({ to }) => to.startsWith('src/') && !ROOT_FILES.includes(to)),
    ({ from }) => from,
  );
  const state = new Map<string, 'open' | 'done'>();
  const circles: string[] = [];
  const visit = (file: string, path: string[]) => {
    if (state.get(file) === 'open') circles.push([...path.slice(path.indexOf(file)), file].join(' → '));
    if (state.has(file)) return;
    state.set(file, 'open');
    for (const { to } of graph.get(file) ?? []) visit(to, [...path, file]);
    state.set(file, 'done');
  };
  for (const file of files) visit(file, []);
  t.same(circles, []);
});

t.test('only the HTTP side knows Fastify', async t => {
  const wrong = imports.filter(
    ({ from, to }) =>
      /^(fastify|@fastify\/|@scalar\/)/.test(to) &&
      from !== 'src/api.ts' &&
      !from.startsWith('src/platform/http/') &&
      !/\/(routes|schema)\.ts$/.test(from),
  );
  t.same(told(wrong), []);
});

t.test('what runs in production is installed there', async t => {
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { dependencies: object };
  const packageOf = (to: string) => /^(@[^/]+\/)?[^/]+/.exec(to)![0];
  const wrong = imports.filter(
    ({ to }) => !isFile(to) && to !== 'package.json' && !to.startsWith('node:') && !(packageOf(to) in dependencies),
  );
  t.same(told(wrong), []);
});

t.test('routes and schemas know no SQL', async t => {
  const wrong = imports.filter(({ from, to }) => to === 'kysely' && /\/(routes|schema)\.ts$/.test(from));
  t.same(told(wrong), []);
});

t.test('one reader of the environment, one writer of each status', async t => {
  const having = (pattern: RegExp) => files.filter(file => pattern.test(source(file)));
  t.same(having(/process\.env/), ['src/platform/config.ts']);
  t.same(having(/updateTable\('(offers|referrals)'\)[\s\S]{0,120}?\bstatus\b/), []);
  t.same(having(/gatheredRows\(\s*'(offers|referrals)'/), ['src/referrals/store.ts']);
  // A new origin has what was recorded wait for its place once more.
  t.same(having(/insertInto\('(events|audit_pending)'\)|insert into (events|audit_pending)/), ['src/audit/new-origin.ts']);
  for (const written of [/^ {2}events: \['id',/m, /^ {2}audit_pending: RECORD_COLUMNS,$/m])
    t.same(having(written), ['src/audit/record.ts']);
});

t.test('files stay readable', async t => {
  const long = files.filter(file => source(file).split('\n').length > 420);
  // Tables of columns have no better place than together.
  t.same(
    long.filter(file => file !== 'src/platform/tables.ts'),
    [],
  );
  t.same(
    files.filter(file => /(^|\/)(utils?|common|manager|base|helpers?)\b/.test(file)),
    [],
  );
  t.same(
    files.filter(file => !/^[a-z0-9/.-]+$/.test(file)),
    [],
    'kebab-case',
  );
});
