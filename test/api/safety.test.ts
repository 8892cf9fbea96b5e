import t from 'tap';
import { startTestApp } from '../support/app.ts';
import { drain } from '../support/drain.ts';
import { all, clinic, eventsOf, MINUTE } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { ok } from '../support/night.ts';

t.setTimeout(300_000);

t.test('what concerns safety reaches whoever holds the case, and each says that it was read', async t => {
  const test = await startTestApp(t);
  const { services, clock } = test;
  const they = await mechanism(test);
  const { as, agencies } = they;
  const { sender, receiver, at, ask } = clinic(they);
  const amend = (id: string, patch: object) => sender.patch(`/v1/cases/${id}`, patch, { 'if-match': '*' });
  const clocks = (referral_id: string) => all(sender, `/v1/timers?referral_id=${referral_id}&name=safety_ack`);

  await t.test('a changed contact, risk or danger flag starts one clock for each live holder', async t => {
    const { kase, referral } = await at(test, 'accepted');
    ok(await amend(kase.id, { person: { safe_contact: { safe_to_call: false, do_not_use: ['CANARY-NUMBER'] } } }));
    const [ack, ...none] = await clocks(referral.id);
    t.strictSame(none, []);
    t.match(ack, {
      state: 'running',
      urgency: 'emergency',
      responsible_agency_id: agencies.health.id,
      due_at: new Date(clock.now().getTime() + 15 * MINUTE).toISOString(),
    });
    const told = (await eventsOf(services, receiver, referral.id)).at(-1)!;
    t.match((await eventsOf(services, receiver, referral.id)).map(({ type }) => type).slice(-2), [
      'safety.changed',
      'disclosure.updated',
    ]);
    t.notMatch(JSON.stringify(told), /CANARY/);
    t.match(ok(await receiver.get(`/v1/referrals/${referral.id}`)).disclosure.data.contact.safe_contact, {
      safe_to_call: false,
      do_not_use: ['CANARY-NUMBER'],
    });
    t.equal((await clocks(referral.id))[0].state, 'running', 'a machine reads, too: reading is no acknowledgement');

    ok(await amend(kase.id, { risk: 'immediate' }));
    t.equal((await clocks(referral.id)).length, 1, 'the one that runs is about everything since');
    t.equal((await sender.post(`/v1/timers/${ack.id}/meet`)).status, 403, 'nobody reads for somebody else');
    t.match(ok(await receiver.post(`/v1/timers/${ack.id}/meet`)), { state: 'met', met_at: clock.now().toISOString() });

    ok(await amend(kase.id, { danger_flags: ['weapons'] }));
    t.strictSame((await clocks(referral.id)).map(({ state }) => state).sort(), ['met', 'running'], 'the next change asks again');
  });

  await t.test('unread after 15 minutes it escalates as an emergency', async t => {
    const { kase, referral } = await at(test, 'in_progress');
    ok(await amend(kase.id, { danger_flags: ['trafficker_nearby'] }));
    clock.advance(30 * MINUTE);
    await drain(services);
    t.match(await clocks(referral.id), [{ state: 'breached', escalation_level: 3 }]);
    const types = async (who: typeof sender) => (await eventsOf(services, who, referral.id)).map(({ type }) => type);
    t.ok((await types(as('committee'))).includes('timer.escalated'));
    t.ok((await types(sender)).includes('timer.breached'));
    const [ack] = await clocks(referral.id);
    t.match(await as('committee').post(`/v1/timers/${ack.id}/pause`, { reason_code: 'other' }), { status: 409 });
    ok(await amend(kase.id, { danger_flags: ['weapons'] }));
    t.strictSame(
      (await clocks(referral.id)).map(({ state }) => state).sort(),
      ['breached', 'running'],
      'whoever ignored one change is asked about the next',
    );
    t.equal(ok(await receiver.post(`/v1/timers/${ack.id}/meet`)).state, 'met', 'late is better than never');
    ok(await receiver.post(`/v1/referrals/${referral.id}/complete`, { outcome_code: 'service_provided' }));
    t.strictSame(
      (await clocks(referral.id)).map(({ state }) => state).sort(),
      ['cancelled', 'met'],
      'the end of a service is no answer',
    );
  });

  await t.test('who does not hold the case is told nothing', async t => {
    const { kase, referral } = await ask();
    ok(await amend(kase.id, { risk: 'immediate' }));
    t.strictSame(await clocks(referral.id), []);
    t.notMatch(await eventsOf(services, receiver, referral.id), [{ type: 'safety.changed' }]);
    const over = await at(test, 'failed');
    ok(await amend(over.kase.id, { risk: 'immediate' }));
    t.strictSame(await clocks(over.referral.id), []);
  });
});
