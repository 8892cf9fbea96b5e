import { argon2, createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import type { Now } from '../platform/clock.ts';

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

/**
 * Two bytes by which all guesses but one in 65,536 are told at once, so that hardly anything is hashed that is not right. Of 256
 * random bits, as many stay unknown as anybody could wish.
 */
export const tagOf = (secret: string): Buffer => hash('sha256', `client secret\n${secret}`, 'buffer').subarray(0, 2);

/** What is kept of a secret. */
export const keptOf = async (secret: string): Promise<{ hash: string; tag: Buffer }> => ({
  hash: await hashSecret(secret),
  tag: tagOf(secret),
});

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

/** As many as a client can have: the one in use, and the one before it. */
const MOST_HASHES = 2;
/** Longer than a token lasts, so that who renews it in time is remembered. */
const REMEMBERED_MS = 10 * 60_000;
const MOST_REMEMBERED = 10_000;

/** What a client authenticates with by `client_secret_basic` or `client_secret_post`. */
export interface Secret {
  client_id: string;
  secret: string;
}

export interface SecretVerifier {
  /** The hash that this secret of this client matched some minutes ago; whether it is one of the client's now is to be looked at. */
  remembered(login: Secret): string | undefined;
  /** Whether the secret is one of those hashed: costs time and memory. */
  verify(login: Secret, hashes: readonly string[]): Promise<boolean>;
}

/** Verifies secrets, and remembers for some minutes which one matched which hash, under a key of this process's own. */
export function createSecretVerifier(now: Now): SecretVerifier {
  const key = randomBytes(32);
  const matched = new Map<string, { hash: string; until: number }>();
  const nameOf = ({ client_id, secret }: Secret) => createHmac('sha256', key).update(`${client_id}\0${secret}`).digest('base64');

  function remember(name: string, hash: string): void {
    // Inserted anew, so that the map's order is by last use.
    matched.delete(name);
    if (matched.size >= MOST_REMEMBERED) matched.delete(matched.keys().next().value!);
    matched.set(name, { hash, until: now().getTime() + REMEMBERED_MS });
  }

  return {
    remembered(login) {
      const name = nameOf(login);
      const known = matched.get(name);
      if (!known || known.until <= now().getTime()) return undefined;
      remember(name, known.hash);
      return known.hash;
    },
    async verify(login, hashes) {
      const hash = await findMatching(login.secret, hashes);
      const name = nameOf(login);
      if (hash === undefined) matched.delete(name);
      else remember(name, hash);
      return hash !== undefined;
    },
  };
}

/** The hash that `secret` matches. A wrong one takes as long whoever's it is, so that timing tells nothing of who exists. */
async function findMatching(secret: string, hashes: readonly string[]): Promise<string | undefined> {
  for (let i = 0; i < Math.max(MOST_HASHES, hashes.length); i += 1) {
    const is_match = await matches(secret, hashes[i] ?? NOBODYS);
    if (is_match && hashes[i] !== undefined) return hashes[i];
  }
  return undefined;
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
