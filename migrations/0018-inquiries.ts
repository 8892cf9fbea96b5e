import { type Kysely, sql } from 'kysely';

/**
 * What two auditors of the audit body agreed on before records of persons leave with an export of the trail, and the account that is
 * kept of it with each case. That account is no row of `disclosures`: one there makes its agency a party to the case.
 *
 * The second wall holds that nobody confirms their own inquiry, that an account is of one that was confirmed, and that no account
 * is ever changed. Only those see one who see all to whom a case was disclosed: its owner and its coordinator.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table audit_inquiries (
      id text collate "C" primary key,
      agency_id text collate "C" not null references agencies,
      reference text not null,
      from_index bigint not null check (from_index >= 0),
      to_index bigint not null check (to_index > from_index),
      checkpoint text not null,
      opened_by text not null,
      opened_at timestamptz not null,
      confirmed_by text check (confirmed_by <> opened_by),
      confirmed_at timestamptz,
      version integer not null default 1,
      check ((confirmed_by is null) = (confirmed_at is null))
    )`.execute(db);
  await sql`
    create table audit_disclosures (
      id text collate "C" primary key,
      inquiry_id text collate "C" not null references audit_inquiries,
      case_id text collate "C" not null references cases,
      agency_id text collate "C" not null references agencies,
      started_at timestamptz not null,
      ends_at timestamptz not null,
      unique (inquiry_id, case_id)
    )`.execute(db);
  await sql`create index audit_disclosures_case on audit_disclosures (case_id, id)`.execute(db);
  for (const table of ['audit_inquiries', 'audit_disclosures']) {
    await sql`alter table ${sql.table(table)} enable row level security`.execute(db);
    await sql`alter table ${sql.table(table)} force row level security`.execute(db);
    await sql`grant select on ${sql.table(table)} to aman_app`.execute(db);
  }
  await sql`grant insert on audit_disclosures to aman_app`.execute(db);
  await sql`grant insert (id, agency_id, reference, from_index, to_index, checkpoint, opened_by, opened_at)
    on audit_inquiries to aman_app`.execute(db);
  await sql`grant update (confirmed_by, confirmed_at, version) on audit_inquiries to aman_app`.execute(db);

  const asks = async (declaration: string, question: string) =>
    sql`create function ${sql.raw(declaration)} returns boolean language plpgsql stable parallel safe cost 1000 as
      ${sql.lit(`begin return exists (${question}); end`)}`.execute(db);
  await asks(
    'accounts_for_case(which text)',
    'select from public.cases c where c.id = which and (c.owner_agency_id = me() or c.jurisdiction = any (coordinated()))',
  );
  await asks(
    'was_confirmed(which text)',
    'select from public.audit_inquiries i where i.id = which and i.agency_id = me() and i.confirmed_at is not null',
  );
  await sql`create policy audit_body on audit_inquiries for all
    using (agency_id = me() and is_audit_body()) with check (agency_id = me() and is_audit_body())`.execute(db);
  await sql`create policy accounting on audit_disclosures for select
    using (acting_as('trail') or accounts_for_case(case_id))`.execute(db);
  await sql`create policy trail on audit_disclosures for insert
    with check (acting_as('trail') and agency_id = me() and was_confirmed(inquiry_id))`.execute(db);
}
