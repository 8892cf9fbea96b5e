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
