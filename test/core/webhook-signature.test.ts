import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';
import t from 'tap';
import { secretFrom, signWebhook } from '../../src/core/webhook-signature.ts';

const SECRET = 'whsec_d2ViaG9vayBzZWNyZXQgb2YgMzIgYnl0ZXMuLi4uLiE=';
const MESSAGE = { id: 'evt_01k9z0000000000000000000c1', timestamp: 1_795_287_723, body: '{"type":"endpoint.test"}' };

t.test('a known signature, reckoned with Python', async t => {
  t.equal(signWebhook({ ...MESSAGE, secrets: [SECRET] }), 'v1,UYhM7kEE2/bvj8cDVW7nhc4QLXDGEOkNe/rq2OOJuQ4=');
});

t.test('the library that receivers use agrees, for either secret of a rotation', async () => {
  const secrets = fc.uint8Array({ minLength: 24, maxLength: 64 }).map(secretFrom);
  const now = Math.floor(Date.now() / 1_000);
  fc.assert(
    fc.property(secrets, secrets, fc.jsonValue(), (before, after, data) => {
      const body = JSON.stringify({ type: 'referral.offered', data });
      const signature = signWebhook({ ...MESSAGE, timestamp: now, body, secrets: [after, before] });
      const headers = { 'webhook-id': MESSAGE.id, 'webhook-timestamp': String(now), 'webhook-signature': signature };
      for (const secret of [before, after]) new Webhook(secret).verify(body, headers);
    }),
  );
});

t.test('each part is signed', async t => {
  const signed = signWebhook({ ...MESSAGE, secrets: [SECRET] });
  for (const other of [
    { id: 'evt_2' },
    { timestamp: MESSAGE.timestamp + 1 },
    { body: '{"type":"endpoint.test" }' },
    { secrets: [secretFrom(Buffer.alloc(32))] },
  ]) {
    t.not(signWebhook({ ...MESSAGE, secrets: [SECRET], ...other }), signed, Object.keys(other)[0]!);
  }
});

t.test('secrets of 24 to 64 bytes', async t => {
  t.equal(secretFrom(Buffer.from('webhook secret of 32 bytes.....!')), SECRET);
  for (const length of [0, 23, 65]) {
    const secret = `whsec_${Buffer.alloc(length, 1).toString('base64')}`;
    t.throws(() => secretFrom(Buffer.alloc(length)), RangeError);
    t.throws(() => signWebhook({ ...MESSAGE, secrets: [SECRET, secret] }), RangeError, `${length} bytes`);
  }
  for (const length of [24, 64])
    t.match(signWebhook({ ...MESSAGE, secrets: [secretFrom(Buffer.alloc(length))] }), /^v1,[\w+/]{43}=$/);
});

t.test('what cannot be signed', async t => {
  const malformed = [
    SECRET.slice(6),
    SECRET.replace('whsec_', 'whpk_'),
    SECRET.slice(0, -1),
    `${SECRET} `,
    SECRET.replace('d2', 'd!2'),
    '',
  ];
  for (const secret of malformed) {
    t.throws(
      () => signWebhook({ ...MESSAGE, secrets: [secret] }),
      { message: 'a webhook secret is whsec_<base64>' },
      JSON.stringify(secret),
    );
  }
  t.throws(() => signWebhook({ ...MESSAGE, secrets: [] }), RangeError);
  for (const id of ['', 'a.b']) t.throws(() => signWebhook({ ...MESSAGE, id, secrets: [SECRET] }), RangeError);
  for (const timestamp of [1.5, -1, Number.NaN])
    t.throws(() => signWebhook({ ...MESSAGE, timestamp, secrets: [SECRET] }), RangeError);
});
