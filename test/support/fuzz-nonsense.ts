import fc from 'fast-check';
import { words } from './fuzz-values.ts';

/** What nobody in their right mind would send: changes that make a request slightly or wildly wrong. */

export interface FuzzRequest {
  method: string;
  url: string;
  headers: Record<string, string | string[]>;
  payload?: string | Buffer;
}

const PAST_ALL_LIMITS = 'x'.repeat(30_000);

/** Times and days that calendars argue about. None lies between 1950 and 1999, where only canaries are. */
const STRANGE_TIMES = [
  '0000-01-01T00:00:00.000Z',
  '0001-01-01T00:00:00.000Z',
  '9999-12-31T23:59:59.999Z',
  '9999-12-31T23:59:59.999-23:59',
  '0000-01-01T00:00:00.000+23:59',
  '+275760-09-13T00:00:00.000Z',
  '-000001-01-01T00:00:00.000Z',
  '2016-12-31T23:59:60.000Z',
  '2026-11-21T24:00:00.000Z',
  '2026-02-30T00:00:00.000Z',
  '2026-11-21t19:00:00z',
  '2026-11-21 19:00:00Z',
  '2026-11-21T19:00:00.123456789+05:45',
  '2026-11-21T19:00:00',
  '4713-01-01T00:00:00.000Z',
  '0000-00-00',
  '0000-01-01',
  '9999-12-31',
  '2026-02-29',
  '٢٠٢٦-١١-٢١',
];

const STRANGE_TEXTS = [
  '',
  ' ',
  '\0',
  'a\0b',
  '\ud800',
  'x\udfff',
  '\u202e',
  '\r\nSet-Cookie: a=b',
  '%00',
  '../../etc',
  '__proto__',
  'null',
  'é'.repeat(500),
  PAST_ALL_LIMITS,
];
const STRANGE_NUMBERS = [-1, -0, 0.1, 1e-7, 1e21, 2 ** 31, 2 ** 53, 2 ** 53 + 2, -(2 ** 63), 1.7976931348623157e308];

export const nonsense: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, [], {}, [[]], [null], { '': '' }),
  fc.constantFrom<unknown>(...STRANGE_NUMBERS),
  fc.constantFrom<unknown>(...STRANGE_TEXTS),
  fc.constantFrom<unknown>(...STRANGE_TIMES),
  words,
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 50 }).map(units => String.fromCharCode(...units)),
  fc.jsonValue({ maxDepth: 2 }),
  fc.integer({ min: 2, max: 60 }).map(depth => JSON.parse('['.repeat(depth) + ']'.repeat(depth))),
  fc.integer({ min: 100, max: 3_000 }).map(length => Array(length).fill('x')),
);

/** A change of one place in a JSON value. */
export type Change = (value: unknown) => unknown;

const NAMES = [
  'id',
  'version',
  'status',
  'agency_id',
  'constructor',
  'toString',
  '',
  'a/b',
  'a~b',
  '$ref',
  'CANARY- name',
  '\0',
  'x'.repeat(300),
];

/** An earlier change may have given an object a `toString` that is no function. */
const textOf = (it: unknown): string => (typeof it === 'object' ? JSON.stringify(it) : String(it));
const numberOf = (it: unknown): number => Number(typeof it === 'object' ? Number.NaN : it);

const changeHere: fc.Arbitrary<Change> = fc.oneof(
  {
    arbitrary: nonsense.map(
      (it): Change =>
        () =>
          it,
    ),
    weight: 4,
  },
  fc.constant<Change>(it => [it]),
  fc.constant<Change>(it => ({ value: it })),
  fc.constant<Change>(it => (Array.isArray(it) ? [...it, ...it] : Array(200).fill(it))),
  fc.constant<Change>(it => textOf(it)),
  fc.constantFrom(...STRANGE_TEXTS).map(
    (text): Change =>
      it =>
        typeof it === 'string' ? it + text : text,
  ),
  fc.constant<Change>(it => (typeof it === 'string' ? it.toUpperCase() : -numberOf(it))),
  fc.constant<Change>(it => (typeof it === 'string' ? it.slice(0, -1) : numberOf(it) + 0.5)),
  fc.constant<Change>(it => (typeof it === 'string' ? it.replace(/^([a-z]{3})_\d/, '$1_8') : it)),
  {
    arbitrary: fc.tuple(fc.constantFrom(...NAMES), nonsense).map(
      ([name, it]): Change =>
        object =>
          isObject(object) ? { ...object, [name]: it } : it,
    ),
    weight: 2,
  },
);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A change somewhere: one of the value's nodes is changed, or left out. */
export const changeAnywhere: fc.Arbitrary<Change> = fc.tuple(fc.noBias(fc.nat()), fc.option(changeHere, { freq: 4 })).map(
  ([where, change]): Change =>
    value => {
      const nodes = nodesOf(value);
      const path = nodes[where % nodes.length]!;
      return changedAt(value, path, change);
    },
);

