import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

/**
 * Client secrets: 256 random bits, kept as argon2id (RFC 9106) in PHC strings. Such a secret cannot be guessed, so the cost is
 * the smallest that OWASP recommends: 19 MiB, two passes, one lane.
 */
const MEMORY_KIB = 19_456;
const PASSES = 2;
const PARALLELISM = 1;
const HASH_BYTES = 32;
const PHC = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;

/** So that scanners of repositories and logs know one when they see it. */
const PREFIX = 'aman_secret_';

export const newSecret = (): string => PREFIX + randomBytes(32).toString('base64url');

const derive = promisify(argon2);

export async function hashSecret(secret: string): Promise<string> {
  const nonce = randomBytes(16);
  const parameters = {
    message: secret,
    nonce,
    memory: MEMORY_KIB,
    passes: PASSES,
    parallelism: PARALLELISM,
    tagLength: HASH_BYTES,
  };
  const tag = await derive('argon2id', parameters);
  return `$argon2id$v=19$m=${MEMORY_KIB},t=${PASSES},p=${PARALLELISM}$${unpadded(nonce)}$${unpadded(tag)}`;
}

/** Costs what a real one costs, and is nobody's. */
const NOBODYS = `$argon2id$v=19$m=${MEMORY_KIB},t=${PASSES},p=${PARALLELISM}$${unpadded(randomBytes(16))}$${unpadded(randomBytes(HASH_BYTES))}`;

/** Whether `secret` is one of those hashed. Without any hash it takes as long, so that timing tells nothing of who exists. */
export async function verifySecret(secret: string, hashes: readonly string[]): Promise<boolean> {
  const results = await Promise.all((hashes.length > 0 ? hashes : [NOBODYS]).map(phc => matches(secret, phc)));
  return hashes.length > 0 && results.includes(true);
}

async function matches(secret: string, phc: string): Promise<boolean> {
  const [, memory, passes, parallelism, nonce, tag] = PHC.exec(phc) ?? [];
  if (!nonce || !tag) throw new Error('not an argon2id PHC string');
  const expected = Buffer.from(tag, 'base64');
  const derived = await derive('argon2id', {
    message: secret,
    nonce: Buffer.from(nonce, 'base64'),
    memory: Number(memory),
    passes: Number(passes),
    parallelism: Number(parallelism),
    tagLength: expected.length,
  });
  return timingSafeEqual(derived, expected);
}

function unpadded(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64').replaceAll('=', '');
}
