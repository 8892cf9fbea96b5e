import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { readConfig } from '../../src/platform/config.ts';
import type { OutboundPolicy } from '../../src/platform/outbound.ts';
import { makeAuthority, makeIdentity } from '../support/certificates.ts';
import { type ConnectProxy, startConnectProxy } from '../support/connect-proxy.ts';
import { watchConnections } from '../support/connections.ts';
import { failure, listen, openOutbound } from '../support/listen.ts';

/** The way out through a proxy. Public addresses are routes of a proxy on this machine, and nothing here leaves it. */

const AUTHORITY = makeAuthority();
const URL_OF_RECEIVER = 'https://hooks.example.org/hook';
const POST = {
  headers: { 'content-type': 'application/json' },
  body: '{}',
  timeout_ms: 5_000,
  receiver: { id: 'whe_1', tls: { ca: AUTHORITY.certificate } },
};

async function start(t: Test, policy: Partial<OutboundPolicy> = {}, hosts = ['hooks.example.org', '93.184.0.1']) {
  const { certificate, key } = makeIdentity({ hosts, issuer: AUTHORITY });
  const names: (string | undefined)[] = [];
  const server = createTlsServer({ cert: certificate, key, keepAliveTimeout: 600_000 }, (request, response) => {
    names.push((request.socket as Socket & { servername?: string }).servername);
    response.end();
  });
  const receiver = await listen(t, server);
  const proxy = await startConnectProxy(t);
  const out = openOutbound(t, {
    production: true,
    lookup: async () => ['93.184.0.1', '2606:4700::1'],
    own_addresses: () => [],
    proxy: { host: '127.0.0.1', port: proxy.port, authorization: null },
    ...policy,
  });
  return { receiver, proxy, names, out };
}

const targets = ({ asked }: ConnectProxy) => asked.map(({ target }) => target);

t.test('posts go through the proxy, which is told the checked address; TLS is by name', async t => {
  const { receiver, proxy, names, out } = await start(t);
  proxy.routes.set('93.184.0.1:443', receiver.port);
  const attempts = watchConnections(t);
  t.match(await out.post(URL_OF_RECEIVER, POST), { status: 200 });
  await setImmediate();
  t.match(await out.post(URL_OF_RECEIVER, POST), { status: 200 });
  t.strictSame(proxy.asked, [{ target: '93.184.0.1:443', authorization: undefined }], 'once for both');
  t.match(await out.post('https://93.184.0.1/hook', POST), { status: 200 }, 'a literal');
  t.strictSame(names, ['hooks.example.org', 'hooks.example.org', false]);
  const of_proxy = [`127.0.0.1:${receiver.port}`, `127.0.0.1:${receiver.port}`];
  t.strictSame(
    attempts.filter(it => !of_proxy.includes(it)),
    [`127.0.0.1:${proxy.port}`, `127.0.0.1:${proxy.port}`],
    'nothing goes around it',
  );
});

t.test('an address that the proxy does not reach is followed by the next', async t => {
  const { receiver, proxy, out } = await start(t);
  proxy.routes.set('[2606:4700::1]:443', receiver.port);
  t.match(await out.post(URL_OF_RECEIVER, POST), { status: 200 });
  t.strictSame(targets(proxy), ['93.184.0.1:443', '[2606:4700::1]:443']);
  proxy.routes.clear();
  t.equal(await failure(out.post('https://elsewhere.example.org/', POST)), 'connect_failed');
});

t.test('whoever answers at the address must be who the name says', async t => {
  const { receiver, proxy, names, out } = await start(t, {}, ['other.example.org']);
  proxy.routes.set('93.184.0.1:443', receiver.port);
  t.equal(await failure(out.post(URL_OF_RECEIVER, POST)), 'certificate_wrong_host');
  t.strictSame(names, []);
});

t.test('names that lead inside are not even named to it', async t => {
  const answers = [['127.0.0.1'], ['93.184.0.1', '10.0.0.1'], ['::ffff:93.184.0.1']];
  const { proxy, out } = await start(t, { lookup: async () => answers.shift() ?? [] });
  while (answers.length > 0) t.equal(await failure(out.post(URL_OF_RECEIVER, POST)), 'address_refused');
  t.equal(await failure(out.post(URL_OF_RECEIVER, POST)), 'dns_failed');
  t.strictSame(proxy.asked, []);
});

