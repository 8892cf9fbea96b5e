import { type Kysely, sql } from 'kysely';

/**
 * Until when an event is told whole. Of a case itself: to owner and coordinator, and to whoever was asked to take a referral of it; a
 * former owner hears that it went over, and nothing more. What others decide on a case, and what stage it reaches, an authority hears
 * while its offer is taken; what it decided itself for as long as it keeps that.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create policy relay on decisions for select using ((select acting_as('relay')))`.execute(db);
  await sql`
    create or replace function may_still_know(event events) returns boolean language plpgsql stable cost 1000 as $$
    declare
      recipient agencies;
    begin
      if event.reaches_always or (event.referral_id is null and event.case_id is null) then return true; end if;
      select * into recipient from agencies where id = event.agency_id;
      if recipient.kind = 'audit_body' then return true; end if;
      if event.type = 'disclosure.updated' then
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
