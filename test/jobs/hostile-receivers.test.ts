import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { type Test, test } from 'tap';
import { deliverDue } from '../../src/webhooks/turn.ts';
import { startTestApp } from '../support/app.ts';
import { listen, openOutbound } from '../support/listen.ts';
import { mechanism } from '../support/mechanism.ts';
import { demoActors, emit, notice, relayAll } from '../support/webhooks.ts';

/** Whatever a receiver does: what the agency reads of it, that it costs little, and that the next delivery arrives. */

const PATH = '/v1/webhook-endpoints';
/** In place of 15 s. */
const TIMEOUT_MS = 1_000;
const MIB = 1024 * 1024;

/** What a receiver does with each request that has come in whole. */
type Answers = (socket: Socket) => void;

const says =
  (...parts: (string | Buffer)[]): Answers =>
  socket => {
    for (const part of parts) socket.write(part);
  };
const head = (status: string, ...headers: string[]) => `HTTP/1.1 ${status}\r\n${headers.map(it => `${it}\r\n`).join('')}\r\n`;
const empty = (status: string, ...headers: string[]) => says(head(status, ...headers, 'content-length: 0'));
const GOOD = empty('204 No Content');

/** As much at a time as the other end takes, until it is gone. */
const endlessly =
  (first: string, more: string | Buffer): Answers =>
  socket => {
    socket.write(first);
    const write = () => {
      while (socket.writable && socket.write(more));
    };
    socket.on('drain', write);
    write();
  };

const drop_by_drop =
  (text: string, first = ''): Answers =>
  socket => {
    socket.write(first);
    let sent = 0;
    const timer = setInterval(() => socket.write(text[sent++ % text.length]!), 20);
    socket.once('close', () => clearInterval(timer));
  };

interface Receiver {
  url: string;
  /** What it does with the next requests. */
  answers: Answers;
  /** What it does with the next connections, before any request. */
  greets: Answers;
  requests: number;
  sockets: Socket[];
}

/** Reads as much of HTTP as the service sends: a head, and as many bytes as it says. */
async function startReceiver(t: Test, port = 0): Promise<Receiver> {
  const receiver: Receiver = { url: '', answers: GOOD, greets: () => {}, requests: 0, sockets: [] };
  const server = createServer({ allowHalfOpen: true }, socket => {
    let text = '';
    receiver.sockets.push(socket.on('error', () => {}));
    receiver.greets(socket);
    socket.on('data', chunk => {
      text += chunk.toString('latin1');
      const of_head = text.indexOf('\r\n\r\n') + 4;
      const length = of_head + Number(/\r\ncontent-length: (\d+)\r\n/i.exec(text)?.[1]);
      if (of_head < 4 || text.length < length) return;
      text = text.slice(length);
      receiver.requests += 1;
      receiver.answers(socket);
    });
    socket.on('end', () => socket.end());
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of receiver.sockets) socket.destroy();
    server.close();
  });
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  return receiver;
}

async function start(t: Test) {
  const it = await startTestApp(t);
  const { services, clock } = it;
  const { as } = await mechanism(it);
  const { helpline_a } = await demoActors(services);
  const health = as('health', 'supervisor');
  const outbound = openOutbound(t, { timeout_ms: TIMEOUT_MS });
  return {
    health,
    register: async (url: string): Promise<string> => {
      const { status, body } = await health.post(PATH, { url, event_types: ['*'] });
      if (status !== 201) throw new Error(JSON.stringify(body));
      return body.id;
    },
    /** Something happens, and is sent. */
    happens: async () => {
      await emit(services, helpline_a, notice([health.agency.id]));
      await relayAll(services);
      await deliverDue(services, outbound);
    },
    /** The time of the second attempt comes. */
    again: async () => {
      clock.advance(10_000);
      await deliverDue(services, outbound);
    },
    /** The newest delivery to an endpoint, with its last attempt, as the agency reads it. */
    log: async (id: string) => {
      const { body } = await health.get(`${PATH}/${id}/deliveries`);
      const { state, attempts } = body.data[0];
      const { attempt, status, error, duration_ms } = attempts.at(-1);
      return { state, attempt, status, error, duration_ms };
    },
    remove: (id: string) => health.del(`${PATH}/${id}`),
  };
}

const answered = (status: number) => ({ state: status < 300 ? 'delivered' : 'pending', attempt: 1, status, error: null });
const failed = (error: string) => ({ state: 'pending', attempt: 1, status: null, error });

