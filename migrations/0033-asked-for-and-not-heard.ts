import { type Kysely, sql } from 'kysely';

/**
 * What an agency chose not to be sent: of what it asks for by an endpoint that is off, nobody there heard. And an agency that offers
 * no service is never asked to take a referral: it chooses by whatever it takes of referrals. An owner is told, by its case, that a
 * decision shall be looked at again.
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
  await sql`
    create or replace function may_still_know(event events) returns boolean language plpgsql stable cost 1000 as $$
    declare
      recipient agencies;
    begin
      if event.reaches_always or (event.referral_id is null and event.case_id is null) then return true; end if;
      select * into recipient from agencies where id = event.agency_id;
      if recipient.kind = 'audit_body' then return true; end if;
      if event.type = 'disclosure.updated' and event.referral_id is not null then
        return exists (
          select from disclosures d
          where d.offer_id = event.body ->> 'offer_id' and d.agency_id = recipient.id and d.ended_at is null);
      end if;
      if event.referral_id is not null then
        return exists (
          select from referrals r where r.id = event.referral_id and (
            recipient.id in (r.owner_agency_id, r.sender_agency_id)
            or (recipient.kind = 'coordination_committee' and r.jurisdiction = any (recipient.jurisdictions))
            or (exists (select from offers o where o.referral_id = event.referral_id and o.agency_id = recipient.id
                and o.forgotten_at is null
                and (event.type not in ('referral.message', 'decision.made', 'decision.served', 'case.stage_changed')
                  or (o.status in ('accepted', 'in_progress') and o.id = coalesce(event.body ->> 'offer_id', o.id))
                  or (event.type in ('decision.made', 'decision.served') and exists (
                    select from decisions d where d.id = event.body ->> 'decision_id' and d.agency_id = recipient.id))))
              and not exists (select from offers o where o.id = event.body ->> 'offer_id'
                and (o.agency_id <> recipient.id or o.forgotten_at is not null)))));
      end if;
      return exists (
        select from cases c where c.id = event.case_id and (
          c.owner_agency_id = recipient.id
          or (recipient.kind = 'coordination_committee' and c.jurisdiction = any (recipient.jurisdictions))
          or exists (select from offers o where o.case_id = c.id and o.agency_id = recipient.id and o.forgotten_at is null)
          or (event.type = 'case.transferred'
            and exists (select from offers o where o.case_id = c.id and o.sender_agency_id = recipient.id))));
    end $$`.execute(db);
}
