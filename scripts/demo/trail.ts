import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { type Agency, must } from './agency.ts';
import { expect, expectThat } from './expect.ts';
import type { Night } from './night.ts';
import { AT_THE_DUTY_DESK } from './scenes/telephone.ts';
import type { Stage } from './stage.ts';
import { PRIVATE } from './story.ts';

/** An entry as `GET /v1/audit/entries` tells it, as far as it is looked at here. */
interface Entry {
  /** The bytes that the log holds, in base64. */
  entry: string;
  meta: {
    action: string;
    outcome: 'done' | 'read' | 'denied' | 'failed';
    code: string | null;
    lawful_ground: string | null;
    actor: { agency_id: string | null; caseworker: string | null };
  };
  subjects: { record?: Record<string, unknown> }[];
}

/** Somebody looked up what is none of their business. */
export interface Refusal {
  who: Agency;
  case_id: string;
  action: 'case.read' | 'referral.read';
}

/** What the trail of this night must show: who (nobody: the service itself) did, saw or was refused what. */
type Line = [who: Agency | null, outcome: Entry['meta']['outcome'], action: string, code?: string];

/** The log is sequenced within a second; this is patience, not a promise. */
const SEQUENCED_WITHIN_MS = 8_000;

/**
 * The ombudsperson follows up a complaint of the first caller: reads what was done, seen and refused in her case, and finds the
 * agencies' receipts. Then the other cases, for what was said by telephone and what was done by law instead of consent.
 */
export async function followUpComplaint(stage: Stage, night: Night, refusals: readonly Refusal[]): Promise<void> {
  const { cast, timeline } = stage;
  const { step } = timeline;
  const { helpline, inspection, audit_body } = cast;
  const { matter, first, second } = night.call;
  step(audit_body.name, 'is handed the number of the first case, and the receipts that the helpline and the shelter kept');
  const on_the_walk = refusals.filter(({ case_id }) => case_id === matter.case_id);
  const entries = await readTrail(audit_body, matter.case_id, [
    [helpline, 'done', 'case.open'],
    [helpline, 'done', 'consent.give'],
    [helpline, 'done', 'referral.make'],
    [null, 'done', 'referral.offer'],
    [null, 'done', 'referral.expire'],
    [second, 'read', 'referral.read'],
    [second, 'done', 'referral.receive'],
    [second, 'done', 'referral.request_information'],
    [helpline, 'read', 'referral.read'],
    [helpline, 'done', 'referral.provide_information'],
    [second, 'done', 'referral.accept'],
    [second, 'read', 'case.read'],
    [first, 'denied', 'referral.accept', 'wrong_state'],
    [second, 'done', 'referral.confirm_handover'],
    [inspection, 'denied', 'referral.accept', 'not_visible'],
    [helpline, 'done', 'consent.withdraw'],
    ...on_the_walk.map(({ who, action }): Line => [who, 'denied', action, 'not_visible']),
  ]);
  const deliveries = entries.filter(({ meta }) => meta.action === 'delivery.attempt').length;
  const count = (outcome: string, by_agency: boolean) =>
    entries.filter(({ meta }) => meta.outcome === outcome && (meta.actor.agency_id !== null) === by_agency).length;
  const refused = count('denied', true);
  expect('every refusal stands there, and no other', refused, REFUSED_BEFORE + on_the_walk.length);
  step(
    audit_body.name,
    `reads ${entries.length} entries: ${count('done', true)} acts of agencies, ${count('read', true)} reads, ${refused} refusals, ` +
      `${count('done', false) - deliveries} things that the service did by itself, ${deliveries} deliveries`,
  );

  const leaves = new Set(entries.map(({ entry }) => leafHash(Buffer.from(entry, 'base64'))));
  for (const { name, receipts } of [helpline, second]) {
    const found = receipts.filter(receipt => leaves.has(receipt)).length;
    expectThat(`receipts of ${name} are found in the trail`, found >= 3, `${found} of ${receipts.length}`);
    step(audit_body.name, `finds ${found} receipts of ${name} among them: what it was told had happened is what was recorded`);
  }
  expect('every entry stands there once', leaves.size, entries.length);
  await readTheOthers(stage, night);
}

