import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import { OFFER_STATUSES, type OfferStatus } from '../../src/core/codes.ts';
import { newId } from '../../src/platform/ids.ts';
import { startTestApp } from '../support/app.ts';
import { anonymous, clinic, eventsOf } from '../support/journey.ts';
import { type Answer, type Client, mechanism } from '../support/mechanism.ts';
import { consentBody, ok, referralBody } from '../support/night.ts';
import { entriesOf } from '../support/trail.ts';

// Some three thousand requests, and other suites beside them.
t.setTimeout(240_000);

/**
 * The table "Referral and offer" of the domain contract through HTTP: each action × each state × each kind of actor, allowed or
 * refused exactly as written. The expectations are written from the page, not from the code.
 */

interface Row {
  /** Party and caseworker's role of whoever may do it. */
  by: 'receiver' | 'sender' | 'sender or coordinator';
  from: readonly OfferStatus[];
  /** Where the referral then stands: nobody else can be asked here. */
  to: OfferStatus | 'unplaced';
  event: string;
  body?: object;
  by_telephone?: true;
}

const BEFORE: readonly OfferStatus[] = ['offered', 'received', 'info_requested', 'waitlisted'];
/** The one agency that was asked is out of it: the referral is unplaced. */
const OUT: readonly OfferStatus[] = ['declined', 'expired', 'failed'];
const AT = '2026-11-21T19:00:00.000Z';

const PAGE: Record<string, Row> = {
  receive: { by: 'receiver', to: 'received', event: 'received', from: ['offered'], by_telephone: true },
  'request-information': {
    by: 'receiver',
    to: 'info_requested',
    event: 'information_requested',
    from: ['received'],
    body: { questions: ['Is she hurt?'] },
  },
  'provide-information': {
    by: 'sender',
    to: 'received',
    event: 'information_provided',
    from: ['info_requested'],
    body: { answers: ['No'] },
  },
  waitlist: { by: 'receiver', to: 'waitlisted', event: 'waitlisted', from: ['received', 'info_requested'] },
  accept: { by: 'receiver', to: 'accepted', event: 'accepted', from: [...BEFORE, 'expired'], by_telephone: true },
  decline: {
    by: 'receiver',
    to: 'unplaced',
    event: 'declined',
    from: BEFORE,
    body: { reason_code: 'unsafe' },
    by_telephone: true,
  },
  reroute: { by: 'sender or coordinator', to: 'offered', event: 'rerouted', from: [...BEFORE, ...OUT] },
  'confirm-handover': {
    by: 'receiver',
    to: 'in_progress',
    event: 'handover_confirmed',
    from: [...BEFORE, 'accepted'],
    body: { arrived_at: AT },
    by_telephone: true,
  },
  'report-no-show': { by: 'receiver', to: 'unplaced', event: 'no_show', from: ['accepted'] },
  review: { by: 'receiver', to: 'in_progress', event: 'reviewed', from: ['in_progress'] },
  complete: {
    by: 'receiver',
    to: 'completed',
    event: 'completed',
    from: ['in_progress'],
    body: { outcome_code: 'service_provided' },
  },
  fail: {
    by: 'receiver',
    to: 'unplaced',
    event: 'failed',
    from: ['accepted', 'in_progress'],
    body: { reason_code: 'service_ended' },
  },
  cancel: {
    by: 'sender',
    to: 'cancelled',
    event: 'cancelled',
    from: [...BEFORE, 'accepted', ...OUT],
    body: { reason_code: 'error' },
  },
  // Of what was recorded by telephone; nothing here was, until the second walk.
  contest: { by: 'receiver', to: 'offered', event: 'contested', from: [], body: { note: 'nobody here said so' } },
};
/** What may be contested, and how the receiver is made to have said it. */
const RECORDED: Partial<Record<OfferStatus, [verb: string, body: object]>> = {
  accepted: ['accept', {}],
  in_progress: ['confirm-handover', { arrived_at: AT }],
  declined: ['decline', { reason_code: 'no_capacity' }],
};

