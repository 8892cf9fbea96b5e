import { type Kysely, sql } from 'kysely';

/** Receivers with a PKI of their own: sealed settings with a private key among them, and what is shown of them. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    alter table webhook_endpoints add column tls bytea, add column tls_summary jsonb,
      add constraint webhook_endpoints_tls check ((tls is null) = (tls_summary is null))`.execute(db);
}
