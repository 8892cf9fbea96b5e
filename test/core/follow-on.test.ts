import t from 'tap';
import { LAWFUL_GROUNDS, URGENCIES } from '../../src/core/codes.ts';
import { followOn } from '../../src/core/follow-on.ts';

const NOBODY_NAMED = { routing: 'automatic', recipient_agency_id: null, fallback: false };

t.test('a follow-on is at least urgent, and asked of whoever there is', async t => {
  const soon = { routine: 'urgent', urgent: 'urgent', emergency: 'emergency' } as const;
  for (const urgency of URGENCIES)
    t.strictSame(followOn({ urgency, lawful_ground: null }), { ...NOBODY_NAMED, urgency: soon[urgency], lawful_ground: null });
});

t.test('a ground is named anew, to be reviewed anew; one that was not upheld stands in for nothing', async t => {
  for (const code of LAWFUL_GROUNDS) {
    const named = { code, person_informed: true, staff_code: 'DH-1' };
    const ground = (more: object) => followOn({ urgency: 'urgent', lawful_ground: { ...named, ...more } }).lawful_ground;
    t.strictSame(ground({}), named);
    t.strictSame(ground({ upheld: true, reviewed_at: '2026-11-21T19:00:00.000Z' }), named);
    t.equal(ground({ upheld: false }), null);
  }
});
