import { existsSync, globSync, readFileSync, renameSync } from 'node:fs';
import { type Test, test } from 'tap';
import { loopFailed } from '../../src/audit/failures.ts';
import { keepAlive, startSequencing, watchLog } from '../../src/audit/jobs.ts';
import { expireConsents, warnExpiringConsents } from '../../src/cases/consents.ts';
import { dateOf, dayNumber } from '../../src/core/calendar.ts';
import { endSuspended } from '../../src/experts/sweep.ts';
import { startLoop } from '../../src/platform/loop.ts';
import { makeFollowOns } from '../../src/referrals/follow-ons.ts';
import { routeUnplaced } from '../../src/referrals/router.ts';
import { timerEffects } from '../../src/referrals/timer-effects.ts';
import { illustrativePack } from '../../src/rules/packs.ts';
import type { Services } from '../../src/services.ts';
import { moveTimers } from '../../src/timers/moves.ts';
import { fireDueTimers } from '../../src/timers/sweep.ts';
import { startWebhookJobs } from '../../src/webhooks/jobs.ts';
import { relayEvents } from '../../src/webhooks/relay.ts';
import { deleteExpired, wipeExpiredSecrets } from '../../src/webhooks/retention.ts';
import { startTestApp } from '../support/app.ts';
import { bodyOf, calendar, holiday } from '../support/calendars.ts';
import { drain } from '../support/drain.ts';
import { entriesFor } from '../support/entries.ts';
import { experts } from '../support/experts.ts';
import { clinic, DAY, HOUR, MEDICAL, MINUTE } from '../support/journey.ts';
import { mechanism } from '../support/mechanism.ts';
import { caseBody, consentBody, ok, referralBody } from '../support/night.ts';
import { leave, lookAsOwner } from '../support/trail.ts';
import { startReceiver } from '../support/webhooks.ts';

/**
 * What happens without a request leaves its entry, too, and so does its failure. Whatever is started anew and is not named here
 * fails.
 */

/** Each loop by its name, the consumer of each queue, each interval by its file, with what it leaves; or why nothing. */
const JOBS: Record<string, string[] | string> = {
  timers: ['timer.warn', 'timer.breach', 'timer.escalate', 'timer.call', 'referral.expire'],
  moves: ['timer.move', 'calendar.move_timers'],
  consents: ['consent.expire'],
  'ends of consents': ['consent.warn'],
  routing: ['referral.offer'],
  'follow-ons': ['referral.follow_on', 'referral.cancel'],
  experts: ['expert_request.cancel', 'expert_request.wipe_details'],
  reach: ['agency.note_unreachable', 'agency.note_reachable'],
  undelivered: ['agency.call', 'agency.hear'],
  crises: ['crisis_mode.expire'],
  digests: ['digest.tell'],
  hours: 'reckons on what an agency said of its hours, in the entry of that act; nobody says anything new',
  coverage: ['coverage.note_gap'],
  answers: 'counts how often services were asked and said yes; nothing is decided',
  relay: 'numbers what acts have told, in the entries of those acts; nothing is decided',
  sweep: 'puts into the queue what is due; the attempts leave their entries',
  'queue deliveries': ['delivery.attempt'],
  retention: ['retention.delete', 'webhook_endpoint.wipe_secret'],
  'heartbeat of ${role}': 'says every second that a process lives, of nobody and nothing',
  'watch over the log': ['audit.alarm'],
  sequencer: 'gives entries their places: one of its own would need another',
  'heartbeat of the log': ['audit.heartbeat'],
  journal: 'copies to a disk what acts noted, in the entries of those acts',
  'witnesses of the log': 'what they cosigned is public; where no quorum does, the watch raises its alarm',
  'interval src/platform/clock.ts': 'asks the database what time it is',
  'interval src/audit/counted.ts': 'writes refusals that were counted: test/api/counted.test.ts',
  'interval src/webhooks/turn.ts': 'looks for more while something is under way; each attempt leaves its entry',
  'interval src/webhooks/waiting.ts': 'looks for whom there is an event; the pull leaves its entry',
  'interval src/main.ts': 'closes connections on which nothing moves while the process ends',
  'interval src/platform/embedded-postgres.ts': 'looks whether the embedded server is still there',
};

