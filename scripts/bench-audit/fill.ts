import { randomFillSync } from 'node:crypto';
import { chmod, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { openFileLedger } from '../../src/audit/ledger.ts';
import { type LogKey, openLogKey } from '../../src/audit/log-key.ts';
import { RECORD_COLUMNS } from '../../src/audit/log-store.ts';
import { isWhole, tileRow } from '../../src/audit/sequencer.ts';
import { auditEntry, canonicalJson, commitMeta, commitPersonal, commitSubject, leafHash } from '../../src/core/canonical.ts';
import { formatCheckpoint } from '../../src/core/checkpoint.ts';
import { appendLeaves, type Edge, EMPTY_ROOT } from '../../src/core/merkle.ts';
import { signNote } from '../../src/core/signed-note.ts';
import { openVault, sealText, type Vault, type WrappedKey } from '../../src/platform/vault.ts';
import type { Server } from '../bench/server.ts';
import type { Deed, Population } from './population.ts';

/**
 * Entries as `record` and the sequencer would leave them, made here and copied in: every byte of them, of the tree and its signed
 * head is as it would be, but for the records of cases that do not exist, which have been forgotten.
 */

const BATCH = 1 << 16;
const LEDGER = 'log-ledger';

/** The log's name. */
export const ORIGIN = 'service.example.invalid/trail';

export interface Filler {
  key: LogKey;
  size: number;
  /** The log goes on up to `to` entries; nobody may be sequencing. */
  fill(to: number): Promise<void>;
  /** So many entries more wait for their place. */
  leavePending(count: number): Promise<void>;
}

/** Fills the log of a database in which there is none yet. */
export async function openFiller(server: Server, database: string, population: Population, real: RealKeys): Promise<Filler> {
  const { dir } = server;
  const vault = openVault(join(dir, 'keyring.json'), { create: false });
  const key = openLogKey(join(dir, 'log-key.pem'), ORIGIN, { create: true });
  const make = maker(vault, real);
  let edge: Edge = new Map();
  let root: Buffer = EMPTY_ROOT;
  let made = 0;

  const filler: Filler = {
    key,
    size: 0,
    async fill(to) {
      const from = filler.size;
      const before = root;
      const client = new pg.Client(server.urlOf(database));
      await client.connect();
      try {
        const restore = await dropIndexes(client);
        // While the server takes in one file, the next one is made.
        let copying: Promise<unknown> = Promise.resolve();
        for (let at = from; at < to; at += BATCH) {
          const files = new Files(dir, at, ['index', 'number']);
          const leaves: Buffer[] = [];
          for (let index = at; index < Math.min(at + BATCH, to); index++) {
            const { record, leaf } = make(population.deed(made++), files);
            files.add('audit_log', `${index},${index},${record}`);
            leaves.push(leaf);
          }
          const grown = appendLeaves(edge, at, leaves);
          ({ edge, root } = grown);
          await copying;
          copying = (async () => {
            await files.copy(client);
            for (const tile of grown.tiles.filter(isWhole)) {
              const { level, index, hashes, root } = tileRow(tile);
              await client.query('insert into audit_tiles values ($1, $2, $3, $4)', [level, index, hashes, root]);
            }
          })();
          copying.catch(() => {});
        }
        await copying;
        await restore();
        const checkpoint = signNote(formatCheckpoint({ origin: ORIGIN, size: to, root }), key);
        await client.query('truncate audit_head');
        await client.query(
          `insert into audit_head (origin, verifier_key, size, root, checkpoint, at, published_size, published, published_at, compared_in)
           values ($1, $2, $3, $4, $5, now(), $3, $5, now(), this_database())`,
          [ORIGIN, key.verifier_key, to, root, checkpoint],
        );
        await client.query('vacuum analyze');
        await client.query('checkpoint');
        const ledger = await openFileLedger(join(dir, LEDGER));
        await ledger.swap({ size: from, root: before }, { size: to, root }, checkpoint).finally(() => ledger.close());
        filler.size = to;
      } finally {
        await client.end();
      }
    },
    async leavePending(count) {
      const client = new pg.Client(server.urlOf(database));
      await client.connect();
      try {
        const files = new Files(dir, 0, []);
        for (let i = 0; i < count; i++) files.add('audit_pending', make(population.deed(made++), files).record);
        await files.copy(client);
        await client.query('analyze audit_pending');
      } finally {
        await client.end();
      }
    },
  };
  return filler;
}

/** Data keys by case; what is about others has been forgotten. */
export type RealKeys = ReadonlyMap<string, Buffer>;

/** The keys of these cases. */
export async function readKeys(server: Server, database: string, ids: readonly string[]): Promise<RealKeys> {
  const vault = openVault(join(server.dir, 'keyring.json'), { create: false });
  const client = new pg.Client(server.urlOf(database));
  await client.connect();
  try {
    const { rows } = await client.query<WrappedKey & { case_id: string }>('select * from case_keys where case_id = any ($1)', [
      ids,
    ]);
    return new Map(rows.map(row => [row.case_id, vault.unwrap(row.case_id, row)]));
  } finally {
    await client.end();
  }
}

const COLUMNS = {
  audit_log: RECORD_COLUMNS,
  audit_pending: RECORD_COLUMNS,
  audit_subjects: ['entry_id', 'ordinal', 'reader_agency_id', 'key_id', 'sealed', 'subject_index'],
  audit_subject_referrals: ['referral_index', 'reader_agency_id', 'entry_id', 'ordinal'],
} as const;
type Table = keyof typeof COLUMNS;

/** CSV files that the server reads itself. */
class Files {
  readonly #lines = new Map<Table, string[]>();
  readonly #dir: string;
  readonly #name: number;
  readonly #first: string[];

  constructor(dir: string, name: number, first: string[]) {
    this.#dir = dir;
    this.#name = name;
    this.#first = first;
  }

  add(table: Table, line: string): void {
    const lines = this.#lines.get(table);
    if (lines) lines.push(line);
    else this.#lines.set(table, [line]);
  }

  async copy(client: pg.Client): Promise<void> {
    for (const [table, lines] of this.#lines) {
      const path = join(this.#dir, `${table}-${this.#name}.csv`);
      const file = await open(path, 'w');
      try {
        for (let at = 0; at < lines.length; at += 4_096) await file.write(`${lines.slice(at, at + 4_096).join('\n')}\n`);
      } finally {
        await file.close();
      }
      await chmod(path, 0o644); // the server may be another user
      const columns = [...(table === 'audit_log' ? this.#first : []), ...COLUMNS[table]];
      await client.query(`copy ${table} (${columns}) from ${pg.escapeLiteral(path)} with (format csv)`).finally(() => rm(path));
    }
  }
}

/** What makes the lines of a deed's record, subjects and referrals. */
function maker(vault: Vault, real: RealKeys) {
  const indices = new Map<string, string>();
  const indexOf = (id: string): string => {
    const known = indices.get(id);
    if (known !== undefined) return known;
    if (indices.size > 100_000) indices.clear();
    const index = hex(vault.subjectIndex(id));
    indices.set(id, index);
    return index;
  };

  return (deed: Deed, files: Files): { record: string; leaf: Buffer } => {
    const { at, agency_id, client_id, caseworker, action, outcome, resource_type, code, lawful_ground } = deed;
    const meta = canonicalJson({
      v: 1,
      at: at.toISOString(),
      action,
      outcome,
      actor: { agency_id, client_id, caseworker, assurance: caseworker === null ? 'token' : 'asserted' },
      resource_type,
      code,
      lawful_ground,
      request_id: `req-${random(8).toString('hex')}`,
      subjects: deed.subjects.length,
    });
    const [entry_id, salt_meta, salt_personal] = [random(16), random(32), random(32)];
    const subjects = deed.subjects
      .map(({ case_id, referral_id }) => {
        const text = canonicalJson({ subject_id: case_id, ...(referral_id === undefined ? {} : { referral_id }) });
        const salt = random(32);
        return { case_id, referral_id, text, salt, commit: commitSubject(salt, text) };
      })
      .sort((a, b) => Buffer.compare(a.commit, b.commit));
    const reader = deed.withheld ? '' : agency_id;
    const id = hex(entry_id);
    for (const [ordinal, { case_id, referral_id, text, salt }] of subjects.entries()) {
      const key = real.get(case_id);
      const place = { table: 'audit_subjects', row: entry_id.toString('hex'), category: 'trail', version: ordinal };
      const sealed = key ? sealText(key, place, `${salt.toString('base64')}\n${text}`) : random(120 + text.length);
      files.add('audit_subjects', `${id},${ordinal},${reader},${case_id},${hex(sealed)},${indexOf(case_id)}`);
      if (referral_id !== undefined) files.add('audit_subject_referrals', `${indexOf(referral_id)},${reader},${id},${ordinal}`);
    }
    const commits = subjects.map(({ commit }) => commit);
    const entry = auditEntry(entry_id, commitMeta(salt_meta, meta), commitPersonal(salt_personal, commits));
    const list = commits.map(commit => `""\\${hex(commit)}""`).join(',');
    const values = [agency_id, client_id, caseworker, action, outcome, resource_type, code, lawful_ground].map(it => it ?? '');
    const record = `${id},${hex(entry)},"${meta.replaceAll('"', '""')}",${hex(salt_meta)},${hex(salt_personal)},"{${list}}",${at.toISOString()},${values}`;
    return { record, leaf: leafHash(entry) };
  };
}

const hex = (bytes: Buffer): string => `\\x${bytes.toString('hex')}`;

const pool = Buffer.alloc(1 << 16);
let used = pool.length;

function random(length: number): Buffer {
  if (used + length > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += length;
  return Buffer.from(pool.subarray(used - length, used));
}

/** Those that can be made again faster than they are kept. @returns what makes them again */
async function dropIndexes(client: pg.Client): Promise<() => Promise<void>> {
  const { rows } = await client.query<{ name: string; definition: string }>(
    `select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition from pg_index i
     where i.indrelid = any ('{audit_log,audit_subjects,audit_subject_referrals}'::regclass[]) and not i.indisunique`,
  );
  for (const { name } of rows) await client.query(`drop index ${name}`);
  return async () => {
    await client.query(`set maintenance_work_mem = '512MB'`);
    for (const { definition } of rows) await client.query(definition);
  };
}
