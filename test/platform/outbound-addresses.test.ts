import { createServer } from 'node:https';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import t from 'tap';
import { checkedLookup, checkWebhookUrl, isPublicAddress } from '../../src/platform/addresses.ts';
import { makeAuthority, makeIdentity } from '../support/certificates.ts';
import { startConnectProxy } from '../support/connect-proxy.ts';
import { watchConnections } from '../support/connections.ts';
import { at, HOSTILE, LOOPBACK } from '../support/hostile-urls.ts';
import { failure, listen, openOutbound } from '../support/listen.ts';

/** Where webhooks may go, by URL and by address. Nothing here leaves the machine: public addresses are behind a proxy on it. */

const POST = { headers: { 'content-type': 'application/json' }, body: '{}', timeout_ms: 5_000 };

t.test('hostile URLs are refused at registration and at send, without a connection or a question to DNS', async t => {
  const attempts = watchConnections(t);
  const asked: string[] = [];
  const lookup = async (host: string) => {
    asked.push(host);
    return ['127.0.0.1'];
  };
  for (const [production, urls] of [
    [true, [...LOOPBACK, ...HOSTILE]],
    [false, HOSTILE],
  ] as const) {
    const policy = { production, ports: [9], lookup };
    const out = openOutbound(t, policy);
    for (const url of at(urls, 9)) {
      t.type(checkWebhookUrl(url, policy), 'string', `${production ? 'production' : 'elsewhere'}: ${JSON.stringify(url)}`);
      t.equal(await failure(out.post(url, POST)), 'address_refused', JSON.stringify(url));
    }
  }
  t.ok(new Set([...LOOPBACK, ...HOSTILE]).size >= 180, 'the list only grows');
  t.strictSame(attempts, []);
  t.strictSame(asked, []);
});

t.test('good URLs', async t => {
  const policy = { production: true, ports: [8443] };
  for (const url of [
    'https://hooks.example.org',
    'https://hooks.example.org/a/b?c=%20&d=@',
    'https://hooks.example.org:443/',
    'https://hooks.example.org:8443/',
    'HTTPS://Hooks.Example.ORG/',
    'https://مثال.إختبار/',
    'https://xn--mgbh0fb.xn--kgbechtv/',
    'https://my_host.example.org/',
    'https://8.8.8.8/',
    'https://[2606:4700:4700::1111]/',
  ]) {
    t.equal(checkWebhookUrl(url, policy), undefined, url);
  }
  for (const url of LOOPBACK) t.equal(checkWebhookUrl(url, { production: false, ports: [] }), undefined, url);
});

t.test('reasons', async t => {
  const reasons: [url: string, reason: string][] = [
    ['nonsense', 'is not a URL'],
    ['http://hooks.example.org/', 'must be https'],
    ['ftp://hooks.example.org/', 'must be https'],
    ['https://hooks.example.org/#a', 'must not have a fragment'],
    ['https://a@hooks.example.org/', 'must not name a user'],
    ['https://hooks.example.org./', 'must not end its host in a dot'],
    ['https://127.0.0.1/', 'must not be on this machine'],
    ['https://10.0.0.1/', 'must have a public address'],
    ['https://intranet/', 'must have a public host name'],
    ['https://hooks.example.org:22/', 'must not use port 22'],
  ];
  for (const [url, reason] of reasons) t.equal(checkWebhookUrl(url, { production: true, ports: [] }), reason);
});

t.test('public addresses, up to the edges of what is not', async t => {
  const edges = [
    ['1.0.0.0', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '126.255.255.255', '128.0.0.0', '169.253.255.255'],
    ['169.255.0.0', '172.15.255.255', '172.32.0.0', '192.0.1.0', '192.0.3.0', '192.167.255.255', '192.169.0.0', '198.17.255.255'],
    ['198.20.0.0', '198.51.99.255', '198.51.101.0', '203.0.112.255', '203.0.114.0', '223.255.255.255', '2001:200::', '2003::'],
    ['2000::1', '2606:4700:4700::1111', '2a00:1450:4001::1', '3ffe:ffff::', '3fff:1000::'],
  ].flat();
  for (const ip of edges) t.ok(isPublicAddress(ip), ip);
  for (const ip of [
    '',
    'a',
    '1',
    '1.2.3',
    '0x8.8.8.8',
    '8.8.8.8 ',
    '8.8.8.8:80',
    '08.8.8.8',
    '[2606::1]',
    '2606::1%eth0',
    '2606:::1',
  ]) {
    t.notOk(isPublicAddress(ip), ip);
  }
});

