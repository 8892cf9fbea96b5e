import { channel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { checkWebhookUrl, isPublicAddress } from '../../src/platform/addresses.ts';
import { DELIVERY_FAILURES, DeliveryError } from '../../src/platform/delivery-failure.ts';
import { createOutbound, type OutboundPolicy } from '../../src/platform/outbound.ts';

const POST = { headers: { 'content-type': 'application/json' }, body: '{}', timeout_ms: 5_000 };

/** Starts `server` on loopback; counts its connections and cuts them at teardown. */
async function listen(t: Test, server: Server): Promise<{ port: number; connections: () => number }> {
  const sockets: Socket[] = [];
  server.on('connection', socket => sockets.push(socket.on('error', () => {})));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, connections: () => sockets.length };
}

const serve = (t: Test, answer: RequestListener) => listen(t, createServer(answer));

function outbound(t: Test, policy: Partial<OutboundPolicy> = {}) {
  const out = createOutbound({ production: false, ports: [], lookup: async () => [], ...policy });
  t.teardown(() => out.close());
  return out;
}

const failure = async (answer: Promise<unknown>): Promise<string> => {
  const error = await answer.then(
    status => new Error(`answered ${JSON.stringify(status)}`),
    error => error,
  );
  return error instanceof DeliveryError ? error.reason : String(error);
};

/** URLs for which there is no use, `0` standing for the port of a server that listens on 127.0.0.1. */
const LOOPBACK = [
  'https://127.0.0.1:0/',
  'http://127.0.0.1:0/',
  'https://127.0.0.1/',
  'https://127.1:0/',
  'https://127.0.1:0/',
  'https://127.255.255.254:0/',
  'https://2130706433:0/',
  'https://017700000001:0/',
  'https://0x7f000001:0/',
  'https://0x7F.1:0/',
  'https://0177.0.0.1:0/',
  'https://127.0.0.1.:0/',
  'https://127%2e0%2e0%2e1:0/',
  'https://①②⑦.⓪.⓪.①:0/',
  'https://１２７。０。０。１:0/',
  'https://[::1]:0/',
  'http://[0:0:0:0:0:0:0:1]:0/',
  'https://localhost:0/',
  'http://localhost:0/',
  'https://LOCALHOST:0/',
  'https://%6cocalhost:0/',
  'https://ⓛocalhost:0/',
  'https://a.b.localhost:0/',
];
const HOSTILE = [
  'https://10.0.0.1/',
  'https://10.255.255.255/',
  'https://012.0.0.1/',
  'https://172.16.0.1/',
  'https://172.31.255.255/',
  'https://192.168.1.1/',
  'https://3232235777/',
  'https://0xc0a80101/',
  'https://192.168.257/',
  'https://169.254.169.254/latest/meta-data/',
  'https://0xA9FEA9FE/',
  'https://2852039166/',
  'https://0251.0376.0251.0376/',
  'https://100.64.0.1/',
  'https://100.100.100.200/',
  'https://100.127.255.255/',
  'https://0.0.0.0:0/',
  'https://0:0/',
  'https://0.1.2.3/',
  'https://192.0.0.8/',
  'https://192.0.2.1/',
  'https://192.31.196.1/',
  'https://192.52.193.1/',
  'https://192.88.99.1/',
  'https://192.175.48.1/',
  'https://198.18.0.1/',
  'https://198.19.255.255/',
  'https://198.51.100.1/',
  'https://203.0.113.1/',
  'https://224.0.0.1/',
  'https://239.255.255.250/',
  'https://240.0.0.1/',
  'https://255.255.255.255/',
  'https://[::]:0/',
  'https://[::127.0.0.1]:0/',
  'https://[::ffff:127.0.0.1]:0/',
  'https://[::ffff:7f00:1]:0/',
  'https://[::ffff:8.8.8.8]/',
  'https://[::ffff:0:127.0.0.1]/',
  'https://[64:ff9b::7f00:1]/',
  'https://[64:ff9b::8.8.8.8]/',
  'https://[64:ff9b:1::10.0.0.1]/',
  'https://[100::1]/',
  'https://[2001::1]/',
  'https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/',
  'https://[2001:2::1]/',
  'https://[2001:10::1]/',
  'https://[2001:20::1]/',
  'https://[2001:db8::1]/',
  'https://[2002:7f00:1::]/',
  'https://[2002:808:808::1]/',
  'https://[2620:4f:8000::1]/',
  'https://[3fff::1]/',
  'https://[4000::1]/',
  'https://[5f00::1]/',
  'https://[fc00::1]/',
  'https://[fd00:ec2::254]/',
  'https://[fe80::1]/',
  'https://[fe80::1%25eth0]/',
  'https://[fec0::1]/',
  'https://[ff02::1]/',
  'https://[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]/',
  'https://localhost.:0/',
  'https://a.localhost.:0/',
  'https://localhost。:0/',
  'https://localhost.localdomain:0/',
  'https://printer.local/',
  'https://metadata.google.internal/',
  'https://internal/',
  'https://router.home.arpa/',
  'https://intranet/',
  'https://com/',
  'https://hooks.example.org./',
  'https://hooks..example.org/',
  'https://*.example.org/',
  `https://${'a'.repeat(64)}.example.org/`,
  `https://${'a.'.repeat(130)}org/`,
  'http://hooks.example.org/',
  'http://8.8.8.8/',
  'http://10.0.0.1/',
  'http://localhost.example.org:0/',
  'https://user@hooks.example.org/',
  'https://user:secret@hooks.example.org/',
  'https://@hooks.example.org/',
  'https://:@hooks.example.org/',
  'https://hooks.example.org@127.0.0.1:0/',
  'https://127.0.0.1:0\\@hooks.example.org/',
  'https://hooks.example.org\\@127.0.0.1:0/',
  'https:\\\\127.0.0.1:0/',
  'https:127.0.0.1:0/',
  'https:/127.0.0.1:0/',
  'https:///127.0.0.1:0/',
  'https:hooks.example.org',
  'ht\ntps://hooks.example.org/',
  'https://hooks.exa\tmple.org/',
  'https://hooks.example.org/a b',
  'https://hooks.example.org/a\r\nHost: x',
  'https://hooks.example.org/\u0085',
  ' https://hooks.example.org/',
  'https://hooks.example.org/ ',
  'https://hooks.example.org/#fragment',
  'https://hooks.example.org/#',
  'https://hooks.example.org:80/',
  'https://hooks.example.org:22/',
  'https://hooks.example.org:6379/',
  'https://hooks.example.org:65535/',
  'https://8.8.8.8:25/',
  'https://hooks.example.org:65536/',
  'https://256.0.0.1/',
  'https://1.2.3.4.5/',
  'https://0x7g.1/',
  'https://[::1/',
  'https://%00.example.org/',
  'https://',
  'https://?x',
  'hooks.example.org',
  '//hooks.example.org/',
  '/hooks',
  '',
  'ftp://hooks.example.org/',
  'file:///etc/passwd',
  'gopher://127.0.0.1:0/_',
  'data:text/plain,x',
  'javascript:alert(1)',
  'ws://127.0.0.1:0/',
  'wss://hooks.example.org/',
  'unix:/run/docker.sock',
  'https+unix://%2frun%2fdocker.sock/',
  'blob:https://hooks.example.org/1',
];

