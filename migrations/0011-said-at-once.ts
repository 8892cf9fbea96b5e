import { type Kysely, sql } from 'kysely';

/**
 * What a request asks before anything else, each as one statement, so that the rest can be sent behind it without waiting: where
 * one of them refuses, the server refuses everything after it. `AM404`: there is nothing there that the caller may know of;
 * `AM409`: the idempotency key is being used at this moment.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  // The key stays locked until the transaction ends; the second look is a snapshot of its own, so it sees who held it before.
  await sql`
    create function use_key(client text, used text)
      returns table (fingerprint bytea, resource_id text, holds_secret boolean) language plpgsql as $$
    begin
      if not pg_try_advisory_xact_lock(hashtextextended(client || ' ' || used, 0)) then
        raise exception 'the idempotency key is in use' using errcode = 'AM409';
      end if;
      return query select k.fingerprint, k.resource_id, k.holds_secret from idempotency_keys k
        where k.client_id = client and k.key = used;
    end $$`.execute(db);

  // Whoever may not know of a case waits for nobody: it is looked for as the caller before it is locked.
  await sql`
    create function lock_visible_case(id text, for_update boolean) returns setof cases language plpgsql as $$
    begin
      perform 1 from cases c where c.id = lock_visible_case.id;
      if not found then raise exception 'no such case' using errcode = 'AM404'; end if;
      perform lock_case(lock_visible_case.id, for_update);
      return query select * from cases c where c.id = lock_visible_case.id;
      if not found then raise exception 'no such case' using errcode = 'AM404'; end if;
    end $$`.execute(db);

  // A step of case management may change who owns the case.
  await sql`
    create function lock_case_of_referral(id text) returns void language plpgsql as $$
    declare found_in text; about text;
    begin
      select r.case_id, r.service into found_in, about from referrals r where r.id = lock_case_of_referral.id;
      if not found then raise exception 'no such referral' using errcode = 'AM404'; end if;
      perform lock_case(found_in, about = 'case_management');
    end $$`.execute(db);

  // Who asks, and on whose behalf: as the database has both at this moment.
  await sql`
    create function identify(client text, code text) returns table (
      client_status text, scopes text[], agency_id text, agency_kind text, jurisdictions text[], competent_authority boolean,
      first_responder boolean, agency_status text, caseworker_id text, roles text[]) language plpgsql as $$
    declare before text := enter('access');
    begin
      return query
        select c.status, c.scopes, a.id, a.kind, a.jurisdictions, a.competent_authority, a.first_responder, a.status, w.id, w.roles
        from clients c join agencies a on a.id = c.agency_id
          left join caseworkers w on w.agency_id = a.id and w.staff_code = code and w.status = 'active'
        where c.id = client;
      perform enter(before);
    end $$`.execute(db);
}
