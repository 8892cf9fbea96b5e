import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  hash,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { ConfigError } from './config.ts';
import { writeUnlessThere } from './new-file.ts';

/**
 * Personal data at rest. Each case has a random data key, kept only wrapped under a key-encryption key of the keyring; each
 * category is sealed under a key of its own (HKDF-SHA256 of the data key), with AES-256-GCM, and bound to the place where it
 * lies (table, row, category, version), so that no ciphertext can be moved. Destroying the wrapped key forgets the person.
 *
 * Sealed bytes: 0x01 ‖ nonce (12) ‖ ciphertext ‖ tag (16).
 */
export interface Vault {
  /** Tells which keyring this is, without telling any key. */
  readonly fingerprint: string;
  /** Ed25519, signs access tokens; its public half is served as JWK set under `token_key_id`. */
  readonly token_key: KeyObject;
  readonly token_key_id: string;
  newDataKey(owner: string): WrappedKey & { key: Buffer };
  unwrap(owner: string, wrapped: WrappedKey): Buffer;
  /** A secret of the deployment itself (webhook secrets, subject-less trail records), bound to `place`. */
  sealOwn(place: Place, text: string): Buffer;
  openOwn(place: Place, sealed: Uint8Array): string;
  /** The keyed blind index under which a trail record of `subject_id` is found. */
  subjectIndex(subject_id: string): Buffer;
  /** A keyed hash by which a person is known again without keeping who it is. */
  personIndex(composite: string): Buffer;
  /** A keyed hash by which a request is known again without keeping what it said. */
  requestFingerprint(content: string): Buffer;
}

export interface WrappedKey {
  kek_id: string;
  wrapped: Buffer;
}

/** Where a sealed value lies; the associated data of its ciphertext. */
export interface Place {
  table: string;
  row: string;
  category: string;
  version: number;
}

interface Keyring {
  current: string;
  keys: Record<string, string>;
  index_key: string;
  token_key: string;
}

/**
 * Opens the keyring file, making a new one where `create` allows it.
 * @throws ConfigError where it is missing, unreadable or malformed, or cannot be made
 */
export function openVault(path: string, { create }: { create: boolean }): Vault {
  if (!existsSync(path)) {
    if (!create) throw new ConfigError(`the keyring ${path} does not exist: make one with "node src/main.ts create-keyring"`);
    writeKeyring(path);
  }
  const ring = readKeyring(path);
  const keks = new Map(Object.entries(ring.keys).map(([id, key]) => [id, Buffer.from(key, 'base64')]));
  const own = keks.get(ring.current)!;
  const index_key = Buffer.from(ring.index_key, 'base64');
  const token_key = createPrivateKey({ key: Buffer.from(ring.token_key, 'base64'), format: 'der', type: 'pkcs8' });
  const token_public = createPublicKey(token_key).export({ format: 'der', type: 'spki' });
  const wrapPlace = (owner: string): Place => ({ table: 'case_keys', row: owner, category: 'data_key', version: 1 });

  /** Derived once: the ring is in memory all the same. */
  const own_keys = new Map<Buffer, Map<string, Buffer>>([...keks.values()].map(kek => [kek, new Map()]));
  const ownKey = ({ table }: Place, kek: Buffer): Buffer => {
    const of_tables = own_keys.get(kek)!;
    const key = of_tables.get(table) ?? categoryKey(kek, `own/${table}`);
    of_tables.set(table, key);
    return key;
  };
  return {
    // Of the one key that never changes: a ring that has gained a key-encryption key is still the same ring.
    fingerprint: hash('sha256', `keyring/v1\n${hash('sha256', index_key)}`, 'hex').slice(0, 32),
    token_key,
    token_key_id: hash('sha256', token_public, 'base64url').slice(0, 16),
    newDataKey(owner) {
      const key = randomBytes(32);
      return { key, kek_id: ring.current, wrapped: encrypt(own, wrapPlace(owner), key) };
    },
    unwrap(owner, { kek_id, wrapped }) {
      const kek = keks.get(kek_id);
      if (!kek) throw new ConfigError(`the keyring has no key ${kek_id}`);
      return decrypt(kek, wrapPlace(owner), wrapped);
    },
    sealOwn: (place, text) => encrypt(ownKey(place, own), place, Buffer.from(text)),
    openOwn(place, sealed) {
      for (const kek of keks.values()) {
        try {
          return decrypt(ownKey(place, kek), place, sealed).toString();
        } catch {
          // An older key of the ring may have sealed it.
        }
      }
      throw new Error('sealed value does not open');
    },
    subjectIndex: subject_id => createHmac('sha256', index_key).update(subject_id).digest(),
    personIndex: composite => createHmac('sha256', index_key).update('person\n').update(composite).digest(),
    requestFingerprint: content => createHmac('sha256', index_key).update('request\n').update(content).digest(),
  };
}