test('what receivers do', async t => {
  const it = await start(t);
  const elsewhere = await startReceiver(t);
  const bomb = gzipSync(Buffer.alloc(64 * MIB));
  const rss = process.memoryUsage().rss;

  const redirect = (status: string) => empty(status, `location: ${elsewhere.url}`, 'retry-after: 0');
  const cases: [what: string, Answers, expected: object, greets?: Answers][] = [
    ['200', empty('200 OK'), answered(200)],
    ['299, a status without a meaning', empty('299 Whatever'), answered(299)],
    ['a page of HTML', says(head('200 OK', 'content-type: text/html', 'content-length: 6'), '<html>'), answered(200)],
    [
      'a body of another type than it says',
      says(head('200 OK', 'content-type: image/png', 'content-length: 1'), '{'),
      answered(200),
    ],
    ['early hints, then the answer', says(head('103 Early Hints', 'link: </x>'), head('204 No Content')), answered(204)],
    ['"continue", which nobody asked for', says(head('100 Continue')), failed('invalid_answer')],
    ['another protocol', says(head('101 Switching Protocols', 'connection: upgrade', 'upgrade: x')), failed('invalid_answer')],
    ['early hints without end', endlessly('', head('103 Early Hints').repeat(500)), failed('invalid_answer')],
    ['300', redirect('300 Multiple Choices'), answered(300)],
    ['301', redirect('301 Moved Permanently'), answered(301)],
    ['302', redirect('302 Found'), answered(302)],
    ['303', redirect('303 See Other'), answered(303)],
    ['307', redirect('307 Temporary Redirect'), answered(307)],
    ['308', redirect('308 Permanent Redirect'), answered(308)],
    ['400', empty('400 Bad Request'), answered(400)],
    ['401', empty('401 Unauthorized', 'www-authenticate: Basic realm="x"'), answered(401)],
    ['404', empty('404 Not Found'), answered(404)],
    ['407', empty('407 Proxy Authentication Required', 'proxy-authenticate: Basic realm="x"'), answered(407)],
    ['500', empty('500 Internal Server Error'), answered(500)],
    ['599', empty('599 Whatever'), answered(599)],
    ['999', empty('999 Whatever'), answered(999)],
    ['a status below all', empty('099 Whatever'), failed('other')],
    ['a head drop by drop', drop_by_drop(head('200 OK', 'x: x')), failed('timeout')],
    ['a body drop by drop', drop_by_drop('x', head('200 OK', 'content-length: 9999')), failed('timeout')],
    ['nothing', () => {}, failed('timeout')],
    ['a body without end', endlessly(head('200 OK'), Buffer.alloc(64 * 1024)), answered(200)],
    [
      'chunks without end',
      endlessly(head('200 OK', 'transfer-encoding: chunked'), `ffff\r\n${'x'.repeat(0xffff)}\r\n`),
      answered(200),
    ],
    ['the announcement of a large body', says(head('500 No', 'content-length: 99999999999')), answered(500)],
    ['a gzip bomb', says(head('200 OK', 'content-encoding: gzip', `content-length: ${bomb.length}`), bomb), answered(200)],
    ['a reset in its head', socket => socket.write('HTTP/1.1 200 OK\r\nx: ', () => socket.resetAndDestroy()), failed('reset')],
    ['an end in its head', socket => socket.end('HTTP/1.1 200 OK\r\nx: '), failed('reset')],
    ['an end in its body', socket => socket.end(`${head('200 OK', 'content-length: 9')}x`), answered(200)],
    ['chunks that are none', says(head('200 OK', 'transfer-encoding: chunked'), 'ZZ\r\nx'), answered(200)],
    ['a reset', socket => socket.resetAndDestroy(), failed('reset')],
    ['a reset before anything is sent', () => {}, failed('reset'), socket => socket.resetAndDestroy()],
    ['the end of its half alone', socket => socket.end(), failed('reset')],
    ['a large head', says(head('200 OK', `x: ${'x'.repeat(MIB)}`)), failed('invalid_answer')],
    ['a head without end', endlessly('HTTP/1.1 200 OK\r\n', `x: ${'x'.repeat(1_000)}\r\n`), failed('invalid_answer')],
    ['HTTP/0.9', socket => socket.end('<html>hello</html>'), failed('invalid_answer')],
    ['bytes', says(Buffer.alloc(4_096, 0xff)), failed('invalid_answer')],
    ['TLS', says(Buffer.from('15030300020228', 'hex')), failed('invalid_answer')],
    [
      'lengths that contradict each other',
      says(head('200 OK', 'content-length: 1', 'content-length: 2'), 'ab'),
      failed('invalid_answer'),
    ],
    [
      'a length and chunks',
      says(head('200 OK', 'content-length: 5', 'transfer-encoding: chunked'), '0\r\n\r\n'),
      failed('invalid_answer'),
    ],
    ['the greeting of a mail server', () => {}, failed('invalid_answer'), says('220 mail.example ESMTP\r\n')],
  ];
  for (const [what, answers, expected, greets = () => {}] of cases) {
    await t.test(what, async t => {
      const receiver = Object.assign(await startReceiver(t), { answers, greets });
      const id = await it.register(receiver.url);
      await it.happens();
      const first = await it.log(id);
      t.match(first, expected);
      t.ok(first.duration_ms < 10_000);
      for (const { bytesWritten } of receiver.sockets) t.ok(bytesWritten < 16 * MIB, 'no more is read than the socket holds');

      Object.assign(receiver, { answers: GOOD, greets: () => {} });
      if (first.state === 'delivered') await it.happens();
      else await it.again();
      t.match(await it.log(id), { state: 'delivered', status: 204, error: null }, 'and the next arrives');
      await it.remove(id);
    });
  }
  t.equal(elsewhere.sockets.length, 0, 'no redirect was followed');
  t.ok(process.memoryUsage().rss - rss < 256 * MIB, 'with as little memory as before');
});