function nodesOf(value: unknown, path: string[] = []): string[][] {
  const inner =
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([name, it]) => nodesOf(it, [...path, name]))
      : [];
  return [path, ...inner];
}

/** @param change null: the member is left out */
function changedAt(value: unknown, [step, ...rest]: string[], change: Change | null): unknown {
  if (step === undefined) return change ? change(value) : {};
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string, unknown>;
  if (rest.length > 0) copy[step] = changedAt(copy[step], rest, change);
  else if (change) copy[step] = change(copy[step]);
  else delete copy[step];
  return copy;
}

/** A change of the bytes of a body, or of how it is announced. */
export type Distortion = (request: FuzzRequest) => FuzzRequest;

const bytes =
  (make: (text: string) => string | Buffer): Distortion =>
  request => ({
    ...request,
    payload: make(typeof request.payload === 'string' && request.payload !== '' ? request.payload : '{}'),
  });
const header =
  (name: string, value: string | string[] | undefined): Distortion =>
  ({ headers: { [name]: _, ...headers }, ...request }) => ({
    ...request,
    headers: value === undefined ? headers : { ...headers, [name]: value },
  });
const url =
  (make: (text: string) => string): Distortion =>
  request => ({ ...request, url: make(request.url) });

/** After the first `{`. */
const member = (text: string) => bytes(body => body.replace(/^\{(?=\s*(.?))/, (_, next) => `{${text}${next === '}' ? '' : ','}`));

/** What Node.js lets through in the value of a header, and some. */
const headerText = fc.oneof(
  fc.stringMatching(/^[\t\x20-\x7e\x80-\xff]{0,40}$/),
  fc.constantFrom(
    '',
    ' ',
    '""',
    '"',
    'W/"1"',
    '"1", "2"',
    '*, "1"',
    '"99999999999999999999"',
    'é',
    '%0d%0aX: y',
    'x'.repeat(8_000),
    "'",
    '-1',
    '{}',
    'null',
  ),
);

const HEADERS = [
  'authorization',
  'acting-caseworker',
  'access-reason',
  'if-match',
  'if-none-match',
  'idempotency-key',
  'content-type',
  'accept',
  'prefer',
  'traceparent',
  'x-forwarded-for',
  'x-http-method-override',
  'content-encoding',
  'expect',
  'range',
  'origin',
  'host',
  'cookie',
];

const TYPES = [
  'text/plain',
  'application/xml',
  'application/json; charset=utf-16',
  'application/json;',
  'application/merge-patch+json',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'APPLICATION/JSON',
  'application/jsonp',
  'application/json, text/plain',
  '',
  '/',
  'application/problem+json',
];

/** Cursors that look like ours and hold what nobody ever put into one. */
const cursors = fc
  .array(
    fc.oneof(
      fc.constantFrom<unknown>(...STRANGE_TIMES, ...STRANGE_TEXTS.slice(0, -1), null, -1, 0.5, 2 ** 53, 1e300, 'cas_x', true, []),
      fc.jsonValue({ maxDepth: 1 }),
    ),
    { maxLength: 4 },
  )
  .map(keys => Buffer.from(JSON.stringify(keys)).toString('base64url'));

const ESCAPES = [
  '%00',
  '%ff',
  '%2e%2e%2f',
  '%2F',
  '%zz',
  '%',
  '%C0%AF',
  '%ED%A0%80',
  '..',
  '.',
  ';',
  '//',
  '%20',
  '\u00e9',
  '%F0%9F%95%8A',
  '*',
  'CANARY-path',
  'x'.repeat(250),
  'x'.repeat(20_000),
];

export const distortion: fc.Arbitrary<Distortion> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.oneof(
      fc.noBias(fc.nat()).map(at => bytes(text => text.slice(0, at % (text.length + 1)))),
      fc
        .constantFrom(
          '"__proto__":{"admin":true}',
          '"constructor":{"prototype":{"x":1}}',
          '"a":1e999',
          '"a":-0',
          '"a":00',
          '"a":NaN',
          '"a":undefined',
          "'a':1",
          '"\\ud800":1',
          '"\\u0000":1',
          '/**/',
          '"a":"\\x00"',
          '"a":"\u0001"',
        )
        .map(member),
      nonsense.map(it =>
        bytes(text => text.replace(/^\{("[^"]*"):/, (all, name) => `{${name}:${JSON.stringify(it) ?? 0},${all.slice(1)}`)),
      ),
      fc.constantFrom('\ufeff', ' ', '\n', '[', '{}', '\0').map(start => bytes(text => start + text)),
      fc.constantFrom(' ', ',', '}', '{}', '\0', '\u2028').map(end => bytes(text => text + end)),
      fc.constantFrom<BufferEncoding>('utf16le', 'latin1').map(encoding => bytes(text => Buffer.from(text, encoding))),
      fc.constant(bytes(text => Buffer.concat([Buffer.from(text.slice(0, -1)), Buffer.of(0xff, 0xfe, 0x7d)]))),
      fc.integer({ min: 20, max: 2_000 }).map(depth => member(`"x":${'['.repeat(depth)}${']'.repeat(depth)}`)),
      fc.integer({ min: 20, max: 2_000 }).map(depth => bytes(() => `${'{"person":'.repeat(depth)}1${'}'.repeat(depth)}`)),
      fc.constant(bytes(() => `{"x":"${'x'.repeat(1_100_000)}"}`)),
      fc.constantFrom('', 'null', '0', '""', '[]', 'true', '"x"', 'x', '{', '[{}]').map(text => bytes(() => text)),
      fc.uint8Array({ maxLength: 200 }).map(noise => bytes(() => Buffer.from(noise))),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.oneof(
      fc.constantFrom(...TYPES).map(type => header('content-type', type)),
      fc.tuple(fc.constantFrom(...HEADERS), headerText).map(([name, value]) => header(name, value)),
      fc.constantFrom(...HEADERS).map(name => header(name, undefined)),
      fc
        .tuple(fc.constantFrom('if-match', 'acting-caseworker', 'access-reason', 'accept'), headerText, headerText)
        .map(([name, a, b]) => header(name, [a, b])),
      fc
        .constantFrom('Bearer', 'Bearer x', 'Bearer x.y.z', 'Basic eDp5', 'bearer \t', `Bearer ${'x'.repeat(5_000)}`)
        .map(it => header('authorization', it)),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.oneof(
      fc.tuple(fc.noBias(fc.nat()), fc.constantFrom(...ESCAPES)).map(([at, text]) =>
        url(it => {
          const steps = it.split('/');
          const step = 1 + (at % Math.max(1, steps.length - 1));
          return steps.map((old, index) => (index === step ? `${at % 3 === 0 ? old : ''}${text}` : old)).join('/');
        }),
      ),
      fc
        .tuple(
          fc.constantFrom(
            'limit',
            'cursor',
            'after',
            'status',
            'from',
            'due_before',
            'wait',
            'colour',
            '',
            '__proto__',
            'limit[]',
            'CANARY-%20parameter',
          ),
          fc.oneof(
            fc.constantFrom(...STRANGE_TIMES, ...STRANGE_TEXTS.map(text => text.toWellFormed())),
            cursors,
            words.map(text => text.toWellFormed()),
          ),
        )
        .map(([name, value]) =>
          url(it => `${it}${it.includes('?') ? '&' : '?'}${name}=${encodeURIComponent(value).slice(0, 20_000)}`),
        ),
      cursors.map(cursor => url(it => `${it.split('?')[0]}?${it.startsWith('/v1/events') ? 'after' : 'cursor'}=${cursor}`)),
      fc
        .constantFrom<(text: string) => string>(
          it => `${it}/`,
          it => it.toUpperCase(),
          it => it.replace('/v1', '/v2'),
          it => it.replace('/v1', '//v1'),
          it => `${it}?`,
          it => `${it}?&&&=`,
          it => `${it}?limit=1&limit=2`,
          it => `${it}#x`,
          it => `${it}${'?a=b'.repeat(3_000)}`,
        )
        .map(url),
    ),
  },
  fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS').map(
    (method): Distortion =>
      request => ({ ...request, method }),
  ),
);
