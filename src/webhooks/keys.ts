import { createPrivateKey, createSecretKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import type { Insertable } from 'kysely';
import { type Message, publicKeyText, secretBytes, secretFrom, signWebhook } from '../core/webhook-signature.ts';
import type { WebhookEndpointTable } from '../platform/tables.ts';
import type { TlsSettings } from '../platform/tls-settings.ts';
import type { Place, Vault } from '../platform/vault.ts';

/**
 * The keys of an endpoint: a secret, which every endpoint has and which signs where `signature` names `v1`, and an Ed25519 key
 * pair where it names `v1a`. They are made here, lie sealed in the endpoint's row, and are opened to sign with and for nothing
 * else. A key and the one that it replaced lie at the same place, so that a rotation moves the sealed bytes.
 */

const SECRET_BYTES = 32;

const placeOf = (endpoint_id: string, category: 'secret' | 'private_key' | 'tls'): Place => ({
  table: 'webhook_endpoints',
  row: endpoint_id,
  category,
  version: 1,
});

export const sealSecret = (vault: Vault, endpoint_id: string, secret: string): Buffer =>
  vault.sealOwn(placeOf(endpoint_id, 'secret'), secret);

export const newSecret = (): string => secretFrom(randomBytes(SECRET_BYTES));

type KeyPair = Pick<
  Insertable<WebhookEndpointTable>,
  'public_key' | 'private_key' | 'previous_public_key' | 'previous_private_key'
>;

/** A new key pair, as the endpoint's row keeps it. */
export function newKeyPair(vault: Vault, endpoint_id: string): Required<Pick<KeyPair, 'public_key' | 'private_key'>> {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const text = privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64');
  return { public_key: publicKeyText(publicKey), private_key: vault.sealOwn(placeOf(endpoint_id, 'private_key'), text) };
}

export const NO_KEY_PAIR = {
  public_key: null,
  private_key: null,
  previous_public_key: null,
  previous_private_key: null,
} as const satisfies KeyPair;

/** What becomes of the key pair with a new `signature`: made where that asks for one, destroyed where it no longer does. */
export function keyPairFor(
  vault: Vault,
  { id, private_key }: { id: string; private_key: Buffer | null },
  signature: readonly string[],
): KeyPair {
  if (signature.includes('v1a') === (private_key !== null)) return {};
  return private_key === null ? newKeyPair(vault, id) : NO_KEY_PAIR;
}

/** What of an endpoint is needed to sign for it; the previous keys only while they still sign. */
export type Sealed = Pick<
  WebhookEndpointTable,
  'signature' | 'secret' | 'previous_secret' | 'private_key' | 'previous_private_key'
> & {
  id: string;
};

/**
 * Opens the keys of an endpoint, for as many messages as there are to sign: opening costs more than signing.
 * @returns gives the value of `webhook-signature`; hold it no longer than the keys may be used
 * @throws Error where the sealed bytes were altered or are another endpoint's
 */
export function openSigner(vault: Vault, endpoint: Sealed): (message: Message) => string {
  const keys = [
    ...(endpoint.signature.includes('v1') ? sealed(endpoint.secret, endpoint.previous_secret) : []).map(it =>
      createSecretKey(secretBytes(vault.openOwn(placeOf(endpoint.id, 'secret'), it))),
    ),
    ...sealed(endpoint.private_key, endpoint.previous_private_key).map(it => openPrivateKey(vault, endpoint.id, it)),
  ];
  return message => signWebhook(message, keys);
}

export const sealTls = (vault: Vault, endpoint_id: string, tls: TlsSettings): Buffer =>
  vault.sealOwn(placeOf(endpoint_id, 'tls'), JSON.stringify(tls));

/** @throws Error where the bytes were altered or are another endpoint's */
export const openTls = (vault: Vault, endpoint_id: string, sealed: Buffer): TlsSettings =>
  JSON.parse(vault.openOwn(placeOf(endpoint_id, 'tls'), sealed)) as TlsSettings;

const sealed = (...keys: (Buffer | null)[]): Buffer[] => keys.filter(key => key !== null);

function openPrivateKey(vault: Vault, endpoint_id: string, sealed: Buffer): KeyObject {
  const key = Buffer.from(vault.openOwn(placeOf(endpoint_id, 'private_key'), sealed), 'base64');
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' });
}