t.test('no writing of an address makes it public', async () => {
  const byte = fc.nat(255);
  const inside = fc.oneof(
    fc.tuple(fc.constantFrom(0, 10, 127), byte, byte, byte),
    fc.tuple(fc.constant(192), fc.constant(168), byte, byte),
    fc.tuple(fc.constant(172), fc.integer({ min: 16, max: 31 }), byte, byte),
    fc.tuple(fc.constant(169), fc.constant(254), byte, byte),
    fc.tuple(fc.constant(100), fc.integer({ min: 64, max: 127 }), byte, byte),
    fc.tuple(fc.integer({ min: 224, max: 255 }), byte, byte, byte),
  );
  const policy = { production: true, ports: [] };
  fc.assert(
    fc.property(inside, ([a, b, c, d]) => {
      const octal = (n: number) => `0${n.toString(8)}`;
      const number = ((a * 256 + b) * 256 + c) * 256 + d;
      const writings = [
        `${a}.${b}.${c}.${d}`,
        `${number}`,
        `0x${number.toString(16)}`,
        octal(number),
        [a, b, c, d].map(octal).join('.'),
      ];
      return [...writings, `${a}.${(b * 256 + c) * 256 + d}`, `0X${a.toString(16)}.${b}.${c * 256 + d}`].every(
        host => checkWebhookUrl(`https://${host}/`, policy) !== undefined,
      );
    }),
  );
  fc.assert(
    fc.property(fc.ipV4(), ip => {
      const hex = ip.split('.').map(n => Number(n).toString(16).padStart(2, '0'));
      const words = `${hex[0]}${hex[1]}:${hex[2]}${hex[3]}`;
      return [
        `::${ip}`,
        `::ffff:${ip}`,
        `::ffff:0:${ip}`,
        `64:ff9b::${ip}`,
        `64:ff9b:1::${ip}`,
        `2002:${words}::1`,
        `2001:0:${words}::`,
      ].every(mapped => !isPublicAddress(mapped) && checkWebhookUrl(`https://[${mapped}]/`, policy) !== undefined);
    }),
  );
  fc.assert(fc.property(fc.ipV6(), ip => !isPublicAddress(ip) || /^[23][0-9a-f]{3}:/i.test(ip)));
});

/** Names whose answers are not what somebody who asked beforehand saw. Each answers in turn, then nothing. */
const REBINDING: [what: string, answers: (readonly string[])[], failures: string[]][] = [
  ['inside at once', [['127.0.0.1'], ['::1'], ['10.0.0.1'], ['169.254.169.254']], Array(4).fill('address_refused')],
  ['mixed, the public one first', [['8.8.8.8', '127.0.0.1']], ['address_refused']],
  ['mixed, the public one last', [['192.168.0.1', '8.8.8.8']], ['address_refused']],
  ['A public, AAAA inside', [['8.8.8.8', '::1']], ['address_refused']],
  ['A inside, AAAA public', [['127.0.0.1', '2606:4700:4700::1111']], ['address_refused']],
  [
    'mapped',
    [['::ffff:127.0.0.1'], ['::ffff:8.8.8.8'], ['64:ff9b::7f00:1'], ['2002:7f00:1::']],
    Array(4).fill('address_refused'),
  ],
  ['where an alias ends that leads to metadata', [['169.254.169.254'], ['fd00:ec2::254']], Array(2).fill('address_refused')],
  ['no address but something else', [['not an address'], ['127.0.0.1:80'], ['']], Array(3).fill('address_refused')],
  ['this service itself', [['93.184.215.14'], ['8.8.8.8', '2606:2800:021f:0::1']], Array(2).fill('address_refused')],
  ['hundreds, one of them inside', [[...hundreds(), '10.9.8.7']], ['address_refused']],
  ['nothing', [[]], ['dns_failed']],
];

function hundreds(): string[] {
  return Array.from({ length: 500 }, (_, i) => `93.184.${i >> 8}.${i & 255}`);
}

