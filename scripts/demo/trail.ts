import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { type Agency, must } from './agency.ts';
import { expect, expectThat } from './expect.ts';
import type { Stage } from './night.ts';

/** An entry as `GET /v1/audit/entries` tells it, as far as it is looked at here. */
interface Entry {
  /** The bytes that the log holds, in base64. */
  entry: string;
  meta: {
    action: string;
    outcome: 'done' | 'read' | 'denied' | 'failed';
    code: string | null;
    actor: { agency_id: string | null; caseworker: string | null };
  };
}

/** What the trail of this night must show: who (nobody: the service itself) did, saw or was refused what. */
type Line = [who: Agency | null, outcome: Entry['meta']['outcome'], action: string, code?: string];

/** The log is sequenced within a second; this is patience, not a promise. */
const SEQUENCED_WITHIN_MS = 8_000;

/** The ombudsperson follows up a complaint: reads what was done, seen and refused in the case, and finds the agencies' receipts. */
export async function readTheTrail(
  { cast, timeline: { step } }: Stage,
  { case_id, first, second, hidden }: { case_id: string; first: Agency; second: Agency; hidden: readonly string[] },
): Promise<void> {
  const { helpline, inspection, audit_body } = cast;
  step(audit_body.name, 'is handed the number of the case, and the receipts that the helpline and the second shelter kept');
  const expected: Line[] = [
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
    [inspection, 'denied', 'case.read', 'not_visible'],
    [inspection, 'denied', 'referral.read', 'not_visible'],
    [inspection, 'denied', 'referral.accept', 'not_visible'],
    [helpline, 'done', 'consent.withdraw'],
  ];
  const isIn = (entries: Entry[]) => {
    return ([who, outcome, action, code]: Line) =>
      entries.some(
        ({ meta }) =>
          meta.actor.agency_id === (who?.id ?? null) &&
          meta.outcome === outcome &&
          meta.action === action &&
          (!code || meta.code === code),
      );
  };

  let entries: Entry[];
  const patience = performance.now() + SEQUENCED_WITHIN_MS;
  for (;;) {
    entries = await readEntries(audit_body, case_id);
    if (expected.every(isIn(entries)) || performance.now() > patience) break;
    await pause(250);
  }
  for (const line of expected) {
    const [who, outcome, action, code] = line;
    const words = `${action} (${code ? `${outcome}, ${code}` : outcome}) by ${who?.name ?? 'the service itself'}`;
    expectThat(`the trail of the case shows ${words}`, isIn(entries)(line), `${entries.length} entries without it`);
  }
  const text = JSON.stringify(entries.map(({ meta }) => meta));
  expectThat('the trail holds ids and codes, nothing of the person', !hidden.some(secret => text.includes(secret)));
  const deliveries = entries.filter(({ meta }) => meta.action === 'delivery.attempt').length;
  const count = (outcome: string, by_agency: boolean) =>
    entries.filter(({ meta }) => meta.outcome === outcome && (meta.actor.agency_id !== null) === by_agency).length;
  const by_itself = count('done', false) - deliveries;
  step(
    audit_body.name,
    `reads ${entries.length} entries: ${count('done', true)} acts of agencies, ${count('read', true)} reads, ${count('denied', true)} refusals, ` +
      `${by_itself} things that the service did by itself, ${deliveries} deliveries`,
  );

  const leaves = new Set(entries.map(({ entry }) => leafHash(Buffer.from(entry, 'base64'))));
  for (const { name, receipts } of [helpline, second]) {
    const found = receipts.filter(receipt => leaves.has(receipt)).length;
    expectThat(`receipts of ${name} are found in the trail`, found >= 3, `${found} of ${receipts.length}`);
    step(audit_body.name, `finds ${found} receipts of ${name} among them: what it was told had happened is what was recorded`);
  }
  expect('every entry stands there once', leaves.size, entries.length);
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
