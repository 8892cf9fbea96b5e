/**
 * `npm run audit:verify -- <export file or base URL> --key <verifier key>` checks the log without trusting whoever keeps it, and
 * prints what it checked. Exit code 0: nothing is wrong. 1: something is, in one line. 2: nothing can be said, in one line why.
 */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { type CheckedExport, verifyExport } from '../src/audit/verify.ts';
import { type Checked, Lie, Unreadable } from '../src/audit/verify-log.ts';
import { type CheckedServed, type Get, verifyServed } from '../src/audit/verify-served.ts';
import { type Checkpoint, openCheckpoint } from '../src/core/checkpoint.ts';
import { parseVerifierKey, TYPE_COSIGNATURE, TYPE_ED25519, type VerifierKey } from '../src/core/signed-note.ts';

const USAGE =
  'usage: npm run audit:verify -- <export file or base URL> --key <verifier key> [--witness <verifier key>]… [--quorum N] [--receipts file] [--since checkpoint-file] [--part]';
const TIMEOUT_MS = 60_000;
const TRIES = 5;
const LONGEST_WAIT_S = 60;

// A reader that goes away (`| head`) has not seen that all is well.
process.stdout.on('error', () => process.exit(2));

const say = (line: string) => console.log(visible(line));

try {
  await run();
} catch (error) {
  console.error(visible(error instanceof Error ? error.message : String(error)));
  process.exitCode = error instanceof Lie ? 1 : 2;
}

async function run(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      key: { type: 'string' },
      witness: { type: 'string', multiple: true, default: [] },
      quorum: { type: 'string' },
      receipts: { type: 'string' },
      since: { type: 'string' },
      part: { type: 'boolean', default: false },
    },
  });
  const [source, ...more] = positionals;
  if (!source || more.length > 0 || values.key === undefined) throw new Unreadable(USAGE);
  const log_key = verifierKey(values.key, TYPE_ED25519, '--key');
  const witnesses = values.witness.map(it => verifierKey(it, TYPE_COSIGNATURE, '--witness'));
  // One key under several names would be one witness that counts as several.
  if (new Set([log_key, ...witnesses].map(it => it.public_key.toString('hex'))).size <= witnesses.length)
    throw new Unreadable('--witness: the same key twice, or that of the log');
  const quorum = values.quorum === undefined ? witnesses.length : Number(values.quorum);
  if (!/^\d+$/.test(values.quorum ?? '0') || quorum > witnesses.length)
    throw new Unreadable(`--quorum: a number from 0 to that of the witnesses, ${witnesses.length}`);
  const receipts = values.receipts === undefined ? new Set<string>() : await readReceipts(values.receipts);
  const kept = values.since === undefined ? undefined : await readKept(values.since, log_key);
  const demands = { log_key, witnesses, quorum, receipts, kept, part: values.part };

  if (/^https?:\/\//i.test(source)) {
    tell(await verifyServed(serviceAt(source), demands), receipts, kept);
  } else {
    tell(await verifyExport(createReadStream(source, { highWaterMark: 2 ** 18 }), demands), receipts, kept);
  }
}

function tell(checked: CheckedExport | CheckedServed, receipts: ReadonlySet<string>, kept: Checkpoint | undefined): void {
  const { origin, size, cosignatures } = checked.checkpoint;
  const witnessed = cosignatures.map(({ name, time }) => `, cosigned by ${name} at ${instant(time)}`);
  say(`checkpoint: ${origin}, ${size} entries, signed by the log${witnessed.join('')}`);
  say(`entries: ${checked.entries}${range(checked)}, none missing between them, each with its 93 bytes`);
  if (checked.root_checked) say("root: of all entries, is the checkpoint's");
  else say('part of the log: root not checked, nothing ties these entries to the checkpoint');
  if ('tiles' in checked) {
    say(`tiles: ${checked.tiles}, each as the entries make it`);
    say('commitments: not checked, since tiles have no records: an export has them');
  } else {
    const { subjects, records, erased, keys } = checked;
    say(`commitments: of ${checked.entries} meta and ${subjects} subjects; ${records} records opened`);
    if (erased > 0)
      say(
        `erased: ${erased} subjects${checked.root_checked ? ', each listed by an erasure' : '; not checked whether an erasure lists them'}`,
      );
    for (const { index, verifier_key } of keys) say(`key: index ${index} names ${verifier_key} as the log's next`);
    say(`at: ${checked.lagging} entries lag more than 5 s behind the latest before them`);
  }
  say(`entry ids: ${checked.ids_compared === checked.entries ? 'all' : `the first ${checked.ids_compared}`} differ`);
  if (receipts.size > 0) say(`receipts: ${receipts.size}, each that of an entry`);
  if (kept) say(`since: the log begins with the ${kept.size} entries of the kept checkpoint`);
  if (!('warnings' in checked)) return;
  for (const warning of checked.warnings) say(`warning: ${warning}`);
  const untold = checked.lagging - checked.warnings.length;
  if (untold > 0) say(`warning: ${untold} more entries lag`);
}

