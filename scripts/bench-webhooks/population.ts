import { join } from 'node:path';
import pg from 'pg';
import { newId } from '../../src/platform/ids.ts';
import { openVault } from '../../src/platform/vault.ts';
import { sealSecret } from '../../src/webhooks/keys.ts';
import type { Model } from '../bench/model.ts';
import { asOwner, copyRow, idOf, insertKeys, oneOf } from '../bench-clocks/population.ts';

/**
 * Agencies that are told of very many referrals of theirs, each with one endpoint. Events are written as acts write them, by bare
 * SQL: what is measured is what becomes of them.
 */

export const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const EVENTS_PER_REFERRAL = 5;

export interface Receiver {
  agency_id: string;
  endpoint_id: string;
}

export interface Place {
  database_url: string;
  dir: string;
}

/** @param urls of their endpoints, one for each agency */
export async function addReceivers(
  { database_url, dir }: Place,
  { kase, referral_id }: Model,
  { urls, referrals, max_per_second }: { urls: readonly string[]; referrals: number; max_per_second: number },
): Promise<Receiver[]> {
  const vault = openVault(join(dir, 'keyring.json'), { create: false });
  const receivers = urls.map((url, i) => ({ agency_id: `agy_${String(i).padStart(26, '0')}`, endpoint_id: newId('whe'), url }));
  await asOwner(database_url, async client => {
    await copyRow(client, 'agencies', kase.owner.id, urls.length, { id: idOf('agy', 'n'), name: `'Sample Agency ' || n` });
    const agency = oneOf(
      receivers.map(({ agency_id }) => agency_id),
      'n',
    );
    await copyRow(client, 'cases', kase.id, referrals, {
      id: idOf('cas', 'n'),
      reference: `'bench ' || n`,
      owner_agency_id: agency,
    });
    await copyRow(client, 'referrals', referral_id, referrals, {
      id: idOf('ref', 'n'),
      reference: `'bench ' || n`,
      case_id: idOf('cas', 'n'),
      owner_agency_id: agency,
      sender_agency_id: agency,
    });
    await insertKeys(client, dir, referrals);
    for (const { endpoint_id, agency_id, url } of receivers) {
      await client.query(
        `insert into webhook_endpoints (id, agency_id, url, event_types, signature, status, secret, max_per_second, created_at, updated_at)
          values ($1, $2, $3, '{*}', '{v1}', 'active', $4, $5, now(), now())`,
        [endpoint_id, agency_id, url, sealSecret(vault, endpoint_id, SECRET), max_per_second],
      );
    }
    await client.query('vacuum analyze');
    await client.query('checkpoint');
  });
  return receivers;
}

/** Writes events from number `from` on, each of them to one agency in turn, and wakes the relay. */
export class Teller {
  readonly #client: pg.Client;
  readonly #receivers: readonly Receiver[];
  #told = 0;

  private constructor(client: pg.Client, receivers: readonly Receiver[]) {
    this.#client = client;
    this.#receivers = receivers;
  }

  static async connect({ database_url }: Place, receivers: readonly Receiver[]): Promise<Teller> {
    const client = new pg.Client(database_url);
    await client.connect();
    return new Teller(client, receivers);
  }

  async tell(count: number): Promise<void> {
    const { length } = this.#receivers;
    // The next of one referral comes when every other has had one.
    const referral = `(n / ${length * EVENTS_PER_REFERRAL} * ${length} + n % ${length})`;
    const agency = oneOf(
      this.#receivers.map(({ agency_id }) => agency_id),
      'n',
    );
    await this.#client.query(
      `insert into events (id, agency_id, type, subject_id, referral_id, case_id, urgent, reaches_always, body, occurred_at)
        select ${idOf('evt', 'n')}, ${agency}, 'referral.accepted', ref, ref, cas, false, false, jsonb_build_object('referral_id', ref,
          'case_id', cas, 'urgency', 'routine', 'agency_id', ${agency}, 'notify', jsonb_build_object('roles', jsonb_build_array('caseworker'))),
          date_trunc('milliseconds', clock_timestamp())
        from generate_series($1::int, $2::int) n, lateral (select ${idOf('ref', referral)} as ref, ${idOf('cas', referral)} as cas) it`,
      [this.#told, this.#told + count - 1],
    );
    this.#told += count;
    await this.#client.query('notify aman_wake_up');
  }

  /** Whether everything told was numbered, and nothing is to be attempted any more. */
  async isDone(): Promise<boolean> {
    const { rows } = await this.#client.query<{ done: boolean }>(
      `select not exists (select from events where position is null)
         and not exists (select from deliveries where next_attempt_at is not null) as done`,
    );
    return rows[0]!.done;
  }

  close(): Promise<void> {
    return this.#client.end();
  }
}