t.test('each action × each state × each kind of actor', async t => {
  const test = await startTestApp(t);
  const they = await mechanism(test);
  const { as, agencies } = they;
  const { sender, receiver, at, ask } = clinic(they);
  const committee = as('committee');
  const saidNow = () => ({ told_by: { channel: 'phone', at: test.clock.now().toISOString(), staff_code: 'NIGHT-7' } });

  const withRoles = async (key: 'helpline_a' | 'health' | 'committee', roles: string[], staff_code: string): Promise<Client> => {
    ok(await as(key, 'supervisor').post(`/v1/agencies/${agencies[key].id}/caseworkers`, { staff_code, roles }));
    return {
      ...as(key),
      post: (path, body, headers) => as(key).post(path, body, { ...headers, 'acting-caseworker': staff_code }),
    };
  };
  const sender_operator = await withRoles('helpline_a', ['operator'], 'DH-OP');
  const sender_screener = await withRoles('helpline_a', ['screener'], 'DH-SC');
  const receiver_operator = await withRoles('health', ['operator'], 'CC-OP');
  const receiver_supervisor = as('health', 'supervisor');
  const not_coordinator = await withRoles('committee', ['caseworker'], 'NC-CW');

  const service = ok(await as('health', 'supervisor').get(`/v1/agencies/${agencies.health.id}/services/medical`));
  const {
    agency_id: _,
    service: __,
    version: ___,
    created_at: ____,
    updated_at: _____,
    assured_at: ______,
    stale: _______,
    ...offered
  } = service;
  ok(
    await as('civil_society', 'supervisor').put(`/v1/agencies/${agencies.civil_society.id}/services/case_management`, offered, {
      'if-none-match': '*',
    }),
  );
  /** Makes somebody the owner of the case who never sent this referral. */
  async function handOver(case_id: string): Promise<Client> {
    const consent = { recipient: { agency_kind: 'civil_society' }, purposes: ['case_management'] };
    ok(await sender.post(`/v1/cases/${case_id}/consents`, consentBody(consent)));
    const body = { service: 'case_management', routing: 'direct', recipient_agency_id: agencies.civil_society.id };
    const { id } = ok(await sender.post(`/v1/cases/${case_id}/referrals`, referralBody(body)));
    ok(await as('civil_society').post(`/v1/referrals/${id}/accept`));
    return as('civil_society');
  }

  const bodyOf = (verb: string) =>
    verb === 'reroute' ? { agency_id: agencies.health.id, reason_code: 'better_match' } : (PAGE[verb]!.body ?? {});
  const may = (row: Row, party: 'receiver' | 'sender' | 'coordinator') => row.by.includes(party);

  /** What the page lets a party do in a state, as answers name it and in its order. */
  const listed = (party: 'receiver' | 'sender' | 'coordinator', status: OfferStatus) =>
    Object.keys(PAGE)
      .filter(verb => may(PAGE[verb]!, party) && PAGE[verb]!.from.includes(status))
      .map(verb => verb.replaceAll('-', '_'));

  /** Kinds of actor, and whether the page lets them do it at all; who may is then held to the state. */
  const ACTORS: Record<string, [who: () => Client, allowed: (row: Row) => boolean, telephone?: true]> = {
    'the receiver': [() => receiver, row => may(row, 'receiver')],
    'its supervisor': [() => receiver_supervisor, row => may(row, 'receiver')],
    'its operator': [() => receiver_operator, () => false],
    'the sender': [() => sender, row => may(row, 'sender')],
    'its operator who sent it': [() => sender_operator, row => may(row, 'sender')],
    'its screener': [() => sender_screener, () => false],
    'the coordinator': [() => committee, row => may(row, 'coordinator')],
    'a caseworker of the committee': [() => not_coordinator, () => false],
    'the sender by telephone': [() => sender, () => true, true],
    'the coordinator by telephone': [() => committee, () => true, true],
    'the receiver by telephone': [() => receiver, () => false, true],
    'its operator by telephone': [() => receiver_operator, () => false, true],
  };
  const STRANGERS = ['helpline_b', 'audit_body'] as const;
  const PARTIES = ['the receiver', 'the sender'];
  const COLLEAGUES = ['its supervisor', 'its operator who sent it'];
  /** What was done, and whether it was about an offer that was live: then its receiver is told of it as well. */
  const done: { id: string; event: string; of_offer: boolean }[] = [];
  const allowed_count = new Map<string, number>();

  const absent = anonymous(await as('helpline_b').post(`/v1/referrals/${newId('ref')}/accept`, {}));

  async function walk(status: OfferStatus): Promise<void> {
    const { referral, kase } = await at(test, status);
    const path = `/v1/referrals/${referral.id}`;
    const before = ok(await sender.get(path));
    const of_referral = OUT.includes(status) ? 'unplaced' : status;
    t.equal(before.status, of_referral);
    t.strictSame(before.allowed_actions, listed('sender', status), `a sender is told what it may do when ${status}`);
    t.match(ok(await receiver.get(path)), { status, allowed_actions: listed('receiver', status) });
    t.match(ok(await committee.get(path)).allowed_actions, listed('coordinator', status));

    const wrong: string[] = [];
    const expect = ({ status: got, body }: Answer, code: string, said: string) => {
      if (body.code !== code) wrong.push(`${said} when ${status}: ${got} ${body.code}`);
      if (code !== 'wrong_state') return;
      const state = said.includes(' by the receiver') || said.includes(' by its supervisor') ? status : of_referral;
      if (body.state !== state) wrong.push(`${said} when ${status} names the state ${body.state}`);
    };
    for (const [verb, row] of Object.entries(PAGE)) {
      for (const [name, [who, allows, telephone]] of Object.entries(ACTORS)) {
        if (telephone && !row.by_telephone) continue;
        const body = {
          ...bodyOf(verb),
          ...(telephone ? saidNow() : {}),
        };
        const said = `${verb} by ${name}`;
        if (!allows(row)) expect(await who().post(`${path}/${verb}`, body), 'forbidden', said);
        else if (!row.from.includes(status)) expect(await who().post(`${path}/${verb}`, body), 'wrong_state', said);
        // What a colleague may is tried in one state; that it is not forbidden in the others, their 409 says.
        else if (!COLLEAGUES.includes(name) || status === row.from[0]) {
          const fresh = (await at(test, status)).referral;
          const answer = await who().post(`/v1/referrals/${fresh.id}/${verb}`, body);
          if (answer.status !== 200) wrong.push(`${said} when ${status}: ${answer.status} ${JSON.stringify(answer.body)}`);
          allowed_count.set(name, (allowed_count.get(name) ?? 0) + 1);
          if (!PARTIES.includes(name)) continue;
          const after = ok(await sender.get(`/v1/referrals/${fresh.id}`));
          if (after.status !== row.to) wrong.push(`${said} when ${status} leads to ${after.status}`);
          if (answer.headers.etag !== `"${after.version}"`) wrong.push(`${said} when ${status} answers another version`);
          if (!/^[0-9a-f]{64}$/.test(String(answer.headers['audit-receipt'])))
            wrong.push(`${said} when ${status} gives no receipt`);
          done.push({
            id: fresh.id,
            event: `referral.${row.event}`,
            of_offer: !OUT.includes(status) && row.event !== 'cancelled',
          });
        }
      }
      for (const key of STRANGERS) {
        const hidden = anonymous(await as(key).post(`${path}/${verb}`, bodyOf(verb)));
        if (!isDeepStrictEqual(hidden, absent)) wrong.push(`${verb} by ${key} when ${status} is not what is absent`);
      }
    }
    t.equal(ok(await sender.get(path)).version, before.version, `nobody who may not has changed anything when ${status}`);
    const owner = await handOver(kase.id);
    for (const verb of Object.keys(PAGE)) {
      expect(await owner.post(`${path}/${verb}`, bodyOf(verb)), 'forbidden', `${verb} by an owner that did not send it`);
    }
    t.strictSame(wrong, [], status);
  }

  // The one that waits for the clock first, for it moves on for all.
  await walk('expired');
  await Promise.all(OFFER_STATUSES.filter(status => status !== 'expired').map(walk));

  const whole = (name: string) => Object.values(PAGE).filter(row => ACTORS[name]![1](row));
  const rows = (name: string, telephone = false) =>
    whole(name)
      .filter(row => !telephone || row.by_telephone)
      .reduce((sum, { from }) => sum + from.length, 0);
  for (const name of COLLEAGUES)
    t.equal(allowed_count.get(name), whole(name).filter(({ from }) => from.length > 0).length, `${name} may, too`);
  for (const name of [...PARTIES, 'the coordinator'])
    t.equal(allowed_count.get(name), rows(name), `every allowed step by ${name} was taken`);
  for (const name of ['the sender by telephone', 'the coordinator by telephone'])
    t.equal(allowed_count.get(name), rows(name, true), `every allowed step by ${name} was taken`);

  for (const verb of Object.keys(PAGE)) {
    const denied = (await entriesOf(test.services, `referral.${verb.replaceAll('-', '_')}`)).filter(
      it => it.outcome === 'denied',
    );
    t.strictSame(
      [...new Set(denied.map(({ code }) => code))].sort(),
      ['forbidden', 'not_visible', 'wrong_state'],
      `refusals to ${verb} are in the trail`,
    );
  }

  for (const [who, name] of [
    [sender, 'sender'],
    [receiver, 'receiver'],
  ] as const) {
    const told = new Set((await eventsOf(test.services, who)).map(({ type, data }) => `${type} ${data.referral_id}`));
    const untold = done.filter(({ id, event, of_offer }) => (name === 'sender' || of_offer) && !told.has(`${event} ${id}`));
    t.strictSame(untold, [], `the ${name} is told of every step`);
  }

  await t.test('contest, of what was recorded by telephone', async t => {
    for (const [status, recorded] of Object.entries(RECORDED)) {
      const { referral } = await ask();
      const path = `/v1/referrals/${referral.id}`;
      const [verb, body] = recorded;
      ok(await committee.post(`${path}/${verb}`, { ...body, ...saidNow() }));
      const note = { note: 'nobody here said so' };
      for (const who of [sender, committee, receiver_operator]) t.equal((await who.post(`${path}/contest`, note)).status, 403);
      for (const key of STRANGERS) t.equal((await as(key).post(`${path}/contest`, note)).status, 404);
      t.equal(ok(await receiver.post(`${path}/contest`, note)).status, 'offered', status);
    }
  });
});
