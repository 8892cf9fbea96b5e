import t from 'tap';
import { EVENT_TYPES, neverWaits, reachesAlways } from '../../src/core/events.ts';

/** What ends or changes the duties of whoever held something. */
const ALWAYS = [
  'referral.withdrawn',
  'referral.cancelled',
  'referral.expired',
  'referral.declined',
  'referral.rerouted',
  'case.erased',
  'safety.changed',
  'consent.withdrawn',
];
const WITHDRAWAL_AND_SAFETY = ['referral.withdrawn', 'consent.withdrawn', 'safety.changed'];

t.test('every type of event is known to both rules', async t => {
  for (const type of EVENT_TYPES) {
    t.equal(reachesAlways(type), ALWAYS.includes(type), `${type} reaches whoever held it always, or only whoever may know`);
    t.equal(neverWaits(type, false), WITHDRAWAL_AND_SAFETY.includes(type), `${type} waits for what came before it, or not`);
    t.equal(neverWaits(type, true), true, `${type} of an emergency never waits`);
  }
  for (const type of [...ALWAYS, ...WITHDRAWAL_AND_SAFETY]) t.ok((EVENT_TYPES as readonly string[]).includes(type), type);
});
