import t from 'tap';
import { CONFIRMED_WITHIN_MS, expiryOf, GOOD_FOR_MS, type Inquiry, isOfTheTwo, stateOf } from '../../src/core/inquiry.ts';

const OPENED = Date.UTC(2026, 10, 21, 19);
const at = (ms: number) => new Date(OPENED + ms);
const waiting: Inquiry = { opened_by: 'OO-1', opened_at: at(0), confirmed_by: null, confirmed_at: null };

t.test('waits for a day', async t => {
  t.same([CONFIRMED_WITHIN_MS, GOOD_FOR_MS], [86_400_000, 86_400_000]);
  t.same(expiryOf(waiting), at(CONFIRMED_WITHIN_MS));
  t.equal(stateOf(waiting, at(0)), 'waiting');
  t.equal(stateOf(waiting, at(CONFIRMED_WITHIN_MS - 1)), 'waiting');
  t.equal(stateOf(waiting, at(CONFIRMED_WITHIN_MS)), 'expired');
});

t.test('is good for a day from its confirmation', async t => {
  const confirmed = { ...waiting, confirmed_by: 'OO-2', confirmed_at: at(CONFIRMED_WITHIN_MS - 1) };
  const end = CONFIRMED_WITHIN_MS - 1 + GOOD_FOR_MS;
  t.same(expiryOf(confirmed), at(end));
  t.equal(stateOf(confirmed, at(CONFIRMED_WITHIN_MS)), 'confirmed');
  t.equal(stateOf(confirmed, at(end - 1)), 'confirmed');
  t.equal(stateOf(confirmed, at(end)), 'expired');
  t.same(
    ['OO-1', 'OO-2', 'OO-3'].map(code => isOfTheTwo(confirmed, code)),
    [true, true, false],
  );
});
