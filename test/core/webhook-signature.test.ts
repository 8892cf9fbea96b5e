import { createHmac, createPrivateKey, createPublicKey, createSecretKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';
import t from 'tap';
import { publicKeyText, secretBytes, secretFrom, signWebhook } from '../../src/core/webhook-signature.ts';
import { verifiesByPublicKey } from '../support/webhooks.ts';

const SECRET = 'whsec_d2ViaG9vayBzZWNyZXQgb2YgMzIgYnl0ZXMuLi4uLiE=';
const MESSAGE = { id: 'evt_01k9z0000000000000000000c1', timestamp: 1_795_287_723, body: '{"type":"endpoint.test"}' };

const keyOf = (secret: string): KeyObject => createSecretKey(secretBytes(secret));

/** The first key pair of RFC 8032, section 7.1. */
const SEED = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';
const PUBLIC = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a';
const PRIVATE_KEY = createPrivateKey({
  key: Buffer.from(`302e020100300506032b657004220420${SEED}`, 'hex'),
  format: 'der',
  type: 'pkcs8',
});

t.test('known signatures', async t => {
  t.equal(signWebhook(MESSAGE, [keyOf(SECRET)]), 'v1,UYhM7kEE2/bvj8cDVW7nhc4QLXDGEOkNe/rq2OOJuQ4=', 'reckoned with Python');
  t.equal(
    signWebhook(MESSAGE, [PRIVATE_KEY]),
    'v1a,gnQD1P0FQiyJDulW9C5C6ZcQDWIGeD4rX3/GlViSGD4FFzzmsWVTENwJnD+LgAhfg1zt0NFkvOHDnrTIUhnwCA==',
    'reckoned with OpenSSL',
  );
  t.equal(publicKeyText(createPublicKey(PRIVATE_KEY)), `whpk_${Buffer.from(PUBLIC, 'hex').toString('base64')}`);
});

t.test('the library that receivers use agrees, for either secret of a rotation and beside key pairs', async t => {
  const secrets = fc.uint8Array({ minLength: 24, maxLength: 64 }).map(secretFrom);
  const now = Math.floor(Date.now() / 1_000);
  fc.assert(
    fc.property(secrets, secrets, fc.jsonValue(), (before, after, data) => {
      const body = JSON.stringify({ type: 'referral.offered', data });
      const message = { ...MESSAGE, timestamp: now, body };
      const signature = signWebhook(message, [keyOf(after), keyOf(before), PRIVATE_KEY]);
      const headers = { 'webhook-id': MESSAGE.id, 'webhook-timestamp': String(now), 'webhook-signature': signature };
      for (const secret of [before, after]) new Webhook(secret).verify(body, headers);
      const other = secretFrom(createHmac('sha256', before).update(after).digest());
      t.throws(() => new Webhook(other).verify(body, headers), 'another secret does not verify it');
    }),
    { numRuns: 50 },
  );
});

t.test('whoever has the public key verifies, for either key pair of a rotation', async t => {
  fc.assert(
    fc.property(fc.jsonValue(), data => {
      const [before, after, other] = [0, 1, 2].map(() => generateKeyPairSync('ed25519'));
      const body = JSON.stringify({ type: 'referral.offered', data });
      const signature = signWebhook({ ...MESSAGE, body }, [keyOf(SECRET), after!.privateKey, before!.privateKey]);
      const headers = {
        'webhook-id': MESSAGE.id,
        'webhook-timestamp': String(MESSAGE.timestamp),
        'webhook-signature': signature,
      };
      for (const { publicKey } of [before!, after!]) t.ok(verifiesByPublicKey(publicKeyText(publicKey), { headers, text: body }));
      t.notOk(verifiesByPublicKey(publicKeyText(other!.publicKey), { headers, text: body }));
      t.notOk(verifiesByPublicKey(publicKeyText(after!.publicKey), { headers, text: `${body} ` }));
    }),
    { numRuns: 25 },
  );
});

t.test('each part is signed, by either kind of key', async t => {
  for (const key of [keyOf(SECRET), PRIVATE_KEY]) {
    const signed = signWebhook(MESSAGE, [key]);
    for (const other of [
      { id: 'evt_2' },
      { timestamp: MESSAGE.timestamp + 1 },
      { body: '{"type":"endpoint.test" }' },
      { body: '{"type":"endpoint.tést"}' },
    ])
      t.not(signWebhook({ ...MESSAGE, ...other }, [key]), signed, Object.keys(other)[0]!);
  }
  t.not(signWebhook(MESSAGE, [keyOf(secretFrom(Buffer.alloc(32)))]), signWebhook(MESSAGE, [keyOf(SECRET)]));
});

t.test('secrets of 24 to 64 bytes', async t => {
  t.equal(secretFrom(Buffer.from('webhook secret of 32 bytes.....!')), SECRET);
  for (const length of [0, 23, 65]) {
    const secret = `whsec_${Buffer.alloc(length, 1).toString('base64')}`;
    t.throws(() => secretFrom(Buffer.alloc(length)), RangeError);
    t.throws(() => secretBytes(secret), RangeError, `${length} bytes`);
  }
  for (const length of [24, 64]) t.equal(secretBytes(secretFrom(Buffer.alloc(length, 1))).length, length);
});

t.test('malformed secrets', async t => {
  const malformed = [
    SECRET.slice(6),
    SECRET.replace('whsec_', 'whpk_'),
    SECRET.slice(0, -1),
    `${SECRET} `,
    SECRET.replace('d2', 'd!2'),
    '',
  ];
  for (const secret of malformed)
    t.throws(() => secretBytes(secret), { message: 'a webhook secret is whsec_<base64>' }, JSON.stringify(secret));
});

t.test('keys that do not sign', async t => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  for (const key of [createPublicKey(PRIVATE_KEY), publicKey, privateKey])
    t.throws(() => signWebhook(MESSAGE, [keyOf(SECRET), key]), RangeError, `${key.type} ${key.asymmetricKeyType}`);
  for (const key of [PRIVATE_KEY, publicKey, keyOf(SECRET)]) t.throws(() => publicKeyText(key), RangeError, key.type);
});

t.test('what cannot be signed', async t => {
  const keys = [keyOf(SECRET)];
  t.throws(() => signWebhook(MESSAGE, []), RangeError);
  for (const id of ['', 'a.b']) t.throws(() => signWebhook({ ...MESSAGE, id }, keys), RangeError);
  for (const timestamp of [1.5, -1, Number.NaN]) t.throws(() => signWebhook({ ...MESSAGE, timestamp }, keys), RangeError);
});
