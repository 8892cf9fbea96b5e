import { type Kysely, sql } from 'kysely';

/**
 * Whom a request for an expert is against, and its note, are kept until it is over. Then the service itself empties them, and that is
 * all that anybody may change of what was said.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table expert_request_details alter column sealed drop not null`.execute(db);
  await sql`create index expert_request_details_kept on expert_request_details (request_id) where sealed is not null`.execute(db);
  await sql`drop policy requester on expert_request_details`.execute(db);
  await sql`create policy requester on expert_request_details for select
    using (requester_agency_id = (select me()))`.execute(db);
  await sql`create policy requester_says on expert_request_details for insert
    with check (requester_agency_id = (select me()))`.execute(db);
  await sql`create policy matcher_empties on expert_request_details for update
    using ((select acting_as('matcher'))) with check (sealed is null)`.execute(db);
  await sql`grant update (sealed) on expert_request_details to aman_app`.execute(db);
}
