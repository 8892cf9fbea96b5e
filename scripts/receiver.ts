/**
 * `npm run receiver -- --secret whsec_…` is the other side of a webhook endpoint, to see what arrives there: prints a line for
 * each request, answers 204, and 401 where no signature is by a key that it was given. Keeps nothing.
 *
 *   --secret SECRET       verifies `v1`; or WEBHOOK_SECRET, which nobody sees in the list of processes
 *   --public-key KEY      verifies `v1a`; either may be given more than once, as during a rotation
 *   --host --port         where it listens, by default 127.0.0.1 and 4000
 *
 * An endpoint that asks for some types of events does not get every position: then a gap says nothing.
 */
import { createHmac, createPublicKey, createSecretKey, type KeyObject, timingSafeEqual, verify } from 'node:crypto';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { secretBytes } from '../src/core/webhook-signature.ts';

const USAGE =
  'usage: npm run receiver -- (--secret whsec_… | --public-key whpk_…) … [--host HOST] [--port PORT]; the secret also as WEBHOOK_SECRET';
const TOLERANCE_SECONDS = 300;
const LARGEST_BODY = 1_048_576;

interface Event {
  type: string;
  data: { event_id: string; urgency?: string; position: number; sequence?: number };
}

function main(): void {
  const { values } = parseArgs({
    options: {
      secret: { type: 'string', multiple: true, default: [] },
      'public-key': { type: 'string', multiple: true, default: [] },
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '4000' },
    },
  });
  const { WEBHOOK_SECRET } = process.env;
  const secrets = values.secret.length === 0 && WEBHOOK_SECRET ? [WEBHOOK_SECRET] : values.secret;
  const keys = [...secrets.map(it => createSecretKey(secretBytes(it))), ...values['public-key'].map(toPublicKey)];
  if (keys.length === 0) throw new RangeError(USAGE);

  const numbers = new Positions();
  const server = createServer(async (request, response) => {
    const body = await readBody(request).catch(() => undefined);
    if (body === undefined) return response.writeHead(413, { connection: 'close' }).end();
    const refusal = refusalOf(request.headers, body, keys);
    if (refusal) {
      console.log(`refused   ${refusal}`);
      return response.writeHead(401).end();
    }
    response.writeHead(204).end();
    const event = toEvent(body);
    if (!event) return console.log('verified  but it is no event');
    const { type, data } = event;
    const sequence = data.sequence === undefined ? [] : [`sequence ${data.sequence}`];
    const told = [type, ...(data.urgency ? [data.urgency] : []), `position ${data.position}`, ...sequence, ...numbers.note(data)];
    console.log(`verified  ${told.join('  ')}`);
  });
  server.on('error', stop);
  server.listen(Number(values.port), values.host, () => {
    const { address, port } = server.address() as AddressInfo;
    console.log(`receiver at http://${address.includes(':') ? `[${address}]` : address}:${port}/`);
  });
}

/** Whoever has the secret can sign anything, to try it. */
function toEvent(body: Buffer): Event | undefined {
  try {
    const event = JSON.parse(body.toString());
    if (typeof event?.type === 'string' && Number.isSafeInteger(event.data?.position)) return event;
  } catch {}
}

async function readBody(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const read: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > LARGEST_BODY) throw new RangeError('too large');
    read.push(chunk);
  }
  return Buffer.concat(read);
}

/** Why a request is not to be believed; undefined where one of its signatures is by one of the keys. */
function refusalOf(headers: IncomingHttpHeaders, body: Buffer, keys: readonly KeyObject[]): string | undefined {
  const [id, timestamp, signatures] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map(name => headers[name]);
  if (!id || !timestamp || !signatures) return 'it is no webhook: a header is missing';
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const is_signed = String(signatures)
    .split(' ')
    .some(signature => keys.some(key => isBy(key, signature, content)));
  if (!is_signed) return 'no signature is by the keys given, for this body';
  const seconds = Math.round(Date.now() / 1_000 - Number(timestamp));
  // Not a number is as far off as can be.
  if (!(Math.abs(seconds) <= TOLERANCE_SECONDS)) return `its timestamp is ${seconds} s off`;
}

function isBy(key: KeyObject, text: string, content: Buffer): boolean {
  const [version, base64 = ''] = text.split(',');
  const signature = Buffer.from(base64, 'base64');
  if (key.type === 'public') return version === 'v1a' && verify(null, content, key, signature);
  const expected = createHmac('sha256', key).update(content).digest();
  return version === 'v1' && signature.length === expected.length && timingSafeEqual(signature, expected);
}

/** What of the numbering is worth a remark: an event that came before, and positions that did not come. */
class Positions {
  readonly #seen = new Set<string>();
  readonly #missing = new Set<number>();
  #last: number | undefined;

  note({ event_id, position }: Event['data']): string[] {
    if (this.#seen.has(event_id)) return ['again'];
    this.#seen.add(event_id);
    if (this.#missing.delete(position)) return ['was missing'];
    const last = this.#last;
    this.#last = Math.max(position, last ?? position);
    if (last === undefined || position <= last + 1) return [];
    for (let it = last + 1; it < position; it += 1) this.#missing.add(it);
    return [`missing: ${position === last + 2 ? last + 1 : `${last + 1} to ${position - 1}`}`];
  }
}

/** @throws RangeError where it is not `whpk_<base64 of 32 bytes>` */
function toPublicKey(text: string): KeyObject {
  const bytes = Buffer.from(text.slice('whpk_'.length), 'base64');
  if (text !== `whpk_${bytes.toString('base64')}` || bytes.length !== 32)
    throw new RangeError('a public key is whpk_<base64 of 32 bytes>');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: bytes.toString('base64url') }, format: 'jwk' });
}

function stop(error: Error): void {
  console.error(error.message);
  process.exitCode = 1;
}

try {
  main();
} catch (error) {
  stop(error as Error);
}
