import pg from 'pg';
import type { Test } from 'tap';

/**
 * What holds of the whole database, whatever was done to the service: killed, raced, cut off, asked nonsense. Every rule is a
 * sentence with a statement that returns the rows which break it. They are run in one snapshot, as the owner, past both walls;
 * those of `ALWAYS` hold at any instant, those of `SETTLED` once nothing more is to be done.
 */

/** What somebody was answered, and keeps the service to. */
export interface Acknowledged {
  client_id: string;
  /** The trail's name: `referral.accept` */
  action: string;
  /** `replay`: the answer of a key that was used before */
  kind: 'act' | 'read' | 'replay';
  receipt: string | null;
  id: string | null;
  version: number | null;
  /** Where every act of an action is sent with one that begins with the action and a blank, each is held to its one effect. */
  key: string | null;
}

/** A webhook as it came in. */
export interface Arrived {
  endpoint_id: string;
  /** Its `webhook-id` */
  event_id: string;
  text: string;
}

export interface Facts {
  /** Connection string of somebody whom row-level security does not bind. */
  database: string;
  /** The service's time; the database's where it is left out. */
  now?: Date;
  acknowledged?: readonly Acknowledged[];
  /** Everything that arrived, in order, at all endpoints that there are. */
  arrived?: readonly Arrived[];
  /** Whether nothing is left to do. */
  settled?: boolean;
  /** What may still be under way of what fell due before `now`. */
  slack_ms?: number;
}

/** The rows that break a rule, by the rule's sentence. */
export type Broken = Record<string, unknown[]>;

/** Holds every rule. */
export async function holdInvariants(t: Test, facts: Facts): Promise<void> {
  t.strictSame(await findBroken(facts), {}, 'every invariant holds');
}

/**
 * Holds what is promised of notifications: each event arrives at least once at whoever listens for it, always the same under its
 * id, in order within its referral or case, and nothing at anybody else. What is under way is waited for.
 */
export async function holdNotified(t: Test, facts: Facts & Required<Pick<Facts, 'arrived'>>, within_ms = 60_000): Promise<void> {
  await analyze(facts.database);
  const started = performance.now();
  for (;;) {
    const broken = await onDatabase(facts.database, client => look(client, { slack_ms: 0, ...facts }, NOTIFIED));
    if (Object.keys(broken).length > 0 && performance.now() - started < within_ms) {
      await new Promise(resolve => setTimeout(resolve, 250));
      continue;
    }
    t.strictSame(broken, {}, 'everything arrived that was to arrive, and nothing else');
    return;
  }
}

/**
 * Waits until nothing is left to do. How long it took is for whoever reads the output: a busy machine must not decide a test.
 * @returns milliseconds @throws Error naming what is left
 */
export async function settle(database: string, within_ms = 180_000): Promise<number> {
  const started = performance.now();
  await analyze(database);
  for (;;) {
    // What began a moment ago counts as well.
    const left = await onDatabase(database, client => look(client, { database, slack_ms: 0 }, SETTLED));
    const ms = Math.round(performance.now() - started);
    if (Object.keys(left).length === 0) return ms;
    if (ms > within_ms) throw new Error(`not settled after ${ms} ms: ${JSON.stringify(left)}`);
    await new Promise(resolve => setTimeout(resolve, 250));
  }
}

export async function findBroken(facts: Facts): Promise<Broken> {
  await analyze(facts.database);
  return onDatabase(facts.database, client => look(client, facts, facts.settled === false ? ALWAYS : RULES));
}

/** The cluster of the tests does not do it by itself, and what is planned for an empty database takes minutes on a full one. */
async function analyze(database: string): Promise<void> {
  const client = new pg.Client(database);
  await client.connect();
  await client.query('analyze').finally(() => client.end());
}

