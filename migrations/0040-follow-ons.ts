import { type Kysely, sql } from 'kysely';

/**
 * Whom a service leaves goes on elsewhere: since when those served there need a follow-on, and the referral that goes on with
 * another's service. No referral has two that are open.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table services add column follow_on_since timestamptz`.execute(db);
  await sql`create index services_follow_on on services (agency_id, service) where follow_on_since is not null`.execute(db);
  await sql`create index offers_taken on offers (agency_id, service) where status in ('accepted', 'in_progress')`.execute(db);

  await sql`alter table referrals add column follows_referral_id text collate "C" references referrals`.execute(db);
  await sql`
    create unique index referrals_follows_open on referrals (follows_referral_id)
    where follows_referral_id is not null and ended is null`.execute(db);
  await sql`
    create index referrals_follows on referrals (follows_referral_id) where follows_referral_id is not null`.execute(db);
  await sql`
    create index referrals_unmet on referrals (case_id)
    where ended is null and status not in ('accepted', 'in_progress')`.execute(db);
}
