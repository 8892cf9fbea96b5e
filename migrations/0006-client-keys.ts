import { type Kysely, sql } from 'kysely';

/**
 * Public keys with which clients authenticate (`private_key_jwt`), and the assertions that were used: one row per client and
 * `jti`, so that each serves once, whichever process it reaches and however often the service was started since.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table client_keys (
      client_id text not null references clients,
      kid text not null,
      alg text not null,
      thumbprint text not null,
      jwk jsonb not null,
      created_at timestamptz not null,
      primary key (client_id, kid),
      unique (client_id, thumbprint)
    )`.execute(db);
  await sql`
    create table client_assertions (
      client_id text not null references clients,
      jti_hash bytea not null,
      expires_at timestamptz not null,
      primary key (client_id, jti_hash)
    )`.execute(db);
  // Of a secret, enough to tell a guess without hashing it; null for those that were made before.
  await sql`alter table client_secrets add column tag bytea`.execute(db);
  await sql`create index client_assertions_expiry on client_assertions (expires_at)`.execute(db);

  for (const table of ['client_keys', 'client_assertions']) {
    await sql`alter table ${sql.table(table)} enable row level security`.execute(db);
    await sql`alter table ${sql.table(table)} force row level security`.execute(db);
    await sql`grant select, insert, delete on ${sql.table(table)} to aman_app`.execute(db);
  }

  // Whoever sees the client sees what it authenticates with, and so does the service when somebody logs in; to change it is the
  // agency's, or an administrator's who makes the client.
  await sql`drop policy own on client_secrets`.execute(db);
  for (const name of ['client_secrets', 'client_keys']) {
    const table = sql.table(name);
    const mine = sql`exists (select from clients c where c.id = ${table}.client_id
      and (c.agency_id = (select me()) or (select is_admin())))`;
    await sql`create policy see on ${table} for select
      using (exists (select from clients c where c.id = ${table}.client_id))`.execute(db);
    await sql`create policy keep on ${table} for all using (${mine}) with check (${mine})`.execute(db);
  }

  await sql`create policy see on client_assertions for select
    using ((select acting_as('access', 'retention')))`.execute(db);
  await sql`create policy add on client_assertions for insert with check ((select acting_as('access')))`.execute(db);
  await sql`create policy remove on client_assertions for delete using ((select acting_as('retention')))`.execute(db);
}
