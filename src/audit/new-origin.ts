import pg from 'pg';
import { findCaseworkerByCode } from '../access/store.ts';
import { findAgency } from '../agencies/store.ts';
import { systemActor } from '../core/access.ts';
import { formatCheckpoint } from '../core/checkpoint.ts';
import { EMPTY_ROOT } from '../core/merkle.ts';
import { signNote } from '../core/signed-note.ts';
import { ConfigError } from '../platform/config.ts';
import { transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { alarmNotice } from './alarm.ts';
import { openFileLedger, sameHead, type TreeHead } from './ledger.ts';
import { openLogKey } from './log-key.ts';
import { RECORD_COLUMNS } from './log-store.ts';
import { type Act, record } from './record.ts';

/**
 * The log begins anew under another origin ("Tree, sequencing, checkpoint", step 5): where acknowledged history was lost, nothing may
 * be signed under the old one ever again. Two people say so. The new log's first entry names what the ledger knew and what the
 * database has; every entry that there is follows it, in its old order and with its bytes, so that what receipts there are can be
 * proven. The old ledger stays what it is, as evidence.
 */

/** A person: who is asked of, and the staff code there. */
export interface Person {
  agency_id: string;
  staff_code: string;
}

const PROPOSAL = 'new_origin';
const CONFIRMED_WITHIN_MS = 24 * 3_600_000;
const SETUP = systemActor('setup');

interface Proposal {
  origin: string;
  by: string;
  /** Whether of the audit body: whoever relies on the log has to know that it was broken off. */
  is_auditor: boolean;
  at: string;
  heads: string;
}

/**
 * The first person proposes, the second opens it. What sequences must be at rest: it comes back with the new settings.
 * @param owner_url who owns the tables: nobody else may move what is in the log
 * @returns null where it was proposed; else the new log's verifier key
 * @throws ConfigError where log and ledger agree, the people are not two, or not who they must be
 */
export async function openNewOrigin(
  services: Services,
  owner_url: string,
  { origin, person }: { origin: string; person: Person },
): Promise<string | null> {
  const { config, now } = services;
  const { by, is_auditor } = await requirePerson(services, person);
  const owner = new pg.Client({ connectionString: owner_url });
  await owner.connect();
  try {
    await requireOwner(owner);
    const { heads, old_origin } = await compare(owner, config.log.ledger_path);
    if (origin === old_origin) throw new ConfigError(`the log's origin is ${origin} already`);
    const { rows } = await owner.query<{ value: Proposal }>('select value from deployment where name = $1', [PROPOSAL]);
    const proposal = rows[0]?.value;
    const is_open = proposal && now().getTime() - new Date(proposal.at).getTime() < CONFIRMED_WITHIN_MS;
    if (!is_open || proposal.origin !== origin || proposal.heads !== heads) {
      const value: Proposal = { origin, by, is_auditor, at: now().toISOString(), heads };
      await owner.query(
        `insert into deployment (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value`,
        [PROPOSAL, JSON.stringify(value)],
      );
      await tellAuditBodies(services, {
        action: 'audit.propose_origin',
        code: heads,
        subjects: [{ subject_id: 'trail', proposed_by: by }],
      });
      return null;
    }
    if (proposal.by === by) throw new ConfigError('it takes two people: somebody else must say the same');
    if (!proposal.is_auditor && !is_auditor) throw new ConfigError('one of the two must be of the audit body');
    const key = openLogKey(config.log.key_path, origin, { create: false });
    const subjects = [{ subject_id: 'trail', old_origin, proposed_by: proposal.by, confirmed_by: by }];
    await tellAuditBodies(services, { action: 'audit.new_origin', code: heads, subjects });
    const checkpoint = signNote(formatCheckpoint({ origin, size: 0, root: EMPTY_ROOT }), key);
    await beginAgain(owner, { origin, verifier_key: key.verifier_key, checkpoint, at: now() });
    return key.verifier_key;
  } finally {
    await owner.end();
  }
}

/** Recorded, and told to every audit body: the names are what whoever runs the command says. */
const tellAuditBodies = (services: Services, said: Pick<Act, 'action' | 'code' | 'subjects'>): Promise<unknown> =>
  transact(services, SETUP, async tx => {
    const code = said.action.slice(said.action.indexOf('.') + 1);
    const events = [await alarmNotice(tx, code, services.now())];
    await record(services, tx, SETUP, { ...said, resource_type: 'audit', subjects_withheld: true, events });
  });

/** @throws ConfigError where the login may not move what is in the log */
async function requireOwner(owner: pg.Client): Promise<void> {
  const { rows } = await owner.query<{ owns: boolean }>(
    `select pg_has_role(relowner, 'usage') as owns from pg_class where oid = 'audit_log'::regclass`,
  );
  if (!rows[0]!.owns) throw new ConfigError('MIGRATE_DATABASE_URL must be the login that owns the tables');
}

/** Whoever may act there under this name. @throws ConfigError where nobody may */
async function requirePerson(
  services: Services,
  { agency_id, staff_code }: Person,
): Promise<{ by: string; is_auditor: boolean }> {
  const [agency, caseworker] = await transact(services, SETUP, tx =>
    Promise.all([findAgency(tx, agency_id), findCaseworkerByCode(tx, agency_id, staff_code)]),
  );
  if (agency?.status !== 'active' || caseworker?.status !== 'active')
    throw new ConfigError(`${agency_id} has no active caseworker ${staff_code}`);
  return { by: `${agency_id}/${staff_code}`, is_auditor: agency.kind === 'audit_body' };
}

/** What the ledger knew, and what the database has. @throws ConfigError where they agree: then nothing was lost */
async function compare(owner: pg.Client, ledger_path: string): Promise<{ heads: string; old_origin: string }> {
  // A path that was mistyped is no reason to give up a log.
  const ledger = await openFileLedger(ledger_path, { create: false });
  const there = await ledger.head().finally(() => ledger.close());
  const { rows } = await owner.query<{ origin: string; size: string; root: Buffer }>('select origin, size, root from audit_head');
  const head = rows[0];
  if (!head) throw new ConfigError('the log has not begun yet');
  const here = { size: Number(head.size), root: head.root };
  if (there.size === 0) throw new ConfigError(`the ledger ${ledger_path} knows of no log: is it the right one?`);
  if (sameHead(there, here)) throw new ConfigError('the log and its ledger agree: nothing was lost');
  return { heads: `ledger ${told(there)} database ${told(here)}`, old_origin: head.origin };
}

const told = ({ size, root }: TreeHead): string => `${size} ${root.toString('base64')}`;

/** Everything that has or had its place waits for one again, behind the entry that says why. */
async function beginAgain(
  owner: pg.Client,
  { origin, verifier_key, checkpoint, at }: { origin: string; verifier_key: string; checkpoint: string; at: Date },
): Promise<void> {
  const columns = RECORD_COLUMNS.join(', ');
  await owner.query('begin');
  try {
    await owner.query(`select pg_advisory_xact_lock(hashtextextended('aman sequencer', 0))`);
    await owner.query('lock table audit_head, audit_pending, audit_log in access exclusive mode');
    // Whoever owns them is bound by the policies, too; the table is locked until they bind again.
    for (const table of ['audit_pending', 'audit_log']) await owner.query(`alter table ${table} no force row level security`);
    const { rows } = await owner.query<{ first: string | null }>(
      `select max(number) as first from audit_pending where action = 'audit.new_origin'`,
    );
    if (rows[0]!.first === null) throw new ConfigError('a sequencer runs: end it first');
    await owner.query(`insert into audit_pending (${columns}) select ${columns} from audit_log order by index`);
    await owner.query(
      `with before as (delete from audit_pending where number < $1 returning number, ${columns})
       insert into audit_pending (${columns}) select ${columns} from before order by number`,
      [rows[0]!.first],
    );
    await owner.query('truncate audit_log, audit_kinds, audit_spans, audit_tiles');
    await owner.query('delete from audit_head');
    await owner.query(
      `insert into audit_head (origin, verifier_key, size, root, checkpoint, at, published_size, published, published_at)
       values ($1, $2, 0, $3, $4, $5, 0, $4, $5)`,
      [origin, verifier_key, EMPTY_ROOT, checkpoint, at],
    );
    await owner.query('delete from deployment where name = $1', [PROPOSAL]);
    for (const table of ['audit_pending', 'audit_log']) await owner.query(`alter table ${table} force row level security`);
    await owner.query('commit');
  } catch (error) {
    await owner.query('rollback');
    throw error;
  }
}
