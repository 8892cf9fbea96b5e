import { test } from 'tap';
import { CODE_LISTS } from '../../src/core/codes.ts';
import { EVENT_TYPES } from '../../src/core/events.ts';
import { PROBLEMS } from '../../src/core/problem.ts';
import { startTestApp } from '../support/app.ts';
import { mechanism } from '../support/mechanism.ts';

test('every coded list is served with labels, to whoever has a token', async t => {
  const it = await startTestApp(t);
  const { as } = await mechanism(it);
  const { status, body } = await as('audit_body', 'nobody', ['figures.read']).get('/v1/codes');
  t.equal(status, 200);
  const codesOf = (name: string) => body[name].map(({ code }: { code: string }) => code);
  for (const [name, codes] of Object.entries(CODE_LISTS)) t.same(codesOf(name), [...codes], name);
  t.same(codesOf('event_type'), [...EVENT_TYPES]);
  t.same(codesOf('problem'), Object.keys(PROBLEMS));
  t.match(body.decline_reason[0], { code: 'no_capacity', label: 'No capacity' });
  for (const list of Object.values<{ label: string }[]>(body)) for (const { label } of list) t.ok(label.length > 0);
  t.equal((await it.app.inject('/v1/codes')).statusCode, 401);
});
