import { type Kysely, sql } from 'kysely';

/** Endpoints that sign with a key pair of their own, and who at the agency looks after one. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table webhook_endpoints
    add column public_key text,
    add column private_key bytea,
    add column previous_public_key text,
    add column previous_private_key bytea,
    add column contact_staff_code text`.execute(db);
  await sql`alter table webhook_endpoints
    add constraint webhook_endpoints_key_pair check ((public_key is null) = (private_key is null)
      and (previous_public_key is null) = (previous_private_key is null)
      and (private_key is not null or previous_private_key is null)),
    add constraint webhook_endpoints_signs check (deleted_at is not null
      or ('v1a' = any (signature)) = (private_key is not null))`.execute(db);
}
