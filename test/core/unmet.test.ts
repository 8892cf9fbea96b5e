import fc from 'fast-check';
import t from 'tap';
import { OUTCOMES, REFERRAL_STATUSES, SERVICES, STAGES } from '../../src/core/codes.ts';
import { type AskedFor, type Needs, unmetNeeds } from '../../src/core/unmet.ts';

const at = (hour: number) => new Date(Date.UTC(2026, 10, 21, hour));

const asked = (more: Partial<AskedFor> = {}): AskedFor => ({
  service: 'medical',
  created_at: at(2),
  status: 'offered',
  outcome: null,
  served_until: null,
  ...more,
});
const of = (more: Partial<Needs> = {}): Needs => ({ stage: 'presumed', opened_at: at(1), needs: [], demanded: [], ...more });
const said = (referrals: AskedFor[], needs: Partial<Needs> = {}) =>
  unmetNeeds(referrals, of(needs)).map(({ service, why, since }) => `${service} ${why} ${since.getUTCHours()}`);

t.test('what is asked for is unmet while nobody has said yes', async t => {
  for (const status of REFERRAL_STATUSES) {
    const is_open = ['unplaced', 'waitlisted', 'offered', 'received', 'info_requested'].includes(status);
    t.strictSame(said([asked({ status })]), is_open ? ['medical asked 2'] : [], status);
  }
});

t.test('a need, and what the law demands, is met by a live service, or by one that was completed well', async t => {
  const met = ['service_provided', 'partly_provided', 'provided_elsewhere'];
  for (const outcome of OUTCOMES) {
    const done = asked({ status: 'completed', outcome, served_until: at(5) });
    t.strictSame(said([done], { needs: ['medical'] }), met.includes(outcome) ? [] : ['medical need 5'], outcome);
    t.strictSame(said([done], { demanded: ['medical'] }), met.includes(outcome) ? [] : ['medical law 5'], outcome);
    t.strictSame(said([done, asked()], {}), ['medical asked 5'], 'but what is still asked for by a live one alone');
  }
  for (const status of ['accepted', 'in_progress'] as const)
    t.strictSame(said([asked({ status })], { needs: ['medical'], demanded: ['medical'] }), [], status);
  t.strictSame(
    said([asked({ status: 'cancelled' })], { needs: ['medical'] }),
    ['medical need 1'],
    'taken back, and a need still',
  );
});

t.test('since when: since it was asked for, or the last who served the person ended', async t => {
  t.strictSame(said([asked({ created_at: at(4) }), asked()]), ['medical asked 2'], 'the first that is open');
  t.strictSame(said([asked({ status: 'cancelled' }), asked({ created_at: at(4) })]), ['medical asked 4']);
  t.strictSame(said([asked({ status: 'unplaced', served_until: at(9) })]), ['medical asked 9']);
  const followed = asked({ status: 'completed', outcome: 'service_provided', served_until: at(8) });
  t.strictSame(said([followed, asked({ created_at: at(6) })]), ['medical asked 8'], 'its follow-on nobody has taken');
  t.strictSame(said([asked({ service: 'legal_aid', served_until: at(9) }), asked()]), ['legal_aid asked 9', 'medical asked 2']);
});

t.test('one that goes on beside one that is asked for: nobody is without', async t => {
  t.strictSame(said([asked({ status: 'in_progress' }), asked()]), []);
});

t.test('each once: asked for, then by law, then as a need', async t => {
  const all = { needs: ['medical', 'legal_aid', 'shelter_accommodation'], demanded: ['medical', 'legal_aid'] } as const;
  t.strictSame(said([asked()], all), ['medical asked 2', 'legal_aid law 1', 'shelter_accommodation need 1']);
});

t.test('a case has its owner, and one that is over no needs', async t => {
  t.strictSame(said([asked({ service: 'case_management' })], { needs: ['case_management'] }), []);
  for (const stage of STAGES) {
    const over = stage === 'closed' || stage === 'withdrawn';
    t.equal(said([asked()], { stage, needs: ['legal_aid'], demanded: ['shelter_accommodation'] }).length, over ? 0 : 3, stage);
  }
});

t.test('whatever was asked for: nothing twice, nothing that is served, and nothing before it was known', async () => {
  const instant = fc.integer({ min: 2, max: 1_000 }).map(at);
  const referral: fc.Arbitrary<AskedFor> = fc.record({
    service: fc.constantFrom(...SERVICES),
    created_at: instant,
    status: fc.constantFrom(...REFERRAL_STATUSES),
    outcome: fc.option(fc.constantFrom(...OUTCOMES)),
    served_until: fc.option(instant),
  });
  const services = fc.uniqueArray(fc.constantFrom(...SERVICES));
  fc.assert(
    fc.property(fc.array(referral, { maxLength: 12 }), services, services, (referrals, needs, demanded) => {
      const names = (more: AskedFor[] = []) =>
        unmetNeeds([...referrals, ...more], of({ needs, demanded })).map(({ service }) => service);
      const unmet = names();
      const live = referrals.filter(({ status }) => status === 'accepted' || status === 'in_progress');
      return (
        new Set(unmet).size === unmet.length &&
        !live.some(({ service }) => unmet.includes(service)) &&
        unmetNeeds(referrals, of({ needs, demanded })).every(({ since }) => since >= at(1)) &&
        // One that is live meets it, whatever else there was.
        unmet.every(service => !names([asked({ service, status: 'accepted' })]).includes(service))
      );
    }),
  );
});