test('every job is named here', async t => {
  const root = new URL('../../', import.meta.url);
  const found = globSync('src/**/*.ts', { cwd: root.pathname }).flatMap(file => {
    const source = readFileSync(new URL(file, root), 'utf8');
    const count = (call: RegExp) => source.match(call)?.length ?? 0;
    const loops = [...source.matchAll(/\bstartLoop\(\s*(['`])(.+?)\1/g)].map(([, , name]) => name!);
    const queues = [...source.matchAll(/\bopenQueue\(\s*'(.+?)'/g)].map(([, name]) => `queue ${name}`);
    if (file !== 'src/platform/loop.ts') t.equal(loops.length, count(/\bstartLoop\(/g), `${file} says how its loops are called`);
    const intervals = count(/\bsetInterval\(/g) > 0 ? [`interval ${file}`] : [];
    return [...loops, ...queues, ...intervals];
  });
  t.strictSame(found.sort(), Object.keys(JOBS).sort());
});

interface Row {
  outcome: string;
  action: string;
  code: string | null;
  client_id: string;
}

async function start(t: Test, env: NodeJS.ProcessEnv = {}) {
  const it = await startTestApp(t, env);
  const them = await mechanism(it);
  const { services } = it;
  const rows = () => lookAsOwner<Row>(services, 'select outcome, action, code, client_id from audit_records order by number');
  /** What `work` left, each in a line, and each kind once. */
  async function leftBy(work: () => Promise<unknown>): Promise<string[]> {
    const before = (await rows()).length;
    await work();
    const lines = (await rows())
      .slice(before)
      .map(({ outcome, action, client_id, code }) =>
        [client_id.replace('system:', ''), outcome, action, ...(outcome === 'failed' ? [code] : [])].join(' '),
      );
    return [...new Set(lines)].sort();
  }
  return { ...it, ...them, ...clinic(them), rows, leftBy };
}

const until = async (there: () => Promise<boolean>): Promise<void> => {
  while (!(await there())) await new Promise(resolve => setTimeout(resolve, 20));
};

/** Makes a change impossible, as a bug of ours would. */
const forbid = (services: Services, table: string, when: string, on = 'update') =>
  lookAsOwner(
    services,
    `create or replace function fail() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
     create trigger fails before ${on} on ${table} for each row when (${when}) execute function fail()`,
  );

test('clocks, consents and routing', async t => {
  const { ask, at, leftBy, ...test } = await start(t);
  const { services, clock, as, agencies, sender, sequence } = test;
  const effects = timerEffects(services);
  const twice = async (round: () => Promise<boolean>) => {
    await round().catch(() => {});
    await round().catch(() => {});
  };
  /** What says that it failed, once, though it was tried twice; about which case. */
  async function failsOnce(t: Test, line: string, case_id: string, round: () => Promise<boolean>): Promise<void> {
    t.strictSame(await leftBy(() => twice(round)), [line]);
    const [, , action] = line.split(' ');
    await sequence();
    const [{ subjects }, ...others] = (await entriesFor(as('audit_body'), `action=${action}&outcome=failed`)) as [
      { subjects: { record?: Record<string, unknown> }[] },
      ...object[],
    ];
    t.equal(others.length, 0, 'once');
    t.equal(subjects[0]!.record!.subject_id, case_id);
  }

  await t.test('a clock', async t => {
    const { kase } = await ask({ urgency: 'emergency' });
    clock.advance(20 * MINUTE);
    await forbid(services, 'timers', "new.state = 'breached'");
    await failsOnce(t, 'clock failed timer.fire internal_error', kase.id, () => fireDueTimers(services, effects));
    clock.advance(MINUTE);
    t.strictSame(await leftBy(() => fireDueTimers(services, effects)), ['clock failed timer.fire internal_error'], 'and again');
    await lookAsOwner(services, 'drop trigger fails on timers');
    clock.advance(DAY);
    const left = await leftBy(async () => {
      await drain(services);
      // Whoever coordinates is left alone with it, too.
      clock.advance(DAY);
      await drain(services);
    });
    for (const action of JOBS.timers as string[]) t.ok(left.includes(`clock done ${action}`), action);
  });

  await t.test('a calendar that changes', async t => {
    const { kase } = await ask({ urgency: 'routine' });
    const day = clock.now().toISOString().slice(0, 10);
    const announce = (name: string) =>
      as('committee', 'nobody').put(
        `/v1/calendars/${illustrativePack('XA').calendar_id}`,
        { ...bodyOf(calendar()), name, holidays: [0, 1, 2, 3].map(n => holiday(dateOf(dayNumber(day) + n))) },
        { 'if-match': '*' },
      );
    ok(await announce('Closed for days'));
    const moves = async () => {
      while (await moveTimers(services));
    };
    t.strictSame(await leftBy(moves), ['clock done calendar.move_timers', 'clock done timer.move']);
    await sequence();
    const [moved] = await entriesFor(as('audit_body'), 'action=timer.move');
    // Also the screening that is owed in a case of before.
    t.ok(moved!.subjects.some(({ record }) => record!.subject_id === kase.id && record!.timer === 'respond'));
    t.strictSame(await leftBy(moves), [], 'once');
  });

  await t.test('the end of a consent', async t => {
    const expires_at = new Date(clock.now().getTime() + 48 * HOUR).toISOString();
    const kase = ok(await sender.post('/v1/cases', caseBody()));
    ok(await sender.post(`/v1/cases/${kase.id}/consents`, consentBody({ expires_at })));

    await forbid(services, 'consents', 'new.expiry_warned_at is not null');
    await failsOnce(t, 'clock failed consent.warn internal_error', kase.id, () => warnExpiringConsents(services));
    await lookAsOwner(services, 'drop trigger fails on consents');
    t.strictSame(await leftBy(() => warnExpiringConsents(services)), ['clock done consent.warn']);

    clock.advance(49 * HOUR);
    await forbid(services, 'consents', 'new.expired_at is not null');
    await failsOnce(t, 'clock failed consent.expire internal_error', kase.id, () => expireConsents(services));
    await lookAsOwner(services, 'drop trigger fails on consents');
    t.strictSame(await leftBy(() => expireConsents(services)), ['clock done consent.expire']);
  });

  await t.test('whom the router asks', async t => {
    const supervisor = as('health', 'supervisor');
    const path = `/v1/agencies/${agencies.health.id}/services/medical`;
    const suspended = { status: 'suspended', suspended_reason: 'flood' };
    const set = async (body: object) => ok(await supervisor.put(path, body, { 'if-match': '*' }));
    await set(suspended);
    const kase = ok(await sender.post('/v1/cases', caseBody()));
    ok(await sender.post(`/v1/cases/${kase.id}/consents`, consentBody(MEDICAL.consent)));
    ok(await sender.post(`/v1/cases/${kase.id}/referrals`, referralBody(MEDICAL.referral)));
    await set({});

    await forbid(services, 'offers', 'true', 'insert');
    await failsOnce(t, 'router failed referral.route internal_error', kase.id, () => routeUnplaced(services));
    await lookAsOwner(services, 'drop trigger fails on offers');
    clock.advance(MINUTE);
    t.strictSame(await leftBy(() => routeUnplaced(services)), ['router done referral.offer']);
  });

  await t.test('for whom a service leaves', async t => {
    const path = `/v1/agencies/${agencies.health.id}/services/medical`;
    const set = async (status: string) => ok(await as('health', 'supervisor').put(path, { status }, { 'if-match': '*' }));
    const { kase } = await at(test, 'in_progress');
    await set('suspended');
    const round = async () => {
      await makeFollowOns(services);
      return false;
    };
    await forbid(services, 'referrals', 'new.follows_referral_id is not null', 'insert');
    await failsOnce(t, 'router failed referral.follow_on internal_error', kase.id, round);
    await lookAsOwner(services, 'drop trigger fails on referrals');
    t.strictSame(await leftBy(round), ['router done referral.follow_on', 'router done referral.unplace']);
    await set('active');
    t.strictSame(await leftBy(round), ['router done referral.cancel']);
    t.strictSame(await leftBy(round), [], 'once');
  });

  await t.test('for whom an expert comes no longer', async t => {
    const { enter, request, keeper } = experts(test, test);
    const expert = await enter();
    const { id } = await request(expert.id);
    ok(await keeper.patch(`/v1/experts/${expert.id}`, { status: 'suspended' }, { 'if-match': '*' }));
    const round = async () => {
      await endSuspended(services);
      return false;
    };
    await forbid(services, 'expert_requests', "new.status = 'cancelled'");
    await failsOnce(t, 'matcher failed expert_request.cancel internal_error', id, round);
    await lookAsOwner(services, 'drop trigger fails on expert_requests');
    t.strictSame(await leftBy(round), ['matcher done expert_request.cancel']);
    t.strictSame(await leftBy(round), [], 'once');
  });
});

test('deliveries and what is kept of them', async t => {
  const { services, clock, as, ask, leftBy, rows } = await start(t);
  const receiver = await startReceiver(t);
  const supervisor = as('health', 'supervisor');
  const { id } = ok(await supervisor.post('/v1/webhook-endpoints', { url: receiver.url, event_types: ['*'] }));
  ok(await supervisor.post(`/v1/webhook-endpoints/${id}/rotate-secret`));
  receiver.replies.push({ status: 500 });
  await ask();
  t.strictSame(await leftBy(() => relayEvents(services)), [], 'the relay tells of what has its entry');

  const jobs = startWebhookJobs(services);
  const left = (line: string) => async () =>
    (await rows()).some(({ outcome, action, code }) => `${outcome} ${action} ${code}` === line);
  await until(left('failed delivery.attempt http_500'));
  t.pass('an attempt that fails');
  clock.advance(MINUTE);
  await until(left('done delivery.attempt http_204'));
  t.pass('one that arrives');
  await services.queue!.addBulk([{ id: 'nobody-1', subject_id: 'whe_01jabcdefghjkmnpqrstvwxyz0', urgent: false }]);
  await until(left('failed delivery.attempt internal_error'));
  t.pass('and one that could not be made');
  await jobs.stop();

  t.strictSame(await leftBy(() => deleteExpired(services)), [], 'nothing is old');
  clock.advance(100 * DAY);
  t.strictSame(await leftBy(() => wipeExpiredSecrets(services)), ['relay done webhook_endpoint.wipe_secret']);
  t.strictSame(await leftBy(() => deleteExpired(services)), ['retention done retention.delete']);
  const tables = (await rows()).filter(({ action }) => action === 'retention.delete').map(({ code }) => code);
  t.strictSame(tables.sort(), ['deliveries', 'delivery_attempts', 'events']);
  t.strictSame(await leftBy(() => deleteExpired(services)), [], 'nothing is left');
});

test('the log', async t => {
  const { services, clock, leftBy, sequence, ask } = await start(t);
  await sequence();
  clock.advance(11 * MINUTE);
  t.strictSame(await leftBy(() => keepAlive(services)), ['sequencer done audit.heartbeat']);
  await sequence();

  const watch = watchLog(services);
  await ask();
  clock.advance(3_000);
  t.strictSame(await leftBy(watch), []);
  clock.advance(3_000);
  t.strictSame(await leftBy(watch), ['sequencer failed audit.alarm merge_delay']);
});

test('a round that fails', async t => {
  const { services, clock, rows } = await start(t);
  let rounds = 0;
  const failed = loopFailed(services);
  const loop = startLoop('a loop', { every_ms: 1, log: services.log, failed }, async () => {
    rounds += 1;
    throw new Error('no');
  });
  const failures = async () => (await rows()).filter(({ action }) => action === 'job.run');
  await until(async () => rounds > 10);
  t.match(await failures(), { length: 1, 0: { outcome: 'failed', code: 'a loop', client_id: 'system:clock' } });
  clock.advance(MINUTE);
  await until(async () => (await failures()).length > 1);
  await loop.stop();

  const sequencing = await startSequencing(services, services.config.database_url!);
  const path = services.config.log.ledger_path;
  await until(async () => existsSync(path) && readFileSync(path).length > 0);
  renameSync(path, `${path}.away`);
  await leave(services, 1);
  await until(async () => (await failures()).some(({ code }) => code === 'sequencer'));
  renameSync(`${path}.away`, path);
  await sequencing.stop();
  t.equal((await failures()).length, 3, 'the sequencer, which goes on by itself, says so too');
});
