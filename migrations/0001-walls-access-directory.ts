import { type Kysely, sql } from 'kysely';

/**
 * The second wall, and what it stands on. Every transaction says as whom it runs (`aman.agency_id`, or a named system role in
 * `aman.system`); row-level security, forced on the owner too, decides by that alone. The service connects as `aman_app`, which
 * owns nothing.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`grant usage on schema public to aman_app`.execute(db);

  await sql`
    create function me() returns text language sql stable parallel safe
    as $$ select nullif(current_setting('aman.agency_id', true), '') $$`.execute(db);
  await sql`
    create function acting_as(variadic roles text[]) returns boolean language sql stable parallel safe
    as $$ select coalesce(current_setting('aman.system', true), '') = any (roles) $$`.execute(db);
  await sql`
    create function is_admin() returns boolean language sql stable parallel safe
    as $$ select coalesce(current_setting('aman.admin', true), '') = 'on' or acting_as('setup') $$`.execute(db);

  // Not a `set` clause on the functions that need it: only a superuser could give them one.
  await sql`
    create function enter(role text) returns text language plpgsql as $$
    declare before text := coalesce(current_setting('aman.system', true), '');
    begin
      perform set_config('aman.system', role, true);
      return before;
    end $$`.execute(db);
  // A login that only serves must see whether there is anything to migrate.
  await sql`grant select on kysely_migration to aman_app`.execute(db);

  await sql`
    create table deployment (
      name text primary key,
      value jsonb not null,
      created_at timestamptz not null default now()
    )`.execute(db);
  await sql`grant select, insert on deployment to aman_app`.execute(db);

  await sql`
    create table agencies (
      id text collate "C" primary key,
      name text not null,
      kind text not null,
      jurisdictions text[] not null,
      regions text[] not null,
      languages text[] not null,
      competent_authority boolean not null,
      first_responder boolean not null,
      duty_contact text,
      calendar_id text,
      status text not null,
      operating_mode text not null,
      version integer not null default 1,
      created_at timestamptz not null,
      updated_at timestamptz not null
    )`.execute(db);
  await sql`create index agencies_jurisdictions on agencies using gin (jurisdictions)`.execute(db);
  await sql`
    create function coordinated() returns text[] language sql stable parallel safe
    as $$ select coalesce((select jurisdictions from agencies where id = me() and kind = 'coordination_committee'), '{}') $$`.execute(
    db,
  );
  await sql`
    create function is_audit_body() returns boolean language sql stable parallel safe
    as $$ select exists (select from agencies where id = me() and kind = 'audit_body') $$`.execute(db);

  await sql`
    create table caseworkers (
      id text collate "C" primary key,
      agency_id text not null references agencies,
      staff_code text not null,
      roles text[] not null,
      languages text[] not null,
      certifications jsonb not null,
      status text not null,
      version integer not null default 1,
      created_at timestamptz not null,
      updated_at timestamptz not null,
      unique (agency_id, staff_code)
    )`.execute(db);

  await sql`
    create table clients (
      id text collate "C" primary key,
      agency_id text not null references agencies,
      description text,
      scopes text[] not null,
      status text not null,
      version integer not null default 1,
      created_at timestamptz not null,
      updated_at timestamptz not null
    )`.execute(db);
  await sql`create index clients_agency on clients (agency_id)`.execute(db);
  await sql`
    create table client_secrets (
      client_id text not null references clients,
      hash text not null,
      created_at timestamptz not null,
      expires_at timestamptz,
      primary key (client_id, hash)
    )`.execute(db);

  await sql`
    create table services (
      agency_id text not null references agencies,
      service text not null,
      regions text[] not null,
      sexes text[] not null,
      min_age integer,
      max_age integer,
      accepts_dependants boolean not null,
      languages text[] not null,
      protection_statuses text[] not null,
      intake_hours text,
      location_protected boolean not null,
      status text not null,
      suspended_reason text,
      version integer not null default 1,
      created_at timestamptz not null,
      updated_at timestamptz not null,
      primary key (agency_id, service)
    )`.execute(db);
  await sql`create index services_by_service on services (service)`.execute(db);
  await sql`
    create table capacities (
      agency_id text not null,
      service text not null,
      total integer not null,
      held_elsewhere integer not null,
      held integer not null,
      assured_at timestamptz not null,
      freed_at timestamptz not null,
      version integer not null default 1,
      primary key (agency_id, service),
      foreign key (agency_id, service) references services
    )`.execute(db);

  await sql`
    create table idempotency_keys (
      client_id text not null,
      key text not null,
      agency_id text not null,
      fingerprint bytea not null,
      resource_id text not null,
      holds_secret boolean not null,
      created_at timestamptz not null,
      primary key (client_id, key)
    )`.execute(db);
  await sql`create index idempotency_keys_age on idempotency_keys (created_at)`.execute(db);

  await sql`
    create table rule_packs (
      jurisdiction text not null,
      version integer not null,
      document jsonb not null,
      created_at timestamptz not null,
      primary key (jurisdiction, version)
    )`.execute(db);

  for (const table of [
    'agencies',
    'caseworkers',
    'clients',
    'client_secrets',
    'services',
    'capacities',
    'idempotency_keys',
    'rule_packs',
  ]) {
    await sql`alter table ${sql.table(table)} enable row level security`.execute(db);
    await sql`alter table ${sql.table(table)} force row level security`.execute(db);
    await sql`grant select, insert, update on ${sql.table(table)} to aman_app`.execute(db);
  }
  await sql`grant delete on client_secrets, idempotency_keys to aman_app`.execute(db);

  // The directory is open to every agency: names, kinds and services are what referrals are made with.
  await sql`create policy read_all on agencies for select using (true)`.execute(db);
  await sql`create policy write_admin on agencies for all using ((select is_admin())) with check ((select is_admin()))`.execute(
    db,
  );
  await sql`create policy write_own on agencies for update using (id = (select me())) with check (id = (select me()))`.execute(
    db,
  );
  // What an agency is decides what it sees, so it cannot make itself another.
  await sql`
    create function keep_mandate() returns trigger language plpgsql as $$
    begin
      if current_user = 'aman_app' and not is_admin() and (new.kind, new.jurisdictions, new.competent_authority, new.first_responder, new.status)
        is distinct from (old.kind, old.jurisdictions, old.competent_authority, old.first_responder, old.status)
      then raise insufficient_privilege using message = 'only an administrator changes what an agency is';
      end if;
      return new;
    end $$`.execute(db);
  await sql`create trigger keep_mandate before update on agencies for each row execute function keep_mandate()`.execute(db);
  await sql`create policy read_all on services for select using (true)`.execute(db);
  await sql`create policy read_all on capacities for select using (true)`.execute(db);
  await sql`create policy read_all on rule_packs for select using (true)`.execute(db);
  await sql`create policy write_admin on rule_packs for insert with check ((select is_admin()))`.execute(db);
  for (const table of ['services', 'capacities']) {
    await sql`create policy write_own on ${sql.table(table)} for all
      using (agency_id = (select me()) or (select acting_as('router')) or (select is_admin()))
      with check (agency_id = (select me()) or (select acting_as('router')) or (select is_admin()))`.execute(db);
  }
  for (const table of ['caseworkers', 'clients']) {
    await sql`create policy own on ${sql.table(table)} for all
      using (agency_id = (select me()) or (select is_admin()) or (select acting_as('access')))
      with check (agency_id = (select me()) or (select is_admin()))`.execute(db);
  }
  /**
   * Who is asking, in one round trip and before anything is known of the caller: the functions look as `access`, and answer
   * only for a whole client id, or for a staff code at one agency.
   */
  await sql`
    create function client_identity(client text)
    returns table (client_status text, scopes text[], agency_id text, agency_kind text, jurisdictions text[],
      competent_authority boolean, first_responder boolean, agency_status text)
    language plpgsql as $$
    declare before text := enter('access');
    begin
      return query select c.status, c.scopes, a.id, a.kind, a.jurisdictions, a.competent_authority, a.first_responder, a.status
        from clients c join agencies a on a.id = c.agency_id where c.id = client;
      perform enter(before);
    end $$`.execute(db);
  await sql`
    create function active_caseworker(agency text, code text) returns table (id text, staff_code text, roles text[])
    language plpgsql as $$
    declare before text := enter('access');
    begin
      return query select w.id, w.staff_code, w.roles from caseworkers w
        where w.agency_id = agency and w.staff_code = code and w.status = 'active';
      perform enter(before);
    end $$`.execute(db);

  await sql`create policy own on client_secrets for all
    using (exists (select from clients c where c.id = client_id))
    with check (exists (select from clients c where c.id = client_id))`.execute(db);
  await sql`create policy own on idempotency_keys for all
    using (agency_id = (select me()) or (select acting_as('retention'))) with check (agency_id = (select me()))`.execute(db);
}
