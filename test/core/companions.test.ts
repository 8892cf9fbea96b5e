import fc from 'fast-check';
import t from 'tap';
import { OFFER_STATUSES, SERVICES } from '../../src/core/codes.ts';
import { type Companion, isKeptApart, isThereAlready, separationState, whereTheyAre } from '../../src/core/companions.ts';
import { isLive, isTaken } from '../../src/core/referral.ts';

const SHELTER = 'shelter_accommodation';

const companion = (more: Partial<Companion> = {}): Companion => ({
  case_id: 'cas_other',
  grouped: true,
  related: false,
  suspected: false,
  separated: false,
  same_owner: true,
  offers: [{ agency_id: 'agy_1', service: SHELTER, status: 'accepted' }],
  ...more,
});
const person = { suspected: false };
const where = (other: Partial<Companion>, keep_together = false, who = person) => {
  const { apart_from, together_with } = whereTheyAre(who, [companion(other)], SHELTER, keep_together);
  return [...apart_from].map(id => `-${id}`).concat([...together_with].map(id => `+${id}`));
};

t.test('a family stays together, a group where the route says so', async t => {
  t.same(where({ related: true }), ['+agy_1']);
  t.same(where({}), [], 'no route says so');
  t.same(where({}, true), ['+agy_1']);
  t.same(where({ grouped: false }, true), []);
  t.same(where({ related: true, same_owner: false }, true), [], 'that would tell another owner where somebody is');
  t.same(where({ related: true, offers: [{ agency_id: 'agy_1', service: 'medical', status: 'accepted' }] }), []);
  t.same(where({ related: true, offers: [{ agency_id: 'agy_1', service: SHELTER, status: 'waitlisted' }] }), ['+agy_1']);
  t.same(where({ related: true, offers: [{ agency_id: 'agy_1', service: SHELTER, status: 'completed' }] }), []);
});

t.test('whoever is suspected is kept apart from the family, and whoever was said to be from whomever', async t => {
  t.same(where({ related: true, suspected: true }), ['-agy_1']);
  t.same(where({ related: true }, false, { suspected: true }), ['-agy_1'], 'from either side');
  t.same(where({ suspected: true }, true), ['+agy_1'], 'of another family: as far as somebody says so');
  t.same(where({ separated: true, grouped: false, same_owner: false }), ['-agy_1'], 'whoever owns it');
  t.same(where({ separated: true, related: true }, true), ['-agy_1']);
});

t.test('apart: where the other is, by whatever service they would meet; where the other is asked for, by the same', async t => {
  const offered = (service: Companion['offers'][number]['service'], status: Companion['offers'][number]['status']) =>
    where({ separated: true, offers: [{ agency_id: 'agy_1', service, status }] });
  t.same(offered('medical', 'in_progress'), ['-agy_1']);
  t.same(offered('medical', 'offered'), []);
  t.same(offered(SHELTER, 'offered'), ['-agy_1']);
  t.same(offered(SHELTER, 'failed'), []);
  t.same(offered('identification', 'accepted'), [], 'an authority sees each by itself');
});

t.test('a separation is in force from when it was agreed to until it ends', async t => {
  const [before, now, after] = [new Date(1_000), new Date(2_000), new Date(3_000)];
  for (const [agreed_at, until, state] of [
    [null, null, 'proposed'],
    [null, after, 'proposed'],
    [before, null, 'in_force'],
    [now, after, 'in_force'],
    [before, now, 'ended'],
    [null, before, 'ended'],
  ] as const)
    t.equal(separationState({ agreed_at, until }, now), state);
});

t.test('a property: nobody is drawn to where somebody is who must not be met', async t => {
  const offers = fc.array(
    fc.record({
      agency_id: fc.constantFrom('agy_1', 'agy_2', 'agy_3'),
      service: fc.constantFrom(...SERVICES),
      status: fc.constantFrom(...OFFER_STATUSES),
    }),
    { maxLength: 3 },
  );
  const others = fc.array(
    fc.record<Companion>({
      case_id: fc.constantFrom('cas_1', 'cas_2'),
      grouped: fc.boolean(),
      related: fc.boolean(),
      suspected: fc.boolean(),
      separated: fc.boolean(),
      same_owner: fc.boolean(),
      offers,
    }),
    { maxLength: 4 },
  );
  fc.assert(
    fc.property(others, fc.boolean(), fc.boolean(), (companions, suspected, keep_together) => {
      const who = { suspected };
      const { apart_from, together_with } = whereTheyAre(who, companions, SHELTER, keep_together);
      for (const other of companions) {
        const apart = isKeptApart(who, other);
        t.equal(apart, isKeptApart(other, { ...other, suspected }), 'it holds for both');
        for (const offer of other.offers) {
          if (apart && isLive(offer) && offer.service === SHELTER) t.ok(apart_from.has(offer.agency_id));
          if (!apart && other.related && other.same_owner && isLive(offer) && offer.service === SHELTER)
            t.ok(together_with.has(offer.agency_id));
          if (isThereAlready(who, [other], { agency_id: offer.agency_id, service: SHELTER }))
            t.ok(apart_from.has(offer.agency_id) && apart && other.offers.some(isTaken));
        }
      }
    }),
  );
});