function range({ first, entries }: Checked): string {
  return entries === 0 ? '' : `, index ${first} to ${first + entries - 1}`;
}

/** A witness may say any number of seconds, also one that no calendar has. */
function instant(seconds: number): string {
  const at = new Date(seconds * 1_000);
  return Number.isNaN(at.getTime()) ? `second ${seconds}` : at.toISOString();
}

function verifierKey(text: string, type: number, option: string): VerifierKey {
  try {
    const key = parseVerifierKey(text);
    if (key.type === type) return key;
  } catch (error) {
    throw new Unreadable(`${option}: ${(error as Error).message}`);
  }
  throw new Unreadable(`${option}: the verifier key is of another type than 0x0${type}`);
}

async function readReceipts(file: string): Promise<Set<string>> {
  const receipts = new Set<string>();
  for (const [at, line] of (await readFile(file, 'utf8')).split('\n').entries()) {
    const receipt = line.trim().toLowerCase();
    if (receipt === '' || receipt.startsWith('#')) continue;
    if (!/^[0-9a-f]{64}$/.test(receipt)) throw new Unreadable(`${file}, line ${at + 1}: not a receipt, which is 64 hex digits`);
    receipts.add(receipt);
  }
  return receipts;
}

async function readKept(file: string, log_key: VerifierKey): Promise<Checkpoint> {
  const note = await readFile(file, 'utf8');
  try {
    return openCheckpoint(note, { origin: log_key.name, log_key });
  } catch (error) {
    throw new Unreadable(`${file}: ${(error as Error).message}`);
  }
}

function serviceAt(url: string): Get {
  if (!URL.canParse(url)) throw new Unreadable('the base URL is not a URL');
  const { origin, pathname, search, hash, username, password } = new URL(url);
  if (search || hash || username || password) throw new Unreadable('the base URL has more than host and path');
  const base = `${origin}${pathname.replace(/\/+$/, '')}`;
  const headers = {
    ...header('AUDIT_TOKEN', 'Authorization', 'Bearer '),
    ...header('AUDIT_CASEWORKER', 'Acting-Caseworker', ''),
  };

  async function get(path: string, most_bytes: number, tries = TRIES): Promise<Buffer> {
    try {
      // What is redirected elsewhere does not come from whom the auditor asked.
      const response = await fetch(`${base}${path}`, { headers, redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MS) });
      const wait_s = Number(response.headers.get('retry-after') ?? Number.NaN);
      if ([429, 503].includes(response.status) && wait_s <= LONGEST_WAIT_S && tries > 1) {
        await response.body?.cancel();
        await new Promise(resolve => setTimeout(resolve, wait_s * 1_000));
        return get(path, most_bytes, tries - 1);
      }
      if (response.status !== 200) throw new Unreadable(`GET ${path}: HTTP ${response.status}`);
      const chunks: Uint8Array[] = [];
      let length = 0;
      for await (const chunk of response.body ?? []) {
        length += chunk.length;
        if (length > most_bytes) throw new Unreadable(`GET ${path}: more than ${most_bytes} bytes`);
        chunks.push(chunk);
      }
      return Buffer.concat(chunks);
    } catch (error) {
      if (error instanceof Unreadable) throw error;
      // What `fetch` says itself is that it failed.
      const cause = (error as Error).cause as NodeJS.ErrnoException | undefined;
      throw new Unreadable(`GET ${path}: ${cause?.code ?? cause?.message ?? (error as Error).message}`);
    }
  }
  return get;
}

/** Never repeats what the variable holds: a message of `fetch` would. */
function header(variable: string, name: string, prefix: string): Record<string, string> {
  const value = process.env[variable]?.trim();
  if (!value) return {};
  if (!/^[\x21-\x7e]+$/.test(value)) throw new Unreadable(`${variable}: no header can have it`);
  return { [name]: `${prefix}${value}` };
}

/** On one line, and nothing that moves the cursor: names come from whoever is checked. */
function visible(line: string): string {
  return line.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ');
}
