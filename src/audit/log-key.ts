import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { formatVerifierKey, rawPublicKey, TYPE_ED25519 } from '../core/signed-note.ts';
import { ConfigError } from '../platform/config.ts';
import { writeUnlessThere } from '../platform/new-file.ts';

/** The key that signs checkpoints. It lies in a file of its own, which the sequencer alone needs to read. */
export interface LogKey {
  /** The log's origin, which is its key's name too. */
  name: string;
  key: KeyObject;
  /** `name+key id+base64`: what auditors and witnesses pin. */
  verifier_key: string;
}

/**
 * Opens the PKCS #8 file, making a new one where `create` allows it.
 * @throws ConfigError where it is missing, unreadable or of another kind, or cannot be made
 */
export function openLogKey(path: string, name: string, { create }: { create: boolean }): LogKey {
  if (!existsSync(path)) {
    if (!create) throw new ConfigError(`the log's key ${path} does not exist: make one with "node src/main.ts create-log-key"`);
    writeLogKey(path);
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(readFileSync(path));
  } catch (error) {
    throw new ConfigError(`the log's key ${path} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'not a PEM key'}`);
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new ConfigError(`the log's key ${path} is not an Ed25519 key`);
  return { name, key, verifier_key: formatVerifierKey({ name, type: TYPE_ED25519, public_key: rawPublicKey(key) }) };
}

/**
 * Writes a new key, for its owner alone to read; where there is one already it stays.
 * @throws ConfigError where the folder cannot be written
 */
export function writeLogKey(path: string): void {
  const { privateKey } = generateKeyPairSync('ed25519');
  try {
    writeUnlessThere(path, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  } catch (error) {
    throw new ConfigError(`the log's key ${path} cannot be written (${(error as NodeJS.ErrnoException).code})`);
  }
}
