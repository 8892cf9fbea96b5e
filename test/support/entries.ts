import { createHash, createHmac } from 'node:crypto';
import type { Test } from 'tap';
import { startTestApp, type TestApp } from './app.ts';
import { type Client, type Mechanism, mechanism } from './mechanism.ts';
import { ok, startNight } from './night.ts';

/** A row of `GET /v1/audit/entries`, as somebody reads it who knows the published formats and nothing of this code. */
export interface Entry {
  index: number;
  entry_id: string;
  entry: string;
  receipt: string;
  meta: {
    v: number;
    at: string;
    action: string;
    outcome: string;
    actor: { agency_id: string | null; client_id: string; caseworker: string | null; assurance: string };
    resource_type: string;
    code: string | null;
    lawful_ground: string | null;
    request_id: string | null;
    subjects: number;
  };
  salt_meta: string;
  salt_personal: string;
  subjects: { commit: string; record?: Record<string, unknown>; salt?: string; erased?: true }[];
}

/** A test database in which one night has happened, and those who read its trail. */
export async function startTrail(t: Test, env: NodeJS.ProcessEnv = {}) {
  const test: TestApp = await startTestApp(t, env);
  const they: Mechanism = await mechanism(test);
  const night = await startNight(they.as('helpline_a'));
  return {
    ...test,
    ...they,
    ...night,
    night,
    body: they.as('audit_body'),
    auditorOf: (key: Parameters<Mechanism['as']>[0]) => they.as(key, 'supervisor'),
  };
}

export const entriesFor = async (auditor: Client, query = ''): Promise<Entry[]> =>
  ok(await auditor.get(`/v1/audit/entries?limit=200${query && `&${query}`}`)).data;

/** All entries, page by page. */
export async function everyEntry(auditor: Client, query = ''): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page = ok(await auditor.get(`/v1/audit/entries?limit=200${query && `&${query}`}${cursor && `&cursor=${cursor}`}`));
    entries.push(...page.data);
    cursor = page.next_cursor;
  }
  return entries;
}

export const actions = (entries: readonly Entry[]): string[] => entries.map(({ meta }) => meta.action);

/** RFC 8785 for what a record may hold here: ASCII names, strings, integers, booleans, null. */
const canonical = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const members = Object.keys(value)
    .sort()
    .map(name => `${JSON.stringify(name)}:${canonical(value[name as never])}`);
  return `{${members.join(',')}}`;
};

const hmac = (salt: Buffer, ...message: (string | Buffer)[]): Buffer =>
  message.reduce((mac, part) => mac.update(part), createHmac('sha256', salt)).digest();

const bytes = (base64: string): Buffer => Buffer.from(base64, 'base64');

/** Recomputes every commitment of the entry and says which do not hold. */
export function faultsOf(row: Entry): string[] {
  const faults: string[] = [];
  const hold = (what: string, is: Buffer, claimed: Buffer) => is.equals(claimed) || faults.push(what);
  const commits = row.subjects.map(({ commit }) => bytes(commit));
  const commit_meta = hmac(bytes(row.salt_meta), 'nrm-audit-meta/v1\n', canonical(row.meta));
  const commit_personal = hmac(
    bytes(row.salt_personal),
    'nrm-audit-personal/v1\n',
    Buffer.concat(commits.toSorted(Buffer.compare)),
  );
  const entry = Buffer.concat([Buffer.from('nrm-audit/v1\n'), bytes(row.entry_id), commit_meta, commit_personal]);
  hold('entry', entry, bytes(row.entry));
  hold('length', Buffer.of(entry.length), Buffer.of(93));
  hold('receipt', createHash('sha256').update(Buffer.of(0)).update(bytes(row.entry)).digest(), Buffer.from(row.receipt, 'hex'));
  if (row.meta.subjects !== commits.length) faults.push('number of subjects');
  for (const { commit, record, salt } of row.subjects) {
    if (record) hold('subject', hmac(bytes(salt!), 'nrm-audit-subject/v1\n', canonical(record)), bytes(commit));
  }
  return faults;
}