/** Seals `value` (as JSON) under the category's own key of a case's data key. */
export const seal = (data_key: Buffer, place: Place, value: unknown): Buffer => sealText(data_key, place, JSON.stringify(value));

/** @throws Error when the bytes were altered, moved to another place, or sealed under another key */
export const open = <T>(data_key: Buffer, place: Place, sealed: Uint8Array): T =>
  JSON.parse(openText(data_key, place, sealed)) as T;

/** Like {@link seal} for text whose exact bytes matter. */
export const sealText = (data_key: Buffer, place: Place, text: string): Buffer =>
  encrypt(categoryKey(data_key, place.category), place, Buffer.from(text));

export const openText = (data_key: Buffer, place: Place, sealed: Uint8Array): string =>
  decrypt(categoryKey(data_key, place.category), place, sealed).toString();

const categoryKey = (data_key: Buffer, category: string): Buffer =>
  Buffer.from(hkdfSync('sha256', data_key, '', `aman/category/v1/${category}`, 32));

const associated = ({ table, row, category, version }: Place): Buffer =>
  Buffer.from(JSON.stringify([table, row, category, version]));

function encrypt(key: Buffer, place: Place, plain: Buffer): Buffer {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(associated(place));
  return Buffer.concat([Buffer.of(1), nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

function decrypt(key: Buffer, place: Place, sealed: Uint8Array): Buffer {
  const bytes = Buffer.from(sealed);
  if (bytes[0] !== 1 || bytes.length < 29) throw new Error('unknown sealed format');
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(1, 13)).setAAD(associated(place));
  decipher.setAuthTag(bytes.subarray(-16));
  return Buffer.concat([decipher.update(bytes.subarray(13, -16)), decipher.final()]);
}

// RFC 8410: the fixed prefix of a PKCS #8 Ed25519 private key, before its 32-byte seed.
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** Makes a keyring unless there is one: of processes that start together, all read what the first one wrote. */
function writeKeyring(path: string): void {
  const id = `kek-${randomBytes(4).toString('hex')}`;
  const ring: Keyring = {
    current: id,
    keys: { [id]: randomBytes(32).toString('base64') },
    index_key: randomBytes(32).toString('base64'),
    token_key: Buffer.concat([PKCS8_ED25519, randomBytes(32)]).toString('base64'),
  };
  try {
    writeUnlessThere(path, `${JSON.stringify(ring, null, 2)}\n`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(`cannot write the keyring ${path} (${code}): set DATA_DIR or KEYRING_PATH`);
  }
}

function readKeyring(path: string): Keyring {
  try {
    const ring = JSON.parse(readFileSync(path, 'utf8')) as Keyring;
    const keys = Object.values(ring.keys);
    const whole = ring.keys[ring.current] && [...keys, ring.index_key].every(key => Buffer.from(key, 'base64').length === 32);
    if (!whole || typeof ring.token_key !== 'string') throw new Error('incomplete');
    return ring;
  } catch (error) {
    // The parser's own message quotes what it could not parse.
    const why = error instanceof SyntaxError ? 'not JSON' : (error as Error).message.split('\n')[0];
    throw new ConfigError(`the keyring ${path} cannot be read: ${why}`);
  }
}
