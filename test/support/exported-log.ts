/**
 * A log of some entries with what an auditor keeps of it, the same in every run; and what may be done to it.
 */
import { createPrivateKey, hash, type KeyObject } from 'node:crypto';
import type { Demands } from '../../src/audit/verify-log.ts';
import { auditEntry, canonicalJson, commitMeta, commitPersonal, commitSubject, leafHash } from '../../src/core/canonical.ts';
import { formatCheckpoint, openCheckpoint } from '../../src/core/checkpoint.ts';
import { appendLeaves } from '../../src/core/merkle.ts';
import {
  cosign,
  formatVerifierKey,
  parseVerifierKey,
  rawPublicKey,
  signNote,
  TYPE_COSIGNATURE,
  TYPE_ED25519,
} from '../../src/core/signed-note.ts';

export const SIZE = 600;
export const ORIGIN = 'nrm.example/log';
const WITNESSES = ['court.example', 'council.example'];

/** The same bytes for the same name in every run, as chance would have them. */
export const bytes = (name: string, length = 32): Buffer => hash('sha512', name, 'buffer').subarray(0, length);
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
export const privateKey = (name: string): KeyObject =>
  createPrivateKey({ key: Buffer.concat([PKCS8, bytes(name)]), format: 'der', type: 'pkcs8' });
export const verifierLine = (name: string, type = TYPE_ED25519, key = privateKey(name)) =>
  formatVerifierKey({ name, type, public_key: rawPublicKey(key) });

export const log_key = parseVerifierKey(verifierLine(ORIGIN));
export const witnesses = WITNESSES.map(name => parseVerifierKey(verifierLine(name, TYPE_COSIGNATURE)));
export const DEMANDS: Demands = { log_key, witnesses: [], quorum: 0, receipts: new Set(), part: false };

const LAST = SIZE - 1;
const isErased = (index: number): boolean => index % 7 === 0;

export interface Line {
  index: number;
  entry: string;
  meta: Record<string, unknown>;
  salt_meta: string;
  salt_personal: string;
  subjects: { commit: string; record?: Record<string, unknown>; salt?: string; erased?: true }[];
}

/**
 * Every third has no subject, every fifth a record that may not be opened, every seventh an erased one; the last lists what was
 * erased.
 */
export function lineOf(index: number, code: string | null = null, at = Date.UTC(2026, 0, 1) + index * 1_000): Line {
  const count = index % 3;
  const meta = {
    v: 1,
    at: new Date(at).toISOString(),
    action: index === LAST ? 'audit.erase' : 'case.read',
    code,
    subjects: count,
  };
  const subjects = Array.from({ length: count }, (_, i) => {
    const salt = bytes(`salt ${index} ${i}`);
    const said = index === LAST ? { erased: ERASED } : { changed: ['name'], note: 'مريم' };
    const record = { subject_id: `cas_${index}_${i}`, ...said };
    return { commit: commitSubject(salt, canonicalJson(record)), record, salt };
  }).sort((a, b) => Buffer.compare(a.commit, b.commit));
  const salt_meta = bytes(`meta ${index}`);
  const salt_personal = bytes(`personal ${index}`);
  const commits = subjects.map(({ commit }) => commit);
  const meta_commit = commitMeta(salt_meta, canonicalJson(meta));
  return {
    index,
    entry: auditEntry(bytes(`id ${index}`, 16), meta_commit, commitPersonal(salt_personal, commits)).toString('base64'),
    meta,
    salt_meta: salt_meta.toString('base64'),
    salt_personal: salt_personal.toString('base64'),
    subjects: subjects.map(({ commit, record, salt }) => ({
      commit: commit.toString('base64'),
      ...(isErased(index) ? { erased: true } : index % 5 === 0 ? {} : { record, salt: salt.toString('base64') }),
    })),
  };
}

const ERASED = Array.from({ length: LAST }, (_, index) => index)
  .filter(isErased)
  .flatMap(index => lineOf(index).subjects.map(({ commit }) => commit));

export const entryOf = (line: Line) => Buffer.from(line.entry, 'base64');
export const receiptOf = (line: Line) => leafHash(entryOf(line)).toString('hex');
export const grown = (lines: readonly Line[]) =>
  appendLeaves(
    new Map(),
    0,
    lines.map(line => leafHash(entryOf(line))),
  );

export function noteOf(lines: readonly Line[], key = privateKey(ORIGIN)): string {
  const text = formatCheckpoint({ origin: ORIGIN, size: lines.length, root: grown(lines).root });
  const cosignatures = WITNESSES.map((name, i) => cosign(text, { name, key: privateKey(name), time: 1_800_000_000 + i }));
  return signNote(text, { name: ORIGIN, key }) + cosignatures.join('');
}

export const exportOf = (note: unknown, lines: readonly unknown[]): string =>
  [{ checkpoint: note }, ...lines].map(line => `${JSON.stringify(line)}\n`).join('');

export const LINES = Array.from({ length: SIZE }, (_, index) => lineOf(index));
export const NOTE = noteOf(LINES);
export const NDJSON = exportOf(NOTE, LINES);

export const lie = (message: string | RegExp) => ({ name: 'Lie', message });
export const unreadable = (message: string | RegExp) => ({ name: 'Unreadable', message });
export const altered = (index: number, change: (line: Line) => void, lines = LINES): string => {
  const copy = structuredClone(lines);
  change(copy[index]!);
  return exportOf(NOTE, copy);
};
export const kept = (note: string) => openCheckpoint(note, { origin: ORIGIN, log_key });
export const flip = (text: string, at = 0): string => {
  const all = Buffer.from(text, 'base64');
  all[at]! ^= 1;
  return all.toString('base64');
};
/** The whole log again with another entry 300, and signed. */
export const REWRITTEN = LINES.map(line => (line.index === 300 ? lineOf(300, 'other') : line));
