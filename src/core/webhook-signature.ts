/** Signatures of webhooks: the symmetric scheme of Standard Webhooks 1.0 (`v1`, HMAC-SHA256). */

import { createHmac } from 'node:crypto';

const SECRET_PREFIX = 'whsec_';

/**
 * The value of `webhook-signature`: one `v1,<base64>` per secret, in their order, separated by spaces; during a rotation both
 * secrets sign. `timestamp` is in seconds, `body` the exact text that is sent.
 * @throws RangeError where a secret is malformed or outside 24–64 bytes, there is none, the id is empty or holds a full stop
 *   (it separates what is signed), or the timestamp is not in whole seconds
 */
export function signWebhook(message: { id: string; timestamp: number; body: string; secrets: readonly string[] }): string {
  const { id, timestamp, body, secrets } = message;
  if (id === '' || id.includes('.')) throw new RangeError('a webhook id is not empty and has no full stop');
  if (!Number.isSafeInteger(timestamp) || timestamp < 0) throw new RangeError('a webhook timestamp is in whole seconds');
  if (secrets.length === 0) throw new RangeError('a webhook is signed with at least one secret');
  const content = `${id}.${timestamp}.${body}`;
  return secrets.map(secret => `v1,${createHmac('sha256', keyOf(secret)).update(content).digest('base64')}`).join(' ');
}

/**
 * A secret as receivers get it, `whsec_<base64>`.
 * @throws RangeError outside 24–64 bytes
 */
export function secretFrom(random: Uint8Array): string {
  requireLength(random);
  return SECRET_PREFIX + Buffer.from(random).toString('base64');
}

function keyOf(secret: string): Buffer {
  const text = secret.slice(SECRET_PREFIX.length);
  const key = Buffer.from(text, 'base64');
  // Buffer skips what is not base64; a receiver's library would not, and the two keys would differ.
  if (!secret.startsWith(SECRET_PREFIX) || key.toString('base64') !== text)
    throw new RangeError('a webhook secret is whsec_<base64>');
  requireLength(key);
  return key;
}

function requireLength(key: Uint8Array): void {
  if (key.length < 24 || key.length > 64) throw new RangeError('a webhook secret has 24 to 64 bytes');
}
