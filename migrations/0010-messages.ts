import { type Kysely, sql } from 'kysely';

/**
 * What sender and accepted receiver write to each other: one ciphertext per message, under the case's key. A message belongs to
 * the offer that was accepted when it was written, and leaves the receiver's sight with it. Policies read offers, which read
 * nothing.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table messages (
      id text collate "C" primary key,
      referral_id text not null references referrals,
      case_id text not null references cases,
      offer_id text not null references offers,
      author_agency_id text not null references agencies,
      staff_code text not null,
      sealed bytea not null,
      created_at timestamptz not null
    )`.execute(db);
  await sql`create index messages_referral on messages (referral_id, id)`.execute(db);
  await sql`alter table messages enable row level security`.execute(db);
  await sql`alter table messages force row level security`.execute(db);
  // What was said stays as it was said.
  await sql`grant select, insert on messages to aman_app`.execute(db);

  await sql`create policy parties on messages for select
    using (author_agency_id = (select me()) and exists (select from offers o where o.id = messages.offer_id and o.sender_agency_id = (select me()))
      or exists (select from offers o where o.id = messages.offer_id and (
        o.agency_id = (select me()) and o.status in ('accepted', 'in_progress')
        or o.sender_agency_id = (select me()) and (o.owner_agency_id = (select me()) or exists (
          select from disclosures d where d.case_id = messages.case_id and d.agency_id = (select me()) and d.ended_at is null)))))`.execute(
    db,
  );
  await sql`create policy trail on messages for select using ((select acting_as('trail')))`.execute(db);
  await sql`create policy parties_write on messages for insert
    with check (author_agency_id = (select me()) and exists (
      select from offers o where o.id = messages.offer_id and o.referral_id = messages.referral_id and o.case_id = messages.case_id
        and o.status in ('accepted', 'in_progress') and (select me()) in (o.sender_agency_id, o.agency_id)))`.execute(db);

  // A sender may have handed the case over since, and still speaks with whoever took its referral.
  await sql`create policy senders on case_keys for select
    using (exists (select from offers o where o.case_id = case_keys.case_id and o.sender_agency_id = (select me())))`.execute(db);
}