/** In the first case, before every agency looked up everything: who came too late, and three attempts of the inspection. */
const REFUSED_BEFORE = 4;

async function readTheOthers({ cast, timeline: { step } }: Stage, { found, contested, missed }: Night): Promise<void> {
  const { helpline, inspection, prosecution, audit_body } = cast;
  const of_the_call = await readTrail(audit_body, contested.matter.case_id, [
    [helpline, 'done', 'referral.accept'],
    [contested.contester, 'done', 'referral.contest'],
    [contested.contester, 'done', 'referral.decline', 'no_capacity'],
    [contested.taker, 'done', 'referral.accept'],
  ]);
  const recorded = of_the_call.find(({ meta }) => meta.action === 'referral.accept' && meta.actor.agency_id === helpline.id);
  const { told_by_channel, told_by_staff_code } = recorded?.subjects[0]?.record ?? {};
  expect('who said yes on which line', [told_by_channel, told_by_staff_code], ['phone', AT_THE_DUTY_DESK]);
  step(audit_body.name, 'finds who wrote down the yes on the telephone, who is said to have given it, and who contested it');

  await readTrail(audit_body, missed.matter.case_id, [
    [missed.waiter, 'done', 'referral.report_no_show'],
    [missed.taker, 'done', 'referral.confirm_handover'],
  ]);
  await readTrail(audit_body, found.woman.case_id, [[inspection, 'denied', 'referral.make', 'consent_missing']]);
  const by_law = await readTrail(audit_body, found.nameless.case_id, [
    [inspection, 'done', 'referral.make'],
    [inspection, 'denied', 'referral.review_ground', 'forbidden'],
    [inspection, 'done', 'referral.review_ground', 'upheld'],
    [prosecution, 'done', 'referral.accept'],
  ]);
  const grounds = by_law.filter(({ meta }) => meta.action === 'referral.make').map(({ meta }) => meta.lawful_ground);
  expect('the law that was named', grounds, ['mandatory_report']);
  step(
    audit_body.name,
    "finds the referral that the woman's no stopped, and who named the law in place of a consent, and who upheld it",
  );
}

/**
 * @returns the entries of a case, newest first, when all that is expected stands there
 * @throws NotAsTold where something is missing, or the trail holds more than ids and codes
 */
async function readTrail(auditor: Agency, case_id: string, expected: readonly Line[]): Promise<Entry[]> {
  let entries: Entry[];
  const patience = performance.now() + SEQUENCED_WITHIN_MS;
  const isThere = ([who, outcome, action, code]: Line) =>
    entries.some(
      ({ meta }) =>
        meta.actor.agency_id === (who?.id ?? null) &&
        meta.outcome === outcome &&
        meta.action === action &&
        (!code || meta.code === code),
    );
  for (;;) {
    entries = await readEntries(auditor, case_id);
    if (expected.every(isThere) || performance.now() > patience) break;
    await pause(250);
  }
  for (const line of expected) {
    const [who, outcome, action, code] = line;
    const words = `${action} (${code ? `${outcome}, ${code}` : outcome}) by ${who?.name ?? 'the service itself'}`;
    expectThat(`the trail of the case shows ${words}`, isThere(line), `${entries.length} entries without it`);
  }
  const text = JSON.stringify(entries.map(({ meta, subjects }) => ({ meta, subjects })));
  expectThat('the trail holds ids and codes, nothing of the person', !PRIVATE.some(secret => text.includes(secret)));
  return entries;
}

/** Every page of it, newest first. */
async function readEntries(auditor: Agency, case_id: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (let cursor = ''; ; ) {
    const path = `/v1/audit/entries?case_id=${case_id}&limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`;
    const { data, next_cursor } = must(await auditor.worker.get(path), 200, 'the audit body reads the trail of the case').body;
    entries.push(...data);
    if (next_cursor === null) return entries;
    cursor = next_cursor;
  }
}

const leafHash = (entry: Buffer): string =>
  createHash('sha256')
    .update(Buffer.from([0]))
    .update(entry)
    .digest('hex');