t.test('credentials go to the proxy alone', async t => {
  const { egress_proxy } = readConfig({ EGRESS_PROXY: 'http://aman:s%40cret@127.0.0.1:3128' });
  t.strictSame(egress_proxy, {
    host: '127.0.0.1',
    port: 3128,
    authorization: `Basic ${Buffer.from('aman:s@cret').toString('base64')}`,
  });
  const received: (string | undefined)[] = [];
  const { certificate, key } = makeIdentity({ hosts: ['hooks.example.org'], issuer: AUTHORITY });
  const server = createTlsServer({ cert: certificate, key }, (request, response) => {
    received.push(JSON.stringify(request.headers));
    response.end();
  });
  const { port } = await listen(t, server);
  const proxy = await startConnectProxy(t);
  proxy.routes.set('93.184.0.1:443', port);
  const out = openOutbound(t, {
    lookup: async () => ['93.184.0.1'],
    own_addresses: () => [],
    proxy: { ...egress_proxy!, port: proxy.port },
  });
  t.match(await out.post(URL_OF_RECEIVER, POST), { status: 200 });
  t.strictSame(proxy.asked, [{ target: '93.184.0.1:443', authorization: egress_proxy!.authorization }]);
  t.equal(received.length, 1);
  t.notMatch(received[0], /authorization|cret|YW1hbjpz/i);
});

t.test('failures of the proxy itself', async t => {
  const { receiver, proxy, out } = await start(t);
  proxy.routes.set('93.184.0.1:443', receiver.port);
  for (const [reply, reason] of [
    ['HTTP/1.1 407 Proxy Authentication Required\r\n\r\n', 'proxy_failed'],
    ['HTTP/1.1 403 Forbidden\r\ncontent-length: 6\r\n\r\nSECRET', 'proxy_failed'],
    ['HTTP/1.1 405 Method Not Allowed\r\n\r\n', 'proxy_failed'],
    ['HTTP/1.1 301 Moved Permanently\r\nlocation: http://127.0.0.1/\r\n\r\n', 'proxy_failed'],
    ['HTTP/1.1 200 OK\r\n\r\nSECRET', 'proxy_failed'],
    ['SECRET nonsense\r\n\r\n', 'proxy_failed'],
    ['', 'proxy_failed'],
    [`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(100_000)}\r\n\r\n`, 'proxy_failed'],
    ['HTTP/1.1 200 OK\r\n\r\n', 'reset'],
  ] as const) {
    proxy.replies.push(reply);
    const error: unknown = await out.post(URL_OF_RECEIVER, POST).catch(error => error);
    t.match(error, { name: 'DeliveryError', reason, message: reason, cause: undefined }, reply.slice(0, 40));
    t.notMatch(String((error as Error).stack), /SECRET/);
  }
  t.match(await out.post(URL_OF_RECEIVER, POST), { status: 200 }, 'and then it works again');

  const free = await listen(t, createTcpServer());
  const gone = openOutbound(t, {
    lookup: async () => ['93.184.0.1'],
    own_addresses: () => [],
    proxy: { host: '127.0.0.1', port: free.port, authorization: null },
  });
  t.equal(await failure(gone.post(URL_OF_RECEIVER, { ...POST, timeout_ms: 100 })), 'timeout', 'silent');
  const closed = openOutbound(t, {
    lookup: async () => ['93.184.0.1'],
    own_addresses: () => [],
    proxy: { host: '127.0.0.1', port: 1, authorization: null },
  });
  t.equal(await failure(closed.post(URL_OF_RECEIVER, POST)), 'proxy_failed', 'not there');
});

t.test('outside production what goes to this machine goes there straight', async t => {
  const server = createServer((_, response) => response.end());
  const { port } = await listen(t, server);
  const { proxy, out } = await start(t, { production: false });
  t.match(await out.post(`http://localhost:${port}/`, { ...POST, receiver: undefined }), { status: 200 });
  t.strictSame(proxy.asked, []);
});

t.test('closing ends what waits for the proxy', async t => {
  const arrived = Promise.withResolvers<Socket>();
  const silent = await listen(
    t,
    createTcpServer(socket => arrived.resolve(socket)),
  );
  const out = openOutbound(t, {
    lookup: async () => ['93.184.0.1'],
    own_addresses: () => [],
    proxy: { host: '127.0.0.1', port: silent.port, authorization: null },
  });
  const pending = failure(out.post(URL_OF_RECEIVER, POST));
  const socket = await arrived.promise;
  const ended = new Promise(resolve => socket.once('close', resolve));
  socket.resume();
  await out.close();
  t.equal(await pending, 'reset');
  await ended;
});

t.test('EGRESS_PROXY is an http URL of a host, and is never quoted', async t => {
  const read = (EGRESS_PROXY: string) => readConfig({ EGRESS_PROXY }).egress_proxy;
  t.equal(read(''), null);
  t.strictSame(read('http://proxy.example:3128/'), { host: 'proxy.example', port: 3128, authorization: null });
  t.strictSame(read('http://[::1]'), { host: '::1', port: 80, authorization: null });
  for (const wrong of [
    'proxy:3128',
    'https://me:SECRET@proxy:3128',
    'socks5://me:SECRET@proxy:1080',
    'http://me:SECRET@proxy:3128/path',
    'http://me:SECRET@proxy:3128/?x',
    'http://me:SECRET@proxy:3128/#x',
    'http://me:SECRET%@proxy:3128',
    'http://me:SECRET@proxy:99999',
    'http://',
  ]) {
    t.throws(() => read(wrong), { name: 'ConfigError', message: /^EGRESS_PROXY must be (?!.*SECRET)/ }, wrong);
  }
});
