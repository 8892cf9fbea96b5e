import { type Kysely, sql } from 'kysely';

/**
 * Whom a request for an expert is against, and its note, are kept until it is over. Then the service itself empties them, and that is
 * all that anybody may change of what was said.
 *
 * A confirmed request shows how to reach the expert. So that none is made by whoever asks: the agency that answers is the one that
 * keeps the expert, and it alone confirms.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table expert_request_details alter column sealed drop not null`.execute(db);
  await sql`create index expert_request_details_kept on expert_request_details (request_id) where sealed is not null`.execute(db);
  await sql`drop policy requester on expert_request_details`.execute(db);
  await sql`create policy requester on expert_request_details for select
    using (requester_agency_id = (select me()))`.execute(db);
  await sql`create policy requester_says on expert_request_details for insert
    with check (requester_agency_id = (select me()) and (case_id is null or owns(case_id) or holds(case_id)))`.execute(db);
  await sql`create policy matcher_empties on expert_request_details for update
    using ((select acting_as('matcher'))) with check (sealed is null)`.execute(db);
  await sql`grant update (sealed) on expert_request_details to aman_app`.execute(db);

  await sql`alter table experts add unique (id, agency_id)`.execute(db);
  await sql`alter table expert_requests
    add unique (id, requester_agency_id),
    drop constraint expert_requests_expert_id_fkey,
    add foreign key (expert_id, agency_id) references experts (id, agency_id)`.execute(db);
  await sql`alter table expert_contacts
    drop constraint expert_contacts_expert_id_fkey,
    add foreign key (expert_id, agency_id) references experts (id, agency_id)`.execute(db);
  await sql`alter table expert_request_details
    drop constraint expert_request_details_request_id_fkey,
    add foreign key (request_id, requester_agency_id) references expert_requests (id, requester_agency_id)`.execute(db);
  await sql`drop policy requester on expert_requests`.execute(db);
  await sql`create policy requester on expert_requests for insert
    with check (requester_agency_id = (select me()) and status = 'requested')`.execute(db);
  await sql`drop policy parties_change on expert_requests`.execute(db);
  await sql`create policy parties_change on expert_requests for update
    using ((select me()) in (agency_id, requester_agency_id))
    with check (agency_id = (select me()) or requester_agency_id = (select me()) and status <> 'confirmed')`.execute(db);
  await sql`revoke update on expert_requests from aman_app`.execute(db);
  await sql`grant update (status, reason_code, version, updated_at) on expert_requests to aman_app`.execute(db);
}
