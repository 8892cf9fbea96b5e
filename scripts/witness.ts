/**
 * `npm run audit:witness` runs a witness of the trail, for somebody outside the operator (src/audit/witness.ts). It needs this
 * checkout and two files of its own, and neither database nor settings.
 *
 *   --init            makes the key and the state, prints the verifier key that the log's operator and the auditors need, and ends
 *   --key-path FILE   Ed25519, PKCS #8 in PEM
 *   --state FILE      what it cosigned last; whoever loses it begins again with a new key
 *   --log KEY         verifier key of a log, named as its origin; one or more
 *   --name NAME       with --init: what the key is called, by default as this host; later it must be the same
 *   --host --port     where it listens, by default 127.0.0.1 and 7480; TLS is a reverse proxy's
 */
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { initWitness, readWitnessKey, startWitness } from '../src/audit/witness.ts';
import { NoteError, parseVerifierKey } from '../src/core/signed-note.ts';
import { ConfigError } from '../src/platform/config.ts';

const USAGE =
  'usage: npm run audit:witness -- --key-path FILE --state FILE [--name NAME] (--init | --log VERIFIER_KEY … [--host HOST] [--port PORT])';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      init: { type: 'boolean', default: false },
      'key-path': { type: 'string' },
      state: { type: 'string' },
      log: { type: 'string', multiple: true, default: [] },
      name: { type: 'string' },
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '7480' },
    },
  });
  const { init, 'key-path': key_path, state: state_path, name, host } = values;
  if (!key_path || !state_path || host === '') throw new ConfigError(USAGE);
  const log_keys = values.log.map(toLogKey);
  const port = toPort(values.port);
  if (init) return console.log(initWitness({ key_path, state_path, name: name ?? hostname() }));
  if (log_keys.length === 0) throw new ConfigError(USAGE);

  const witness = await startWitness({
    name,
    key: readWitnessKey(key_path),
    state_path,
    log_keys,
    host,
    port,
    now: () => new Date(),
    log: line => console.error(JSON.stringify({ time: new Date().toISOString(), ...line })),
  });
  // A terminal's Ctrl-C arrives twice under npm.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => witness.close());
  console.log(`witness at ${witness.url} with the key ${witness.verifier_key}`);
}

function toLogKey(text: string) {
  try {
    return parseVerifierKey(text);
  } catch (error) {
    throw error instanceof NoteError ? new ConfigError(`--log ${text}: ${error.message}`) : error;
  }
}

function toPort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(port <= 65_535)) throw new ConfigError('--port must be a whole number from 0 to 65535');
  return port;
}

// Whoever read the output may be gone: no reason to stop witnessing.
for (const output of [process.stdout, process.stderr]) output.on('error', () => {});

try {
  await main();
} catch (error) {
  const { code = '', message } = error as NodeJS.ErrnoException;
  const expected = error instanceof ConfigError || error instanceof NoteError || code.startsWith('ERR_PARSE_ARGS');
  if (!expected) throw error;
  console.error(`audit:witness: ${message.split('\n')[0]}`);
  process.exitCode = 1;
}
