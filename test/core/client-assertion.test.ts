import fc from 'fast-check';
import t from 'tap';
import {
  type AssertionClaims,
  type AssertionFault,
  type AssertionHeader,
  faultOfClaims,
  faultOfHeader,
} from '../../src/core/client-assertion.ts';

const NOW = 1_800_000_000;
const audiences = ['https://aman.test', 'https://aman.test/oauth/token'];
const good: AssertionClaims = { iss: 'c', sub: 'c', aud: audiences[0], exp: NOW + 300, iat: NOW, jti: 'j' };
const faultOf = (change: AssertionClaims) => faultOfClaims({ ...good, ...change }, { audiences, now_s: NOW });

t.test('claims', async t => {
  const rows: [string, AssertionClaims, AssertionFault | undefined][] = [
    ['good', {}, undefined],
    ['without iat', { iat: undefined }, undefined],
    ['the endpoint', { aud: audiences[1] }, undefined],
    ['a list of one', { aud: [audiences[0]] }, undefined],
    ['a list of both', { aud: audiences }, undefined],
    ['no issuer', { iss: undefined }, 'assertion_subject'],
    ['neither', { iss: undefined, sub: undefined }, 'assertion_subject'],
    ['another subject', { sub: 'd' }, 'assertion_subject'],
    ['an issuer that is no text', { iss: ['c'], sub: ['c'] }, 'assertion_subject'],
    ['no audience', { aud: undefined }, 'assertion_audience'],
    ['an empty list', { aud: [] }, 'assertion_audience'],
    ['another server', { aud: 'https://other.test' }, 'assertion_audience'],
    ['another server, too', { aud: [audiences[0], 'https://other.test'] }, 'assertion_audience'],
    ['nearly ours', { aud: `${audiences[0]}/` }, 'assertion_audience'],
    ['a nested list', { aud: [[audiences[0]]] }, 'assertion_audience'],
    ['no end', { exp: undefined }, 'assertion_expired'],
    ['an end as text', { exp: `${NOW + 60}` }, 'assertion_expired'],
    ['no number', { exp: Number.NaN }, 'assertion_expired'],
    ['over, within the skew', { exp: NOW - 29 }, undefined],
    ['over', { exp: NOW - 30 }, 'assertion_expired'],
    ['as long as may be, by a clock that is ahead', { exp: NOW + 330 }, undefined],
    ['too long', { exp: NOW + 330.5 }, 'assertion_too_long'],
    ['for ever', { exp: Number.MAX_VALUE }, 'assertion_too_long'],
    ['made by a clock that is ahead', { iat: NOW + 30, nbf: NOW + 30 }, undefined],
    ['made in the future', { iat: NOW + 31 }, 'assertion_not_yet'],
    ['not yet', { nbf: NOW + 31 }, 'assertion_not_yet'],
    ['made at no time', { iat: null }, 'assertion_not_yet'],
    ['no id', { jti: undefined }, 'assertion_jti'],
    ['an empty id', { jti: '' }, 'assertion_jti'],
    ['an id that is no text', { jti: 7 }, 'assertion_jti'],
    ['as long an id as may be', { jti: 'j'.repeat(255) }, undefined],
    ['a longer one', { jti: 'j'.repeat(256) }, 'assertion_jti'],
  ];
  for (const [name, change, expected] of rows) t.equal(faultOf(change), expected, name);
});

t.test('headers', async t => {
  const rows: [AssertionHeader, AssertionFault | undefined][] = [
    [{ alg: 'EdDSA' }, undefined],
    [{ alg: 'ES256', typ: 'jwt' }, undefined],
    [{ alg: 'PS256', typ: 'client-authentication+jwt' }, undefined],
    [{}, 'assertion_algorithm'],
    ...['none', 'HS256', 'RS256', 'ES384', 'eddsa', ['EdDSA']].map((alg): [AssertionHeader, AssertionFault] => [
      { alg },
      'assertion_algorithm',
    ]),
    [{ alg: 'EdDSA', typ: 'at+jwt' }, 'assertion_type'],
    [{ alg: 'EdDSA', typ: 7 }, 'assertion_type'],
    [{ alg: 'EdDSA', crit: ['b64'] }, 'assertion_malformed'],
  ];
  for (const [header, expected] of rows) t.equal(faultOfHeader(header), expected, JSON.stringify(header));
});

t.test('nothing passes but what is ours, of now, and can be told apart', async t => {
  const any = fc.oneof(fc.constant(undefined), fc.string(), fc.double(), fc.jsonValue());
  const claims = fc.record({
    iss: fc.oneof(fc.constant('c'), any),
    sub: fc.oneof(fc.constant('c'), any),
    aud: fc.oneof(fc.constantFrom(...audiences), fc.array(fc.oneof(fc.constantFrom(...audiences), fc.string())), any),
    exp: fc.oneof(fc.integer({ min: NOW - 400, max: NOW + 400 }), any),
    iat: fc.oneof(fc.integer({ min: NOW - 400, max: NOW + 400 }), any),
    nbf: fc.oneof(fc.integer({ min: NOW - 400, max: NOW + 400 }), any),
    jti: fc.oneof(fc.string(), any),
  }) as fc.Arbitrary<AssertionClaims>;
  let passed = 0;
  fc.assert(
    fc.property(claims, it => {
      if (faultOfClaims(it, { audiences, now_s: NOW }) !== undefined) return true;
      passed += 1;
      const exp = it.exp as number;
      return (
        it.iss === it.sub &&
        [it.aud].flat().every(value => audiences.includes(value as string)) &&
        exp > NOW - 30 &&
        exp <= NOW + 330 &&
        [it.iat, it.nbf].every(at => at === undefined || (at as number) <= NOW + 30) &&
        (it.jti as string).length > 0
      );
    }),
    { numRuns: 3_000, seed: 7 },
  );
  t.ok(passed > 0, 'and some do');
});
