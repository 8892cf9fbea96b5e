import { revokeAgain } from './access/commands.ts';
import { listClientIds, listRevokedClients } from './access/store.ts';
import { eraseByIndex } from './audit/erasure.ts';
import { type JournalLine, journalPath, noteInJournal, readJournal, sameLine } from './audit/journal.ts';
import { insertLine, listJournal } from './audit/journal-store.ts';
import { listConsentIds, listWithdrawnConsents } from './cases/consent-store.ts';
import { withdrawAgain } from './cases/consents.ts';
import { type Actor, systemActor } from './core/access.ts';
import { ConfigError } from './platform/config.ts';
import { asSystem, type Tx, transact } from './platform/database.ts';
import type { Services } from './services.ts';

/**
 * Makes true again what the journal beside the ledger says and this database does not know of: it was restored from a backup that
 * is older. Each line in a transaction of its own, with what the line says noted in the same one: whoever stops in between goes on.
 * @returns how many lines it did not know of
 * @throws ConfigError where the journal cannot be read, or not all of it could be made true
 */
export async function applyJournal(services: Services): Promise<number> {
  const lines = await readJournal(journalPath(services.config.log.ledger_path));
  const rows = await transact(services, SETUP, listJournal);
  if (rows.some(({ kept_at }) => kept_at !== null) && lines.length === 0)
    services.log.error('the journal is empty, and is written again: was it lost, or is it another one?');
  if (rows.length === 0 && lines.length === 0) await noteWhatIsSo(services);
  const known = new Set(rows.map(sameLine));
  const missing = lines.filter(line => !known.has(sameLine(line)));
  // What was erased may have been erased again since: that says nothing new, and must be done.
  for (const { kind, id_hash } of lines)
    if (kind === 'erased') await transact(services, SETUP, tx => eraseByIndex(services, tx, SETUP, id_hash));
  if (missing.length === 0) return 0;
  services.log.warn({ lines: missing.length }, 'the journal says what this database does not know of: it was restored');
  const ids = await idsOf(services, missing);
  let failed = 0;
  for (const line of missing) {
    const { kind, id_hash, details, at } = line;
    const applied = transact(services, ACTORS[kind], async tx => {
      await apply(services, tx, line, ids.get(id_hash.toString('base64')));
      await insertLine(tx, { kind, id_hash, details, at, kept_at: services.now() });
    });
    // One that fails must not hold up the others.
    await applied.catch(error => {
      failed += 1;
      services.log.error({ err: error }, 'a line of the journal could not be applied');
    });
  }
  services.wake_up.notify();
  if (failed > 0)
    throw new ConfigError(`${failed} lines of the journal could not be applied: the database is not what was acknowledged`);
  return missing.length;
}

/** A journal begins with what had been withdrawn and revoked before there was one. */
const noteWhatIsSo = (services: Services): Promise<void> =>
  transact(services, SETUP, async tx => {
    for (const { id, at } of await asSystem(tx, 'clock', listWithdrawnConsents))
      noteInJournal(services, tx, { kind: 'withdrawn', id, at });
    for (const { id, at } of await listRevokedClients(tx)) noteInJournal(services, tx, { kind: 'revoked', id, at });
  });

const SETUP = systemActor('setup');
const ACTORS = { erased: SETUP, withdrawn: systemActor('clock'), revoked: SETUP } satisfies Record<JournalLine['kind'], Actor>;

async function apply(services: Services, tx: Tx, { kind, id_hash, details }: JournalLine, id: string | undefined): Promise<void> {
  if (kind === 'erased') await eraseByIndex(services, tx, ACTORS.erased, id_hash);
  // What is not there was made after the backup, and lost with all that followed.
  else if (kind === 'withdrawn' && id !== undefined) await withdrawAgain(services, tx, ACTORS.withdrawn, id, details);
  else if (kind === 'revoked' && id !== undefined) await revokeAgain(services, tx, ACTORS.revoked, id);
}

/** The ids behind the hashes of grants and clients: every one there is has to be hashed. */
async function idsOf({ pool, vault }: Services, lines: readonly JournalLine[]): Promise<Map<string, string>> {
  const wanted = new Set(lines.filter(({ kind }) => kind !== 'erased').map(({ id_hash }) => id_hash.toString('base64')));
  const found = new Map<string, string>();
  if (wanted.size === 0) return found;
  const ids = await transact({ pool }, SETUP, async tx => {
    return [...(await asSystem(tx, 'trail', listConsentIds)), ...(await listClientIds(tx))].map(({ id }) => id);
  });
  for (const id of ids) {
    const hash = vault.subjectIndex(id).toString('base64');
    if (wanted.has(hash)) found.set(hash, id);
  }
  return found;
}
