import t from 'tap';
import { readConfig } from '../../src/platform/config.ts';
import { createLogger } from '../../src/platform/log.ts';

t.test('PUBLIC_URL is an origin', async t => {
  const read = (PUBLIC_URL: string, env: NodeJS.ProcessEnv = {}) => readConfig({ PUBLIC_URL, ...env }).public_url;
  t.equal(read(''), null);
  t.equal(read('https://aman.example/'), 'https://aman.example');
  t.equal(read('http://aman.example:8080'), 'http://aman.example:8080');
  for (const wrong of [
    'aman.example',
    '/',
    'ftp://aman.example',
    'https://aman.example/api',
    'https://aman.example/?x',
    'https://aman.example/#x',
    'https://me@aman.example',
  ]) {
    t.throws(() => read(wrong), { name: 'ConfigError', message: /^PUBLIC_URL must be/ }, wrong);
  }
  const production = { NODE_ENV: 'production', DATABASE_URL: 'postgres://db/aman', KEYRING_PATH: '/keys/keyring.json' };
  t.equal(read('https://aman.example', production), 'https://aman.example');
  t.throws(() => read('http://aman.example', production), { message: /^PUBLIC_URL must be https:/ });
});

t.test('REDIS_URL names a server, or the sentinels that know where it is', async t => {
  const read = (REDIS_URL: string) => readConfig({ REDIS_URL }).redis;
  const plain = { master: null, tls: false, database: 0, username: undefined, password: undefined, sentinel_password: undefined };
  t.equal(read(''), null);
  t.strictSame(read('redis://redis'), { ...plain, hosts: [{ host: 'redis', port: 6379 }] });
  t.strictSame(read('rediss://me:p%40ss@[::1]:7000/3'), {
    ...plain,
    hosts: [{ host: '::1', port: 7000 }],
    tls: true,
    database: 3,
    username: 'me',
    password: 'p@ss',
  });
  t.strictSame(read('redis://:secret@10.0.0.1/'), { ...plain, hosts: [{ host: '10.0.0.1', port: 6379 }], password: 'secret' });
  const hosts = [
    { host: 'a.example', port: 26379 },
    { host: '::2', port: 1 },
  ];
  t.strictSame(read('redis+sentinel://a.example,[::2]:1/queue'), { ...plain, hosts, master: 'queue' });
  t.strictSame(read('rediss+sentinel://me:secret@a.example,[::2]:1/queue/2?sentinel_password=a%2Fb'), {
    hosts,
    master: 'queue',
    tls: true,
    database: 2,
    username: 'me',
    password: 'secret',
    sentinel_password: 'a/b',
  });

  for (const [wrong, message] of [
    ['localhost:6379', /must be redis:\/\/user/],
    ['http://localhost', /must be redis:\/\/user/],
    ['redis://', /must be redis:\/\/user/],
    ['redis://SECRET@redis', /must be redis:\/\/user/],
    ['redis://me:SEC@RET@redis', /must be redis:\/\/user/],
    ['redis://me:SECRET%@redis', /a % that encodes nothing/],
    ['redis://me:SECRET@a,b', /several hosts/],
    ['redis://me:SECRET@a b', /a host that is none/],
    ['redis://me:SECRET@[fe80]', /a host that is none/],
    ['redis://me:SECRET@:6379', /a host that is none/],
    ['redis+sentinel://me:SECRET@a,,b/queue', /a host that is none/],
    ['redis://me:SECRET@a:0', /a port that is none/],
    ['redis://me:SECRET@a:70000', /a port that is none/],
    ['redis://me:SECRET@a/queue', /the number of a database/],
    ['redis+sentinel://me:SECRET@a', /must name the master/],
    ['redis+sentinel://me:SECRET@a/queue/x', /the number of a database/],
    ['redis+sentinel://me:SECRET@a/queue/0/0', /the number of a database/],
    ['redis://me:SECRET@a?tls=SECRET', /a parameter that it may not have/],
    ['redis://a?sentinel_password=SECRET', /a parameter that it may not have/],
  ] as const) {
    t.throws(() => read(wrong), { name: 'ConfigError', message }, wrong);
    t.throws(() => read(wrong), { message: /^REDIS_URL (?!.*(SEC|RET))/ }, 'without quoting it');
  }
});

t.test('figures are told nowhere unless it is asked for, and then on loopback', async t => {
  const { metrics_port, metrics_host } = readConfig({ HOST: '0.0.0.0' });
  t.strictSame([metrics_port, metrics_host], [null, '127.0.0.1']);
  t.strictSame(readConfig({ METRICS_PORT: '9464', METRICS_HOST: '::1' }).metrics_host, '::1');
  t.equal(readConfig({ METRICS_PORT: '0' }).metrics_port, 0);
  t.throws(() => readConfig({ METRICS_PORT: '65536' }), { message: /^METRICS_PORT must be/ });
});

t.test('of an error in the log there is where it was thrown, and no line of what it says', async t => {
  const lines: string[] = [];
  const log = createLogger('info', { write: line => void lines.push(line) });
  const error = Object.assign(new Error('invalid input: "CANARY-1\nCANARY-2\n  CANARY-3"'), { severity: 'ERROR', code: '22P02' });
  log.error({ err: error }, 'failed');
  t.notMatch(lines[0], 'CANARY');
  t.match(JSON.parse(lines[0]!).err, { code: '22P02', stack: /^ {4}at .+settings\.test\.ts/ });
});