test('where no receiver is', async t => {
  const it = await start(t);
  await t.test('a closed port', async t => {
    const gone = await listen(t, createServer());
    const { port } = gone;
    const closed = createServer();
    closed.listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const free = (closed.address() as AddressInfo).port;
    closed.close();
    await once(closed, 'close');
    t.not(free, port);
    const id = await it.register(`http://127.0.0.1:${free}/hook`);
    await it.happens();
    t.match(await it.log(id), failed('connect_failed'));
    await startReceiver(t, free);
    await it.again();
    t.match(await it.log(id), { state: 'delivered', attempt: 2, status: 204 });
    await it.remove(id);
  });

  await t.test('a name without an address', async t => {
    const id = await it.register('https://nowhere.example.org/hook');
    await it.happens();
    t.match(await it.log(id), failed('dns_failed'));
    const { url } = await startReceiver(t);
    t.match(await it.health.patch(`${PATH}/${id}`, { url }, { 'if-match': '"1"' }), { status: 200 });
    await it.again();
    t.match(await it.log(id), { state: 'delivered', attempt: 2, status: 204 });
    await it.remove(id);
  });
});

test('connections that are kept', async t => {
  const it = await start(t);
  await t.test('one that the receiver closes between requests costs nothing', async t => {
    const receiver = await startReceiver(t);
    const id = await it.register(receiver.url);
    for (const n of [1, 2, 3]) {
      await it.happens();
      t.match(await it.log(id), { state: 'delivered', attempt: 1, status: 204 });
      const last = receiver.sockets.at(-1)!;
      const gone = once(last, 'close');
      last.end();
      await gone;
      t.equal(receiver.sockets.length, n);
    }
    await it.remove(id);
  });

  await t.test('one that ends when it is used again fails that attempt alone', async t => {
    const receiver = await startReceiver(t);
    const id = await it.register(receiver.url);
    await it.happens();
    receiver.answers = socket => {
      receiver.answers = GOOD;
      socket.resetAndDestroy();
    };
    await it.happens();
    t.match(await it.log(id), failed('reset'));
    await it.again();
    t.match(await it.log(id), { state: 'delivered', attempt: 2, status: 204 });
    t.equal(receiver.requests, 3);
    await it.remove(id);
  });

  await t.test("a second answer to one request is nobody's", async t => {
    const receiver = await startReceiver(t);
    const id = await it.register(receiver.url);
    receiver.answers = says(head('204 No Content') + head('204 No Content'));
    await it.happens();
    receiver.answers = empty('500 No');
    await it.happens();
    t.match(await it.log(id), answered(500));
    receiver.answers = GOOD;
    await it.again();
    t.match(await it.log(id), { state: 'delivered', attempt: 2, status: 204 });
    await it.remove(id);
  });

  await t.test("an answer that comes too late is nobody's", async t => {
    const receiver = await startReceiver(t);
    const id = await it.register(receiver.url);
    const late = Promise.withResolvers<Socket>();
    receiver.answers = socket => late.resolve(socket);
    await it.happens();
    t.match(await it.log(id), failed('timeout'));
    const socket = await late.promise;
    if (!socket.destroyed) GOOD(socket);
    receiver.answers = empty('500 No');
    await it.again();
    t.match(await it.log(id), { state: 'parked', attempt: 2, status: 500 });
    await it.remove(id);
  });
});
