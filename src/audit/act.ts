import { type Insertable, sql } from 'kysely';
import type { AgencyActor } from '../core/access.ts';
import { Problem, type ProblemCode } from '../core/problem.ts';
import { type Gathered, voiceOf } from '../platform/conversation.ts';
import { asSystem, type Tx, transact } from '../platform/database.ts';
import type { IdempotencyKeyTable } from '../platform/tables.ts';
import type { Services } from '../services.ts';
import { record } from './record.ts';
import { findNamedSubject } from './store.ts';

/** What an act answers: the resource as the caller may now see it, and the receipt of the act's entry in the trail. */
export interface Outcome<View> {
  view: View;
  receipt: string;
  /** The key of the request was used before; nothing was done again. */
  replayed: boolean;
}

export interface Done {
  id: string;
  receipt: string;
  /** A secret that this answer, and no other, holds. */
  shown_once?: Record<string, unknown>;
}

/** What is said before the idempotency key is looked at (the order of checks of the HTTP contract), and what is no answer. */
const SAID_FIRST: readonly ProblemCode[] = [
  'not_found',
  'forbidden',
  'access_reason_required',
  'agency_suspended',
  'caseworker_not_active',
  'service_unavailable',
];

/**
 * One act of an agency: one transaction that does it, records it, and answers what the resource now is. With an idempotency
 * key, the key is remembered in that same transaction; used again, it answers the resource as it is now, and does nothing.
 *
 * @param view reads the resource for the answer, as the caller
 * @param run does the act; an `id` that `view` can read, and the receipt from `record`
 * @param load what `run` looks at, asked for and locked in one go; changes nothing. Said before it is known whether the key was
 *   used: a replay waits for the same locks
 * @throws Problem what `run` throws, and `idempotency_in_progress`, `idempotency_mismatch`, `secret_already_shown`
 */
export async function act<View extends object, Loaded = undefined>(
  services: Services,
  actor: AgencyActor,
  action: string,
  view: (tx: Tx, id: string) => Promise<View>,
  run: (tx: Tx, now: Date, loaded: Loaded) => Promise<Done>,
  load: (tx: Tx) => Promise<Loaded> = async () => undefined as Loaded,
): Promise<Outcome<View>> {
  const attempt = (ahead: boolean) =>
    transact(services, actor, async (tx): Promise<Outcome<View>> => {
      const asking = findRemembered(tx, actor);
      // Said behind the question for the key, without waiting for its answer.
      const loading = ahead ? load(tx) : undefined;
      loading?.catch(() => {});
      const remembered = await asking;
      const now = services.now();
      const loadAndRun = async () => run(tx, now, await (loading ?? load(tx)));
      if (remembered) {
        const is_same = remembered.fingerprint.equals(services.vault.requestFingerprint(actor.request.idempotency!.content));
        // A replay must not fall with what it does not need.
        if (is_same && loading && !(await succeeds(loading))) throw new ReplayApart();
        return replay(services, tx, actor, action, { ...remembered, is_same }, view, loadAndRun);
      }
      const { id, receipt, shown_once } = await loadAndRun();
      remember(services, tx, actor, id, shown_once !== undefined, now);
      return { view: { ...(await view(tx, id)), ...shown_once }, receipt, replayed: false };
    });
  const outcome = await attempt(true).catch(error => {
    if (error instanceof ReplayApart) return attempt(false);
    throw error;
  });
  services.wake_up.notify();
  return outcome;
}

/** What an act looks at was refused, but its key had been used: what it answered is answered in a transaction of its own. */
class ReplayApart extends Problem {
  constructor() {
    super('idempotency_in_progress', { retry_after: 1 });
  }
}

const succeeds = (work: Promise<unknown>): Promise<boolean> =>
  work.then(
    () => true,
    () => false,
  );

interface Remembered {
  fingerprint: Buffer;
  resource_id: string;
  holds_secret: boolean;
}

async function findRemembered(tx: Tx, actor: AgencyActor): Promise<Remembered | undefined> {
  const key = actor.request.idempotency?.key;
  if (key === undefined) return undefined;
  // Held until this transaction ends, so a second use either sees the first one's row or is told to wait.
  const { rows } = await sql<Remembered>`select * from use_key(${actor.client_id}, ${key})`.execute(tx);
  return rows[0];
}

function remember({ vault }: Services, tx: Tx, actor: AgencyActor, resource_id: string, holds_secret: boolean, now: Date): void {
  const used = actor.request.idempotency;
  if (!used) return;
  const { client_id, agency_id } = actor;
  const fingerprint = vault.requestFingerprint(used.content);
  voiceOf(tx).gather(UsedKey).row = {
    client_id,
    key: used.key,
    agency_id,
    fingerprint,
    resource_id,
    holds_secret,
    created_at: now,
  };
}

/** Goes with the commit: nothing else in the transaction looks for it. */
class UsedKey implements Gathered {
  readonly before = 'the commit';
  readonly rank = 1;
  row: Insertable<IdempotencyKeyTable> | undefined;

  *statements(): Iterable<[text: string, values: unknown[]]> {
    const { client_id, key, agency_id, fingerprint, resource_id, holds_secret, created_at } = this.row!;
    yield [REMEMBER, [client_id, key, agency_id, fingerprint, resource_id, holds_secret, created_at]];
  }
}

const REMEMBER = `insert into idempotency_keys (client_id, key, agency_id, fingerprint, resource_id, holds_secret, created_at)
  values ($1, $2, $3, $4, $5, $6, $7)`;

async function replay<View extends object>(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  action: string,
  remembered: Remembered & { is_same: boolean },
  view: (tx: Tx, id: string) => Promise<View>,
  tryAct: () => Promise<unknown>,
): Promise<Outcome<View>> {
  if (!remembered.is_same) {
    // Tried and rolled back: a caller who may not do this at all must not learn that the key was used.
    await tryAct().catch(error => {
      if (!(error instanceof Problem) || SAID_FIRST.includes(error.code)) throw error;
    });
    throw new Problem('idempotency_mismatch');
  }
  if (remembered.holds_secret) throw new Problem('secret_already_shown');
  const shown = await view(tx, remembered.resource_id);
  // As the trail, which finds the case's key also where the act was the last that the caller could know of it.
  const receipt = await asSystem(tx, 'trail', async tx => {
    const subject = await findNamedSubject(tx, remembered.resource_id);
    return record(services, tx, actor, {
      action,
      outcome: 'read',
      resource_type: action.split('.')[0]!,
      code: 'idempotency_replayed',
      subjects: [subject],
      ...(subject.subject_id === remembered.resource_id ? {} : { subjects_withheld: [subject.subject_id] }),
    });
  });
  return { view: shown, receipt, replayed: true };
}
