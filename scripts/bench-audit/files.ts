import { spawn } from 'node:child_process';
import { createHmac, hash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { type Service, startService } from '../bench/service.ts';
import type { World } from '../bench/world.ts';

/** The log as a file: how fast it is had over HTTP, and how fast it is checked without us. */

export interface ExportResult {
  entries: number;
  bytes: number;
  per_second: number;
  /** Of the serving process, in MiB: before, and the most that it ever was. */
  resident_before_mib: number;
  resident_mib: number;
}

export async function measureExport(
  { database_url, dir }: { database_url: string; dir: string },
  world: World,
  file: string,
): Promise<ExportResult> {
  const service = await startService({ database_url, dir, roles: 'api' });
  try {
    await world.refresh();
    await get(service, world, '/v1/audit/export?from=0&to=1000').then(answer => answer.text());
    const resident_before_mib = service.memory().now;
    let highest = resident_before_mib;
    const looking = setInterval(() => {
      highest = Math.max(highest, service.memory().now);
    }, 20);
    const started_at = performance.now();
    let bytes = 0;
    let lines = 0;
    const answer = await get(service, world, '/v1/audit/export');
    await pipeline(
      Readable.fromWeb(answer.body!),
      async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const chunk of chunks) {
          bytes += chunk.length;
          for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines++;
          yield chunk;
        }
      },
      createWriteStream(file),
    ).finally(() => clearInterval(looking));
    const seconds = (performance.now() - started_at) / 1_000;
    const entries = lines - 1;
    return { entries, bytes, per_second: entries / seconds, resident_before_mib, resident_mib: highest };
  } finally {
    await service.stop();
  }
}

async function get(service: Service, world: World, path: string): Promise<Response> {
  const answer = await fetch(`${service.origin}${path}`, { headers: world.headersOf(world.audit_body) });
  if (answer.status !== 200) throw new Error(`GET ${path}: ${answer.status} ${await answer.text()}`);
  return answer;
}

export interface VerifyResult {
  entries: number;
  seconds: number;
  resident_mib: number;
  /** The hashes alone: HMAC as two one-shot hashes, and as node:crypto's own. */
  bare_seconds: number;
  bare_hmac_seconds: number;
  said: string;
}

/** @throws Error where the verifier finds anything wrong */
export async function measureVerify(file: string, verifier_key: string): Promise<VerifyResult> {
  const bare = await hashAll(file);
  const started_at = performance.now();
  const child = spawn(process.execPath, [VERIFY, file, '--key', verifier_key], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const [code] = await once(child, 'close');
  const seconds = (performance.now() - started_at) / 1_000;
  if (code !== 0) throw new Error(`audit:verify ended with ${code}:\n${said}`);
  const resident_mib = process.resourceUsage().maxRSS / 1_024;
  return { entries: bare.entries, seconds, resident_mib, bare_seconds: bare.hashes, bare_hmac_seconds: bare.hmacs, said };
}

const VERIFY = fileURLToPath(new URL('../verify.ts', import.meta.url));
const BATCH = 10_000;

interface Bytes {
  entry: Buffer;
  meta: Buffer;
  commits: Buffer;
  salt_meta: Buffer;
  salt_personal: Buffer;
}

/** Seconds that the hashes of an export take by themselves, reading and parsing left out. */
async function hashAll(file: string): Promise<{ entries: number; hashes: number; hmacs: number }> {
  let batch: Bytes[] = [];
  const totals = { entries: 0, hashes: 0, hmacs: 0 };
  const work = () => {
    totals.entries += batch.length;
    for (const [how, hmac] of [
      ['hashes', hmacOfHashes],
      ['hmacs', hmacOfNode],
    ] as const) {
      const started_at = performance.now();
      for (const { entry, meta, commits, salt_meta, salt_personal } of batch) {
        hash('sha256', entry, 'buffer');
        hmac(salt_meta, meta);
        hmac(salt_personal, commits);
        // A tree has as many nodes as leaves.
        hash('sha256', NODE, 'buffer');
      }
      totals[how] += (performance.now() - started_at) / 1_000;
    }
    batch = [];
  };
  let first = true;
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })) {
    if (first) {
      first = false;
      continue;
    }
    const { entry, meta, salt_meta, salt_personal, subjects } = JSON.parse(line);
    const bytes = (text: string) => Buffer.from(text, 'base64');
    batch.push({
      entry: Buffer.concat([Buffer.of(0), bytes(entry)]),
      meta: Buffer.from(`nrm-audit-meta/v1\n${JSON.stringify(meta)}`),
      commits: Buffer.concat([
        Buffer.from('nrm-audit-personal/v1\n'),
        ...subjects.map(({ commit }: { commit: string }) => bytes(commit)),
      ]),
      salt_meta: bytes(salt_meta),
      salt_personal: bytes(salt_personal),
    });
    if (batch.length === BATCH) work();
  }
  work();
  return totals;
}

const NODE = Buffer.alloc(65, 1);

const hmacOfNode = (salt: Buffer, message: Buffer): Buffer => createHmac('sha256', salt).update(message).digest();

/** Twice as fast, for texts as short as these. */
function hmacOfHashes(salt: Buffer, message: Buffer): Buffer {
  const inner = Buffer.allocUnsafe(64 + message.length).fill(0x36, 32, 64);
  const outer = Buffer.allocUnsafe(96).fill(0x5c, 32, 64);
  for (let i = 0; i < 32; i++) {
    inner[i] = salt[i]! ^ 0x36;
    outer[i] = salt[i]! ^ 0x5c;
  }
  inner.set(message, 64);
  outer.set(hash('sha256', inner, 'buffer'), 64);
  return hash('sha256', outer, 'buffer');
}
