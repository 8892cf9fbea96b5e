import { randomBytes } from 'node:crypto';
import type { Insertable } from 'kysely';
import type { Actor } from '../core/access.ts';
import { auditEntry, canonicalJson, commitMeta, commitPersonal, leafHash } from '../core/canonical.ts';
import { type EventType, reachesAlways } from '../core/events.ts';
import { Problem } from '../core/problem.ts';
import { type Gathered, voiceOf } from '../platform/conversation.ts';
import { isWorthRetrying, type Tx } from '../platform/database.ts';
import { toJson } from '../platform/gather.ts';
import { newId } from '../platform/ids.ts';
import type { Logger } from '../platform/log.ts';
import type { AuditPendingTable } from '../platform/tables.ts';
import type { Vault } from '../platform/vault.ts';
import { RECORD_COLUMNS } from './log-store.ts';
import { type SubjectRecord, sealSubjects } from './subjects.ts';

export type { SubjectRecord } from './subjects.ts';

/**
 * The hinge of the service: one description of an act becomes its entry in the trail and its events in the outbox, inside the
 * act's own transaction. There is no other way to leave a trace or to tell anybody anything.
 *
 * Bytes and commitments follow the trail contract ("Entry"): `meta` names no case, report, referral, offer or person; those
 * stand in subject records, sealed under the key of the case that they are about.
 */
export interface Act {
  /** `referral.accept`: the noun and the verb of the operation */
  action: string;
  /** Default `done`. */
  outcome?: 'done' | 'read' | 'denied' | 'failed';
  resource_type: string;
  /** A coded reason, or the problem's code of a refusal. */
  code?: string | null;
  lawful_ground?: string | null;
  subjects?: readonly SubjectRecord[];
  /**
   * The subjects are for the audit body alone: the actor asked for what it may not know of. Or those of these cases: it may act
   * on a referral of theirs without knowing them.
   */
  subjects_withheld?: true | readonly string[];
  events?: readonly Notice[];
}

/** One event, and what each recipient is told of it: ids, codes and times. */
export interface Notice {
  type: EventType;
  subject_id: string;
  referral_id?: string | null;
  case_id?: string | null;
  urgent: boolean;
  recipients: readonly Recipient[];
}

export interface Recipient {
  agency_id: string;
  body: Record<string, unknown>;
  /** Of an event about a case: the referral by which alone the recipient knows it, and along which it counts for it. */
  referral_id?: string;
}

interface Context {
  vault: Vault;
  now: () => Date;
  log?: Logger;
}

/**
 * Writes the entry of `act` and its events.
 * @returns the hex leaf hash of the entry: the receipt that the caller keeps
 * @throws Problem `service_unavailable` where it cannot be written: then nothing is done, shown or refused either
 */
export async function record(services: Context, tx: Tx, actor: Actor, act: Act, request_id?: string): Promise<string> {
  const at = services.now();
  const subjects = act.subjects ?? [];
  const who =
    actor.type === 'agency'
      ? { agency_id: actor.agency_id, client_id: actor.client_id, caseworker: actor.caseworker?.staff_code ?? null }
      : { agency_id: null, client_id: `system:${actor.role}`, caseworker: null };
  const outcome = act.outcome ?? 'done';
  const meta = canonicalJson({
    v: 1,
    at: at.toISOString(),
    action: act.action,
    outcome,
    actor: { ...who, assurance: who.caseworker === null ? 'token' : 'asserted' },
    resource_type: act.resource_type,
    code: act.code ?? null,
    lawful_ground: act.lawful_ground ?? null,
    request_id: request_id ?? (actor.type === 'agency' ? actor.request.id : null),
    subjects: subjects.length,
  });

  const entry_id = randomBytes(16);
  const salt_meta = randomBytes(32);
  const salt_personal = randomBytes(32);
  const reader_agency_id = act.subjects_withheld === true ? null : who.agency_id;
  const withheld = act.subjects_withheld === true ? [] : act.subjects_withheld;
  const { commits, rows, referrals } = await sealSubjects(services, tx, entry_id, reader_agency_id, subjects, withheld);
  const entry = auditEntry(entry_id, commitMeta(salt_meta, meta), commitPersonal(salt_personal, commits));
  const event_rows = (act.events ?? []).flatMap(notice => eventRows(notice, at));

  voiceOf(tx)
    .gather(Trail)
    .add(
      {
        entry_id,
        entry,
        meta,
        salt_meta,
        salt_personal,
        subject_commits: commits,
        at,
        ...who,
        action: act.action,
        outcome,
        resource_type: act.resource_type,
        code: act.code ?? null,
        lawful_ground: act.lawful_ground ?? null,
      },
      rows,
      referrals,
      event_rows,
    );
  const receipt = leafHash(entry).toString('hex');
  // By which the events of an act are found, and of the events the act; both stand once the transaction has committed.
  services.log?.debug(
    {
      request_id: request_id ?? (actor.type === 'agency' ? actor.request.id : null),
      action: act.action,
      outcome,
      receipt,
      event_ids: [...new Set(event_rows.map(({ id }) => id))],
    },
    'recorded',
  );
  return receipt;
}

function eventRows(notice: Notice, at: Date) {
  const id = newId('evt');
  return notice.recipients.map(({ agency_id, body, referral_id }) => ({
    id,
    agency_id,
    type: notice.type,
    subject_id: referral_id ?? notice.subject_id,
    referral_id: referral_id ?? notice.referral_id ?? null,
    case_id: notice.case_id ?? null,
    urgent: notice.urgent,
    reaches_always: reachesAlways(notice.type),
    body,
    occurred_at: at,
  }));
}

/** What an act leaves, in one statement: its records, which wait for their place in the log, with their subjects, and the outbox. */
class Trail implements Gathered {
  readonly before = 'the commit';
  readonly rank = 0;
  readonly #rows: Record<keyof typeof TRAIL, object[]> = {
    audit_pending: [],
    audit_subjects: [],
    audit_subject_referrals: [],
    events: [],
  };

  add(record: Insertable<AuditPendingTable>, subjects: object[], referrals: object[], events: object[]): void {
    this.#rows.audit_pending.push(record);
    this.#rows.audit_subjects.push(...subjects);
    this.#rows.audit_subject_referrals.push(...referrals);
    this.#rows.events.push(...events);
  }

  *statements(): Iterable<[text: string, values: unknown[]]> {
    yield [WRITE_TRAIL, TABLES.map(table => toJson(this.#rows[table], TRAIL[table]))];
  }

  explain(error: unknown): never {
    if (isWorthRetrying(error)) throw error;
    throw new Problem('service_unavailable', { cause: error });
  }
}

const TRAIL = {
  audit_pending: RECORD_COLUMNS,
  audit_subjects: ['entry_id', 'ordinal', 'reader_agency_id', 'key_id', 'sealed', 'subject_index'],
  audit_subject_referrals: ['referral_index', 'reader_agency_id', 'entry_id', 'ordinal'],
  events: ['id', 'agency_id', 'type', 'subject_id', 'referral_id', 'case_id', 'urgent', 'reaches_always', 'body', 'occurred_at'],
} as const;
const TABLES = Object.keys(TRAIL) as (keyof typeof TRAIL)[];
const WRITE_TRAIL = `with ${TABLES.map(
  (table, i) =>
    `kept_${table} as (insert into ${table} (${TRAIL[table]})
      select ${TRAIL[table]} from json_populate_recordset(null::${table}, $${i + 1}))`,
)} select`;
