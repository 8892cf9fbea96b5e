import { type Kysely, sql } from 'kysely';

/**
 * What an agency chose not to be sent: of what it asks for by an endpoint that is off, nobody there heard. And an agency that offers
 * no service is never asked to take a referral: it chooses by whatever it takes of referrals.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create or replace function was_heard(event events) returns boolean language plpgsql stable as $$
    declare
      serves boolean;
    begin
      if exists (select from public.deliveries d where d.event_number = event.number and d.state in ('delivered', 'withheld'))
        or exists (select from public.event_pulls p where p.agency_id = event.agency_id and p.position >= event.position)
      then return true; end if;
      if event.position is null or event.type = 'referral.offered'
        or exists (select from public.deliveries d where d.event_number = event.number)
        or exists (select from public.webhook_endpoints e where e.agency_id = event.agency_id and e.status <> 'active'
          and e.deleted_at is null and e.event_types && array['*', event.type])
      then return false; end if;
      serves := exists (select from public.services s where s.agency_id = event.agency_id and s.status = 'active');
      return exists (select from public.webhook_endpoints e where e.agency_id = event.agency_id and e.status = 'active'
        and e.deleted_at is null and e.created_at <= event.occurred_at
        and (e.event_types && '{*,referral.offered}'
          or (not serves and exists (select from unnest(e.event_types) type where type like 'referral.%'))));
    end $$`.execute(db);
}
