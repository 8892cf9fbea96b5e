import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import t, { type Test } from 'tap';
import { DELIVERY_FAILURES, DeliveryError } from '../../src/platform/delivery-failure.ts';
import { makeIdentity } from '../support/certificates.ts';
import { failure, listen, openOutbound } from '../support/listen.ts';

const POST = { headers: { 'content-type': 'application/json' }, body: '{}', timeout_ms: 5_000 };

const serve = (t: Test, answer: RequestListener) => listen(t, createServer(answer));

t.test('a POST to loopback, outside production', async t => {
  const seen: { method?: string; url?: string; headers: object; body: string }[] = [];
  const { port } = await serve(t, async (request, response) => {
    seen.push({ method: request.method, url: request.url, headers: request.headers, body: (await request.toArray()).join('') });
    response.writeHead(503, { 'retry-after': '120' }).end('busy');
  });
  const out = openOutbound(t);
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
  t.match(await openOutbound(t).post(`http://127.0.0.1:${port}/here`, POST), { status: 307, retry_after: null });
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
  const out = openOutbound(t, { connections: 1 });
  for (const path of ['/small', '/small', '/broken', '/announced', '/endless']) {
    t.match(await out.post(`http://127.0.0.1:${port}${path}`, POST), { status: 200 }, path);
  }
  await closed.promise;
  t.equal(connections(), 3, 'a small body keeps its connection, a large one costs it');
});

t.test('a connection does not wait for another post as long as the receiver would have it', async t => {
  const ended = Promise.withResolvers<void>();
  const server = createTcpServer(socket => {
    socket.on('data', () => socket.write('HTTP/1.1 204 No Content\r\nKeep-Alive: timeout=600\r\n\r\n'));
    socket.on('error', () => {}).on('close', () => ended.resolve());
  });
  const { port } = await listen(t, server);
  t.match(await openOutbound(t, { reuse_ms: 200 }).post(`http://localhost:${port}/`, POST), { status: 204 });
  await ended.promise;
  t.pass('it is over');
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
  const out = openOutbound(t, { lookup: () => unresolved.promise });
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
  const out = openOutbound(t, { connections: 2 });
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
  const { key, certificate } = makeIdentity({ hosts: ['localhost'] });
  const unverified = await listen(
    t,
    createTlsServer({ key, cert: certificate }, (_, response) => response.end()),
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

  const out = openOutbound(t, { lookup: () => Promise.reject(new Error('SECRET of the resolver')) });
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
  const out = openOutbound(t);
  const pending = failure(out.post(`http://127.0.0.1:${port}/`, POST));
  await arrived.promise;
  await out.close();
  t.equal(await pending, 'reset');
});
