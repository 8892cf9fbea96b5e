/** Signatures of webhooks by Standard Webhooks 1.0: symmetric (`v1`, HMAC-SHA256) and asymmetric (`v1a`, Ed25519). */

import { createHmac, type KeyObject, sign } from 'node:crypto';

const SECRET_PREFIX = 'whsec_';
const PUBLIC_PREFIX = 'whpk_';

export interface Message {
  /** `webhook-id` */
  id: string;
  /** `webhook-timestamp`, in seconds. */
  timestamp: number;
  /** The exact text that is sent. */
  body: string;
}

/**
 * The value of `webhook-signature`: one signature per key, in their order, separated by spaces; `v1,<base64>` by a secret,
 * `v1a,<base64>` by an Ed25519 private key. During a rotation old and new keys sign.
 * @throws RangeError where there is no key or one of another kind, the id is empty or holds a full stop (it separates what is
 *   signed), or the timestamp is not in whole seconds
 */
export function signWebhook({ id, timestamp, body }: Message, keys: readonly KeyObject[]): string {
  if (id === '' || id.includes('.')) throw new RangeError('a webhook id is not empty and has no full stop');
  if (!Number.isSafeInteger(timestamp) || timestamp < 0) throw new RangeError('a webhook timestamp is in whole seconds');
  if (keys.length === 0) throw new RangeError('a webhook is signed with at least one key');
  const content = Buffer.from(`${id}.${timestamp}.${body}`);
  return keys.map(key => signatureBy(key, content)).join(' ');
}

function signatureBy(key: KeyObject, content: Buffer): string {
  if (key.type === 'secret') return `v1,${createHmac('sha256', key).update(content).digest('base64')}`;
  if (key.type === 'private' && key.asymmetricKeyType === 'ed25519') return `v1a,${sign(null, content, key).toString('base64')}`;
  throw new RangeError('a webhook is signed with a secret or an Ed25519 private key');
}

/**
 * A secret as receivers get it, `whsec_<base64>`.
 * @throws RangeError outside 24–64 bytes
 */
export function secretFrom(random: Uint8Array): string {
  requireLength(random);
  return SECRET_PREFIX + Buffer.from(random).toString('base64');
}

/**
 * The bytes of a secret: what the HMAC is keyed with.
 * @throws RangeError where it is not `whsec_<base64>`, or outside 24–64 bytes
 */
export function secretBytes(secret: string): Buffer {
  const text = secret.slice(SECRET_PREFIX.length);
  const bytes = Buffer.from(text, 'base64');
  // Buffer skips what is not base64; a receiver's library would not, and the two keys would differ.
  if (!secret.startsWith(SECRET_PREFIX) || bytes.toString('base64') !== text)
    throw new RangeError('a webhook secret is whsec_<base64>');
  requireLength(bytes);
  return bytes;
}

function requireLength(key: Uint8Array): void {
  if (key.length < 24 || key.length > 64) throw new RangeError('a webhook secret has 24 to 64 bytes');
}

/**
 * A public key as receivers get it, `whpk_<base64 of 32 bytes>`.
 * @throws RangeError where it is no Ed25519 public key
 */
export function publicKeyText(key: KeyObject): string {
  if (key.type !== 'public' || key.asymmetricKeyType !== 'ed25519')
    throw new RangeError('webhooks are verified with an Ed25519 public key');
  return PUBLIC_PREFIX + Buffer.from(key.export({ format: 'jwk' }).x!, 'base64url').toString('base64');
}