async function onDatabase<T>(database: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(database);
  await client.connect();
  try {
    await client.query('begin isolation level repeatable read');
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Runs rules in the transaction that `client` is in, where they also see what it has done itself. */
export async function look(client: pg.Client, facts: Facts, rules: Readonly<Record<string, string>> = RULES): Promise<Broken> {
  const { now, acknowledged = [], arrived, slack_ms = 2_000 } = facts;
  // What arrives while this looks may be newer than what it sees.
  const heard = arrived?.length ?? 0;
  // Rows that are looked up by what they are not: in memory, or never.
  await client.query(`set local work_mem = '256MB'`);
  await client.query('drop table if exists pg_temp.moment, pg_temp.acknowledged, pg_temp.arrived');
  await client.query(
    `create temp table moment on commit drop as
      select coalesce($1::timestamptz, clock_timestamp()) - make_interval(secs => $2::float8 / 1000) as due,
      $3::boolean as listened, $4::integer as heard`,
    [now ?? null, slack_ms, arrived !== undefined, heard],
  );
  await client.query(
    `create temp table acknowledged on commit drop as select * from jsonb_to_recordset($1::jsonb)
      as it (client_id text, action text, kind text, receipt text, id text, version integer, key text)`,
    [JSON.stringify(acknowledged)],
  );
  await client.query(
    `create temp table arrived on commit drop as
      select it ->> 'endpoint_id' as endpoint_id, it ->> 'event_id' as event_id, it ->> 'text' as text, nth
      from jsonb_array_elements($1::jsonb) with ordinality as list (it, nth)`,
    [JSON.stringify(arrived ?? [])],
  );
  await client.query('analyze moment, acknowledged, arrived');
  const broken: Broken = {};
  for (const [sentence, statement] of Object.entries(rules)) {
    const { rows } = await client.query(`${statement} limit 5`);
    if (rows.length > 0) broken[sentence] = rows;
  }
  return broken;
}

const WAITING = `('offered', 'received', 'info_requested', 'waitlisted')`;
const TAKEN = `('accepted', 'in_progress')`;
const LIVE = `('offered', 'received', 'info_requested', 'waitlisted', 'accepted', 'in_progress')`;
const FURTHEST = `array['waitlisted', 'offered', 'received', 'info_requested', 'accepted', 'in_progress']`;

/** Everything that an answer names by its id. */
const RESOURCES = `(${[
  ...['cases', 'referrals', 'consents', 'agencies', 'caseworkers', 'clients', 'webhook_endpoints'],
  ...['disclosures', 'messages', 'timers', 'deliveries'],
]
  .map(table => `select id from ${table}`)
  .join(' union all ')})`;

/** How often an event of this type was told, of what the events are grouped by. */
const told = (type: string) => `count(distinct id) filter (where type = '${type}')`;

export const ALWAYS = {
  'an acknowledged act is in the trail, once': `
    with leaves as materialized (
      select encode(sha256('\\x00'::bytea || entry), 'hex') as receipt, client_id, action, outcome from audit_records)
    select a.action, a.id, a.receipt from acknowledged a left join leaves l on l.receipt = a.receipt and l.client_id = a.client_id
      and l.action = a.action and (l.outcome = 'done') = (a.kind = 'act')
    where a.receipt is not null group by 1, 2, 3 having count(l.receipt) <> count(*) or count(*) > 1`,
  'what was acknowledged is there': `
    select action, id from acknowledged where id is not null and id not in ${RESOURCES}`,
  'what was acknowledged was not undone': `
    select a.action, a.id, a.version from acknowledged a join (select id, version from cases union all select id, version from referrals
      union all select id, version from consents union all select id, version from webhook_endpoints) r using (id)
    where a.version > r.version`,
  'no two acts made the same version': `
    select id, version from acknowledged where kind = 'act' and version is not null group by 1, 2 having count(*) > 1`,
  'an acknowledged key is kept, with what it made': `
    select a.action, a.key, a.id from acknowledged a left join idempotency_keys k using (client_id, key)
    where a.key is not null and k.resource_id is distinct from a.id`,
  'a key has its effect': `
    select client_id, key, resource_id from idempotency_keys where resource_id not in ${RESOURCES}`,
  'a key has one effect': `
    with keyed as (
      select client_id, split_part(key, ' ', 1) as action, count(*) as keys from idempotency_keys
      where key ~ '^[a-z_]+\\.[a-z_]+ ' group by 1, 2)
    select * from keyed cross join lateral (select count(*) as effects from audit_records r
      where r.client_id = keyed.client_id and r.action = keyed.action and r.outcome = 'done') done
    where keys <> effects`,

  'an entry has every subject that it commits to': `
    select r.number, r.action from audit_records r
    where cardinality(subject_commits) <> (select count(*) from audit_subjects s where s.entry_id = r.entry_id)`,
  'an entry waits for the log or is in it, once': `
    select entry_id from audit_records group by 1 having count(*) > 1`,
  'the log has no gap': `
    select h.size, l.entries, l.last from audit_head h, (select count(*) as entries, max(index) as last from audit_log) l
    where l.entries <> h.size or coalesce(l.last, -1) <> h.size - 1`,

  'a case has its key and its profile, and was opened once': `
    with told as materialized (select case_id, ${told('case.opened')} as opened from events group by 1)
    select c.id, opened from cases c left join told on told.case_id = c.id
    where opened is distinct from 1 or not exists (select from case_keys k where k.case_id = c.id)
      or not exists (select from case_data d where d.case_id = c.id and d.category = 'profile')`,
  // What moves a case to another owner counts its version up beside.
  "a case's version counts its changes": `
    select * from (select coalesce(sum(version - 1), 0) as changes from cases) c, (select count(*) as entries from audit_records
      where outcome = 'done' and action in ('case.amend', 'case.close', 'case.reopen')) r
    where changes <> entries and not exists (select from cases where opened_by_agency_id is not null)`,
  'a consent was told once': `
    with told as materialized (select case_id, ${told('consent.granted')} as granted from events group by 1)
    select case_id, count(*), granted from consents left join told using (case_id) group by case_id, granted
    having granted is distinct from count(*)`,

  'a referral stands where its offers stand': `
    select r.id, r.status, r.ended, furthest.status as furthest from referrals r left join lateral (
      select o.status from offers o where o.referral_id = r.id and o.status in ${LIVE}
      order by array_position(${FURTHEST}, o.status) desc limit 1) furthest on true
    where r.status <> coalesce(r.ended, furthest.status, 'unplaced')`,
  'at most one agency has a referral': `
    select referral_id from offers where status in ${TAKEN} group by 1 having count(*) > 1`,
  'a referral that is over has no live offer': `
    select o.id, o.status, r.ended from offers o join referrals r on r.id = o.referral_id
    where r.ended is not null and o.status in ${LIVE}`,
  'a referral has a version for each act': `
    select * from (select coalesce(sum(version - 1), 0) as versions from referrals) r, (select count(*) as acts from audit_records
      where outcome = 'done' and action in ('referral.make', 'referral.receive', 'referral.request_information',
        'referral.provide_information', 'referral.waitlist', 'referral.accept', 'referral.decline', 'referral.expire',
        'referral.reroute', 'referral.confirm_handover', 'referral.report_no_show', 'referral.review', 'referral.complete',
        'referral.fail', 'referral.cancel', 'referral.contest')) a
    where versions < acts`,
  'an offer says when it was accepted and when it ended': `
    select id, status, accepted_at, ended_at from offers where (status in ${LIVE}) <> (ended_at is null)
      or (status in ${TAKEN} and accepted_at is null) or (status in ${WAITING} and accepted_at is not null)`,
  'offers are counted without gaps, and the newest of an agency is its latest': `
    select referral_id from offers group by 1 having max(ordinal) <> count(*)
    union all select referral_id from offers o
    where latest <> not exists (select from offers n where n.referral_id = o.referral_id and n.agency_id = o.agency_id
      and n.ordinal > o.ordinal)`,
  'a step of an offer was told, once': `
    with told as materialized (
      select body ->> 'offer_id' as id, ${told('referral.offered')} as offered, ${told('referral.accepted')} as accepted,
        ${told('referral.handover_confirmed')} as arrived, ${told('referral.declined')} as declined,
        ${told('referral.completed')} as completed, ${told('referral.expired')} as expired,
        ${told('referral.contested')} as contested
      from events where body ? 'offer_id' and not body ? 'elsewhere' group by 1)
    select o.status, told.* from offers o left join told using (id) where contested is null or contested = 0
      and (offered <> 1 or accepted > 1 or arrived > 1 or (accepted_at is not null and accepted + arrived = 0)
      or declined <> (status = 'declined')::int or completed <> (status = 'completed')::int
      or expired not between (status = 'expired')::int and 1)`,

  'the places that are taken are those of accepted offers': `
    select c.agency_id, c.service, c.held, taken.places from capacities c cross join lateral (
      select coalesce(sum(o.places_held), 0) as places from offers o where o.agency_id = c.agency_id and o.service = c.service) taken
    where c.held <> taken.places
    union all select agency_id, service, places, places_held from offers where places_held <> 0
      and (status not in ${TAKEN} or places_held <> places)`,
  'an accepted offer has its disclosure, and no other is open': `
    select o.id, o.status, d.ended_at from offers o join referrals r on r.id = o.referral_id
      left join disclosures d on d.offer_id = o.id and d.agency_id = o.agency_id
    where o.agency_id <> r.owner_agency_id and o.service <> 'case_management' and d.ground is distinct from 'ownership'
      and (o.status in ${TAKEN}) <> (d.id is not null and d.ended_at is null)`,
  'what an ended disclosure held is to be deleted, or was': `
    select d.id from disclosures d join referrals r on r.id = d.referral_id
    where d.ended_at is not null and d.deletion_due_at is null and d.deletion_confirmed_at is null and d.forgotten_at is null
      and d.agency_id <> r.owner_agency_id`,

  'no clock outlives its offer': `
    select t.id, t.name, t.state, o.status from timers t join offers o on o.id = t.subject_id
    where o.status not in ${LIVE} and t.name <> 'deletion_confirmation'
      and (t.state in ('running', 'paused') or t.next_step_at is not null)`,
  'a live offer has its clock': `
    select o.id, o.status from offers o where o.status in ${LIVE} and not exists (select from timers t where t.offer_id = o.id
      and t.state in ('running', 'paused', 'breached') and t.name = case o.status when 'offered' then 'respond'
        when 'received' then 'respond' when 'info_requested' then 'inform' when 'waitlisted' then 'waitlist_review'
        when 'accepted' then 'handover' else 'review' end)`,
  'a clock says what happened to it': `
    select t.id, t.name, t.state from timers t where (state = 'paused') <> (paused_at is not null)
      or (state = 'met' and met_at is null) or (state = 'breached' and breached_at is null)
      or (state in ('running', 'paused') and breached_at is not null)
      or (next_step_at is null) <> (state = 'paused' or jsonb_array_length(steps) = 0)
      or (state in ('met', 'cancelled') and jsonb_array_length(steps) > 0)
      or (state in ('running', 'paused') and jsonb_array_length(steps) = 0)
      or next_step_at < (steps -> 0 ->> 'at')::timestamptz`,
  // Every policy of the packs warns twice.
  'what a clock fired was told, once': `
    with told as materialized (
      select body ->> 'timer_id' as id, ${told('timer.breached')} as breached, ${told('timer.escalated')} as escalated,
        ${told('timer.warned')} as warned
      from events where body ? 'timer_id' and not body ? 'call' group by 1)
    select t.id, t.name, t.state, breached, escalated, warned from timers t left join told using (id)
    where coalesce(breached, 0) <> (breached_at is not null)::int or coalesce(escalated, 0) <> escalation_level
      or coalesce(warned, 0) not between (warned_at is not null)::int and 2 * (warned_at is not null)::int`,
  'who was called for a clock was told, each time once': `
    select t.id, t.name, t.calls from timers t
    where t.calls <> (select count(distinct e.id) from events e where e.body ->> 'timer_id' = t.id and e.body ? 'call')`,
  'what a clock fired is in the trail, once': `
    select * from (values ('timer.warn', 'timer.warned', false), ('timer.breach', 'timer.breached', false),
      ('timer.escalate', 'timer.escalated', false), ('timer.call', 'timer.escalated', true)) as step (action, type, is_call)
    where (select count(*) from audit_records r where r.action = step.action and r.outcome = 'done')
      <> (select count(distinct id) from events e where e.type = step.type and (e.body ? 'call') = step.is_call)`,

  'positions of an agency have no gap': `
    select e.agency_id, max(e.position), count(e.position) from events e left join event_positions p using (agency_id)
    group by e.agency_id, p.last having coalesce(max(e.position), 0) <> count(e.position) or max(e.position) <> p.last`,
  'sequences follow the acts without a gap': `
    select * from (select agency_id, subject_id, sequence, row_number() over (partition by agency_id, subject_id order by number)
      as nth from events where position is not null) numbered where sequence <> nth`,
  'an endpoint has one delivery of an event': `
    select endpoint_id, event_number from deliveries group by 1, 2 having count(*) > 1`,
  'a delivery says what came of it': `
    select d.id, d.state, d.attempts from deliveries d
    where attempts <> (select count(*) from delivery_attempts a where a.delivery_id = d.id)
      or (state in ('delivered', 'withheld')) <> (delivered_at is not null)
      or (state in ('pending', 'parked')) <> (next_attempt_at is not null)`,

  'what was delivered has arrived': `
    select d.id, d.event_type from deliveries d, moment where listened and d.state in ('delivered', 'withheld')
      and not exists (select from arrived a where a.endpoint_id = d.endpoint_id and a.event_id = d.event_id)`,
  'what arrived had a delivery': `
    select a.endpoint_id, a.event_id from arrived a left join deliveries d using (endpoint_id, event_id), moment
    where d.id is null and a.nth <= heard`,
  // But for what its recipient may no longer know by the second time.
  'what arrives again is the same': `
    select endpoint_id, event_id from arrived where text::jsonb ->> 'type' <> 'event.withheld'
    group by 1, 2 having count(distinct text) > 1`,
  'what arrives is of the agency whose endpoint it is, and was asked for': `
    select a.endpoint_id, a.event_id from arrived a join webhook_endpoints w on w.id = a.endpoint_id
    where not exists (select from deliveries d join events e on e.number = d.event_number
      where d.endpoint_id = w.id and d.event_id = a.event_id and e.id = d.event_id and e.agency_id = w.agency_id
        and d.agency_id = w.agency_id and (e.type <> 'endpoint.test' or e.subject_id = w.id)
        and a.text::jsonb ->> 'type' in (e.type, 'event.withheld') and (a.text::jsonb #>> '{data,event_id}') = e.id
        and (a.text::jsonb #>> '{data,position}')::bigint = e.position)`,
  // But for what never waits, and what went before because the other had failed: twice, an emergency once.
  'events of one referral or case arrive in their order': `
    with first as materialized (
      select d.id, d.endpoint_id, d.subject_id, d.sequence, d.waits, d.urgent, min(a.nth) as nth
      from deliveries d join arrived a using (endpoint_id, event_id) group by d.id)
    select later.id, earlier.id as before from first later join first earlier on earlier.endpoint_id = later.endpoint_id
      and earlier.subject_id = later.subject_id and earlier.sequence < later.sequence and earlier.nth > later.nth
    where later.waits and (select count(*) from delivery_attempts a where a.delivery_id = earlier.id
      and (a.status is null or a.status not between 200 and 299)) < case when earlier.urgent then 1 else 2 end`,
} as const satisfies Record<string, string>;

export const SETTLED = {
  'no event waits for the relay': `
    select id, type, occurred_at from events, moment where position is null and occurred_at <= due`,
  'whoever listens has a delivery': `
    select e.id, e.type, w.id as endpoint_id from events e join webhook_endpoints w on w.agency_id = e.agency_id, moment
    where e.occurred_at <= due and e.occurred_at > w.created_at and w.status = 'active' and w.updated_at = w.created_at
      and w.event_types && array['*', e.type] and (e.type <> 'endpoint.test' or e.subject_id = w.id)
      and not exists (select from deliveries d where d.event_number = e.number and d.endpoint_id = w.id)`,
  'every event was delivered': `
    select d.id, d.event_type, d.state, d.attempts, d.last_error, d.claimed_until from deliveries d
      join webhook_endpoints w on w.id = d.endpoint_id, moment
    where d.created_at <= due and d.state in ('pending', 'parked') and w.status = 'active' and w.deleted_at is null`,
  'every clock that is due has fired': `
    select id, name, state, next_step_at from timers, moment where next_step_at <= due`,
  'every consent that is over has ended': `
    select id, expires_at from consents, moment where expires_at <= due and expired_at is null and withdrawn_at is null`,
  'whoever waits for a place was looked at': `
    select id, router_due_at from referrals, moment where router_due_at <= due and status in ('unplaced', 'waitlisted')`,
} as const satisfies Record<string, string>;

export const RULES = { ...ALWAYS, ...SETTLED };

/** Those that tell of notifications alone. */
const NOTIFIED = pick([
  'positions of an agency have no gap',
  'sequences follow the acts without a gap',
  'an endpoint has one delivery of an event',
  'a delivery says what came of it',
  'what was delivered has arrived',
  'what arrived had a delivery',
  'what arrives again is the same',
  'what arrives is of the agency whose endpoint it is, and was asked for',
  'events of one referral or case arrive in their order',
  'no event waits for the relay',
  'whoever listens has a delivery',
  'every event was delivered',
]);

function pick(sentences: readonly (keyof typeof RULES)[]): Readonly<Record<string, string>> {
  return Object.fromEntries(sentences.map(sentence => [sentence, RULES[sentence]]));
}