t.test('hostile URLs are refused at registration and at send, without a connection', async t => {
  const { port, connections } = await serve(t, (_, response) => response.end());
  let attempts = 0;
  const attempted = () => attempts++;
  channel('undici:client:beforeConnect').subscribe(attempted);
  t.teardown(() => channel('undici:client:beforeConnect').unsubscribe(attempted));
  const asked: string[] = [];
  const lookup = async (host: string) => {
    asked.push(host);
    return ['127.0.0.1'];
  };
  for (const [production, urls] of [
    [true, [...LOOPBACK, ...HOSTILE]],
    [false, HOSTILE],
  ] as const) {
    const policy = { production, ports: [port], lookup };
    const out = outbound(t, policy);
    for (const url of urls.map(url => url.replace(':0', `:${port}`))) {
      t.type(checkWebhookUrl(url, policy), 'string', `${production ? 'production' : 'elsewhere'}: ${JSON.stringify(url)}`);
      t.equal(await failure(out.post(url, POST)), 'address_refused', JSON.stringify(url));
    }
  }
  t.ok(LOOPBACK.length + HOSTILE.length > 150);
  t.equal(attempts, 0);
  t.equal(connections(), 0);
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

t.test('a name that answers a public address first and loopback then gets no connection', async t => {
  const { port, connections } = await serve(t, (_, response) => response.end());
  const answers = [
    ['8.8.8.8'],
    ['127.0.0.1'],
    ['::1'],
    ['8.8.8.8', '127.0.0.1'],
    ['127.0.0.1', '8.8.8.8'],
    ['::ffff:127.0.0.1'],
    ['not an address'],
  ];
  const lookup = async () => answers.shift() ?? [];
  const url = `https://rebind.example.org:${port}/`;
  const policy = { production: false, ports: [port], lookup };
  t.equal(checkWebhookUrl(url, policy), undefined);
  t.strictSame(await lookup(), ['8.8.8.8'], 'what somebody who checks the name beforehand would see');
  const out = outbound(t, policy);
  while (answers.length > 0) t.equal(await failure(out.post(url, POST)), 'address_refused');
  t.equal(await failure(out.post(url, POST)), 'dns_failed', 'no address at all');
  t.equal(connections(), 0);
});

t.test('a POST to loopback, outside production', async t => {
  const seen: { method?: string; url?: string; headers: object; body: string }[] = [];
  const { port } = await serve(t, async (request, response) => {
    seen.push({ method: request.method, url: request.url, headers: request.headers, body: (await request.toArray()).join('') });
    response.writeHead(503, { 'retry-after': '120' }).end('busy');
  });
  const out = outbound(t);
  const headers = {
    'content-type': 'application/json',
    'webhook-id': 'evt_1',
    Traceparent: '00-1-2-01',
    tracestate: 'a=1',
    baggage: 'b=2',
  };
  const answer = await out.post(`http://localhost:${port}/hook?a=%20b`, { headers, body: '{"name":"مريم"}' });
  t.match(answer, { status: 503, retry_after: '120', duration_ms: Number });
  t.match(seen, [
    { method: 'POST', url: '/hook?a=%20b', headers: { 'webhook-id': 'evt_1', 'content-length': '19' }, body: '{"name":"مريم"}' },
  ]);
  for (const name of ['traceparent', 'tracestate', 'baggage']) t.notOk(name in seen[0]!.headers, name);
  t.match(await out.post(`http://127.0.0.1:${port}/`, POST), { status: 503 }, 'by address');
  t.match(await out.post(`http://hooks.localhost:${port}/`, POST), { status: 503 }, 'any name under localhost');
});

t.test('a redirect is an answer', async t => {
  const paths: (string | undefined)[] = [];
  const { port } = await serve(t, (request, response) => {
    paths.push(request.url);
    response.writeHead(307, { location: '/elsewhere' }).end();
  });
  t.match(await outbound(t).post(`http://127.0.0.1:${port}/here`, POST), { status: 307, retry_after: null });
  t.strictSame(paths, ['/here']);
});

t.test('no more of a body is read than 64 KiB', async t => {
  const closed = Promise.withResolvers<void>();
  const { port, connections } = await serve(t, (request, response) => {
    if (request.url === '/small') return response.end(Buffer.alloc(60 * 1024));
    if (request.url === '/broken')
      return response.writeHead(200, { 'content-length': '10' }).write('a', () => request.socket.destroy());
    if (request.url === '/announced') return response.writeHead(200, { 'content-length': '1073741824' }).write('a');
    const more = () => {
      while (response.write(Buffer.alloc(16 * 1024)));
    };
    response.on('drain', more).on('close', () => closed.resolve());
    return more();
  });
  const out = outbound(t, { connections: 1 });
  for (const path of ['/small', '/small', '/broken', '/announced', '/endless']) {
    t.match(await out.post(`http://127.0.0.1:${port}${path}`, POST), { status: 200 }, path);
  }
  await closed.promise;
  t.equal(connections(), 3, 'a small body keeps its connection, a large one costs it');
});

t.test('one timeout over everything', async t => {
  const closed = Promise.withResolvers<void>();
  const { port } = await serve(t, (request, response) => {
    if (request.url === '/silent') return;
    response.writeHead(200).write('a');
    request.socket.on('close', () => closed.resolve());
  });
  const silent = await listen(t, createTcpServer());
  const unresolved = Promise.withResolvers<string[]>();
  t.teardown(() => unresolved.resolve([]));
  const out = outbound(t, { lookup: () => unresolved.promise });
  const soon = { ...POST, timeout_ms: 100 };
  t.equal(await failure(out.post('https://slow-dns.example.org/', soon)), 'timeout', 'the lookup');
  t.equal(await failure(out.post(`https://127.0.0.1:${silent.port}/`, soon)), 'timeout', 'the TLS handshake');
  t.equal(await failure(out.post(`http://127.0.0.1:${port}/silent`, soon)), 'timeout', 'the head');
  t.equal(await failure(out.post(`http://127.0.0.1:${port}/body`, soon)), 'timeout', 'the body');
  await closed.promise;
});

t.test('connections per origin are bounded; a post that waits past its time is never sent', async t => {
  const held = Promise.withResolvers<void>();
  const paths: (string | undefined)[] = [];
  const { port, connections } = await serve(t, async (request, response) => {
    paths.push(request.url);
    await held.promise;
    response.end();
  });
  const out = outbound(t, { connections: 2 });
  const url = `http://127.0.0.1:${port}`;
  const first = [out.post(`${url}/1`, POST), out.post(`${url}/2`, POST)];
  t.equal(await failure(out.post(`${url}/late`, { ...POST, timeout_ms: 50 })), 'timeout');
  held.resolve();
  t.match(await Promise.all(first), [{ status: 200 }, { status: 200 }]);
  t.match(await out.post(`${url}/3`, POST), { status: 200 });
  t.strictSame(paths.toSorted(), ['/1', '/2', '/3']);
  t.equal(connections(), 2);
});

t.test('failures have a reason and nothing else', async t => {
  const tcp = (answer: string | null) =>
    listen(
      t,
      createTcpServer(socket => {
        socket.once('data', () => (answer === null ? socket.destroy() : socket.end(answer)));
      }),
    );
  const garbage = await tcp('SECRET of the receiver\r\n\r\n');
  const hangUp = await tcp(null);
  const unverified = await listen(
    t,
    createTlsServer({ key: KEY, cert: CERTIFICATE }, (_, response) => response.end()),
  );
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  const { port: freePort } = free.address() as AddressInfo;
  await new Promise(done => free.close(done));

  const { NODE_TLS_REJECT_UNAUTHORIZED: before } = process.env;
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  t.teardown(() => {
    if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
  });

  const out = outbound(t, { lookup: () => Promise.reject(new Error('SECRET of the resolver')) });
  for (const [url, reason] of [
    ['https://hooks.example.org/', 'dns_failed'],
    [`http://127.0.0.1:${freePort}/`, 'connect_failed'],
    [`http://localhost:${freePort}/`, 'connect_failed'],
    [`https://localhost:${unverified.port}/`, 'certificate_untrusted'],
    [`https://127.0.0.1:${garbage.port}/`, 'tls_failed'],
    [`http://127.0.0.1:${hangUp.port}/`, 'reset'],
    [`http://127.0.0.1:${garbage.port}/`, 'invalid_answer'],
  ] as const) {
    const error: unknown = await out.post(url, POST).catch(error => error);
    t.type(error, DeliveryError, url);
    const { name, message, reason: actual, cause } = error as DeliveryError;
    t.strictSame(
      { name, message, actual, cause },
      { name: 'DeliveryError', message: reason, actual: reason, cause: undefined },
      url,
    );
    t.ok(actual in DELIVERY_FAILURES);
    t.notMatch(JSON.stringify(error) + String((error as Error).stack), /SECRET/);
  }
});

t.test('closing ends what is under way', async t => {
  const arrived = Promise.withResolvers<void>();
  const { port } = await serve(t, () => arrived.resolve());
  const out = outbound(t);
  const pending = failure(out.post(`http://127.0.0.1:${port}/`, POST));
  await arrived.promise;
  await out.close();
  t.equal(await pending, 'reset');
});

// Self-signed for localhost and used nowhere else: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgzlJ5IojDSUhaKkga
FMRepO1URzsfORVYqrRc2K7eWKChRANCAATZdMthoIk/AAzeLrXMNhq6jpbOSp9C
m3F+OtMPN6CcoRAZ4ZFZehDFE92upmO0m9pZkAkWh5slNZOuqCX23oTU
-----END PRIVATE KEY-----`;
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUCkrtLw6aaAFuQCmwje6SXnAjmLwwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTIwNTYxNFoYDzIxMjYxMDI4
MjA1NjE0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATZdMthoIk/AAzeLrXMNhq6jpbOSp9Cm3F+OtMPN6CcoRAZ4ZFZehDF
E92upmO0m9pZkAkWh5slNZOuqCX23oTUo28wbTAdBgNVHQ4EFgQUSbDJaxaetT4i
s+hTfn2u58IMk1owHwYDVR0jBBgwFoAUSbDJaxaetT4is+hTfn2u58IMk1owDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIhALuMxibpvouLxuMDYN699Ty2lazVI0YcbBsLzjG3nzpeAiB4
5FvF85IAlkSrTcmPE39fZdtoPJ9eczCraKETkAIOiA==
-----END CERTIFICATE-----`;