for (const through of ['straight', 'through a proxy']) {
  t.test(`names that lead inside get no connection, ${through}`, async t => {
    const proxy = await startConnectProxy(t);
    const attempts = watchConnections(t);
    for (const production of [true, false]) {
      for (const [what, answers, failures] of REBINDING) {
        const left = [...answers];
        const out = openOutbound(t, {
          production,
          proxy: through === 'straight' ? null : { host: '127.0.0.1', port: proxy.port, authorization: null },
          lookup: async () => left.shift() ?? [],
          own_addresses: () => ['93.184.215.14', '2606:2800:21f::1'],
        });
        for (const expected of [...failures, 'dns_failed'])
          t.equal(await failure(out.post('https://rebind.example.org/', POST)), expected, what);
      }
    }
    t.strictSame(attempts, []);
    t.strictSame(proxy.asked, []);
  });
}

t.test('a lookup that fails, or answers too late and then with an inside address, gets no connection', async t => {
  const attempts = watchConnections(t);
  const late = Promise.withResolvers<string[]>();
  const url = 'https://slow.example.org/';
  const out = openOutbound(t, { lookup: () => late.promise });
  t.equal(await failure(out.post(url, { ...POST, timeout_ms: 50 })), 'timeout');
  late.resolve(['127.0.0.1']);
  t.equal(await failure(out.post(url, POST)), 'address_refused');
  const failing = openOutbound(t, { lookup: () => Promise.reject(new Error('SERVFAIL')) });
  t.equal(await failure(failing.post(url, POST)), 'dns_failed');
  t.strictSame(attempts, []);
});

t.test('of hundreds of addresses few are tried', async t => {
  const many = [...hundreds(), ...Array.from({ length: 300 }, (_, i) => `2606:4700::${i.toString(16)}`)];
  const lookup = checkedLookup({ production: true, ports: [], lookup: async () => many, own_addresses: () => [] });
  t.strictSame(await lookup('many.example.org'), ['93.184.0.0', '93.184.0.1', '2606:4700::0', '2606:4700::1']);
});

t.test("addresses of this machine's own interfaces are its own", async t => {
  const lookup = checkedLookup({ production: true, ports: [], own_addresses: () => ['2606:4700:4700:0:0:0:0:1111'] });
  t.equal(await failure(lookup('2606:4700:4700::1111')), 'address_refused', 'also as a literal');
  t.strictSame(await lookup('2606:4700:4700::1112'), ['2606:4700:4700::1112']);
  t.equal(await failure(lookup('localhost')), 'address_refused');
  t.strictSame(await checkedLookup({ production: false, ports: [] })('a.localhost'), ['127.0.0.1', '::1']);
});

t.test('a connection is used again for a minute, then its name is looked up anew', async t => {
  const authority = makeAuthority();
  const { certificate, key } = makeIdentity({ hosts: ['moves.example.org'], issuer: authority });
  const server = createServer({ cert: certificate, key, keepAliveTimeout: 600_000 }, (_, response) => response.end());
  const { port, connections } = await listen(t, server);
  const proxy = await startConnectProxy(t);
  proxy.routes.set('93.184.0.1:443', port).set('93.184.0.2:443', port);
  let addresses = ['93.184.0.1'];
  const out = openOutbound(t, {
    production: true,
    proxy: { host: '127.0.0.1', port: proxy.port, authorization: null },
    lookup: async () => addresses,
    own_addresses: () => [],
  });
  const post = async () => {
    // A connection is free for the next post a moment after its answer.
    await setImmediate();
    return out.post('https://moves.example.org/', { ...POST, receiver: { id: 'whe_1', tls: { ca: authority.certificate } } });
  };
  const now = Date.now;
  t.teardown(() => (Date.now = now));

  t.match(await post(), { status: 200 });
  addresses = ['93.184.0.2'];
  Date.now = () => now() + 59_000;
  t.match(await post(), { status: 200 });
  t.equal(connections(), 1);
  Date.now = () => now() + 61_000;
  t.match(await post(), { status: 200 });
  t.strictSame(
    proxy.asked.map(({ target }) => target),
    ['93.184.0.1:443', '93.184.0.2:443'],
  );
  addresses = ['127.0.0.1'];
  Date.now = () => now() + 123_000;
  t.equal(await failure(post()), 'address_refused');
  t.equal(connections(), 2);
});
