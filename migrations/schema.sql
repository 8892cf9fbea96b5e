GRANT USAGE ON SCHEMA public TO PUBLIC;
GRANT USAGE ON SCHEMA public TO aman_app;
GRANT USAGE ON SCHEMA public TO aman_sequencer;

CREATE OR REPLACE FUNCTION public.accounts_for(which text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$begin return exists (select from public.offers o where o.id = which and (o.owner_agency_id = me() or o.jurisdiction = any (coordinated()))); end$function$;

CREATE OR REPLACE FUNCTION public.accounts_for_case(which text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$begin return exists (select from public.cases c where c.id = which and (c.owner_agency_id = me() or c.jurisdiction = any (coordinated()))); end$function$;

CREATE OR REPLACE FUNCTION public.acting_as(VARIADIC roles text[])
 RETURNS boolean
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ select coalesce(current_setting('aman.system', true), '') = any (roles) $function$;

CREATE OR REPLACE FUNCTION public.active_caseworker(agency text, code text)
 RETURNS TABLE(id text, staff_code text, roles text[])
 LANGUAGE plpgsql
AS $function$
    declare before text := enter('access');
    begin
      return query select w.id, w.staff_code, w.roles from caseworkers w
        where w.agency_id = agency and w.staff_code = code and w.status = 'active';
      perform enter(before);
    end $function$;

CREATE OR REPLACE FUNCTION public.client_identity(client text)
 RETURNS TABLE(client_status text, scopes text[], agency_id text, agency_kind text, jurisdictions text[], competent_authority boolean, first_responder boolean, agency_status text)
 LANGUAGE plpgsql
AS $function$
    declare before text := enter('access');
    begin
      return query select c.status, c.scopes, a.id, a.kind, a.jurisdictions, a.competent_authority, a.first_responder, a.status
        from clients c join agencies a on a.id = c.agency_id where c.id = client;
      perform enter(before);
    end $function$;

CREATE OR REPLACE FUNCTION public.coordinated()
 RETURNS text[]
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ select coalesce((select jurisdictions from agencies where id = me() and kind = 'coordination_committee'), '{}') $function$;

CREATE OR REPLACE FUNCTION public.decides(which text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$begin
      return exists (select from public.offers o join public.agencies a on a.id = o.agency_id
        where o.case_id = which and o.agency_id = me() and o.service = 'identification'
          and o.status in ('accepted', 'in_progress') and a.competent_authority);
    end$function$;

CREATE OR REPLACE FUNCTION public.enter(role text)
 RETURNS text
 LANGUAGE plpgsql
AS $function$
    declare before text := coalesce(current_setting('aman.system', true), '');
    begin
      perform set_config('aman.system', role, true);
      return before;
    end $function$;

CREATE OR REPLACE FUNCTION public.erase_subject(erased bytea)
 RETURNS TABLE(subject_commit bytea)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
    begin
      if not acting_as('erasure') then
        raise exception 'only erasure erases' using errcode = 'insufficient_privilege';
      end if;
      delete from case_keys where case_id in (select key_id from audit_subjects where subject_index = erased);
      delete from audit_subject_referrals r using audit_subjects s
        where s.subject_index = erased and r.entry_id = s.entry_id and r.ordinal = s.ordinal;
      return query
        with gone as (
          update audit_subjects set sealed = null, subject_index = null, key_id = null where subject_index = erased
          returning entry_id, ordinal)
        select r.subject_commits[gone.ordinal + 1] from gone join audit_records r using (entry_id);
    end $function$;
REVOKE ALL ON ROUTINE erase_subject(bytea) FROM PUBLIC;
GRANT EXECUTE ON ROUTINE erase_subject(bytea) TO aman_app;

CREATE OR REPLACE FUNCTION public.has_confirmed(which text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$
    begin
      return exists (select from public.expert_requests r
        where r.expert_id = which and r.requester_agency_id = me() and r.status = 'confirmed');
    end $function$;

CREATE OR REPLACE FUNCTION public.holds(which text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$begin return exists (select from public.disclosures d where d.case_id = which and d.agency_id = me() and d.ended_at is null); end$function$;

CREATE OR REPLACE FUNCTION public.holds_category(which text, what text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$begin return exists (select from public.disclosures d where d.case_id = which and d.agency_id = me() and d.ended_at is null
      and what = any (d.categories)); end$function$;

CREATE OR REPLACE FUNCTION public.identify(client text, code text)
 RETURNS TABLE(client_status text, scopes text[], agency_id text, agency_kind text, jurisdictions text[], competent_authority boolean, first_responder boolean, agency_status text, caseworker_id text, roles text[])
 LANGUAGE plpgsql
AS $function$
    declare before text := enter('access');
    begin
      return query
        select c.status, c.scopes, a.id, a.kind, a.jurisdictions, a.competent_authority, a.first_responder, a.status, w.id, w.roles
        from clients c join agencies a on a.id = c.agency_id
          left join caseworkers w on w.agency_id = a.id and w.staff_code = code and w.status = 'active'
        where c.id = client;
      perform enter(before);
    end $function$;

CREATE OR REPLACE FUNCTION public.is_admin()
 RETURNS boolean
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ select coalesce(current_setting('aman.admin', true), '') = 'on' or acting_as('setup') $function$;

CREATE OR REPLACE FUNCTION public.is_audit_body()
 RETURNS boolean
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ select exists (select from agencies where id = me() and kind = 'audit_body') $function$;

CREATE OR REPLACE FUNCTION public.is_system()
 RETURNS boolean
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ select coalesce(current_setting('aman.system', true), '') <> '' $function$;

CREATE OR REPLACE FUNCTION public.keep_finding_aids()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$begin 
    insert into public.audit_kinds (agency_id, client_id, caseworker, action, outcome, resource_type, lawful_ground)
    select agency_id, client_id, caseworker, action, outcome, resource_type, lawful_ground from (select distinct kind, agency_id, client_id, caseworker, action, outcome, resource_type, lawful_ground from placed) e
    where (select true from public.audit_kinds k where k.kind = e.kind
      and (k.agency_id, k.client_id, k.caseworker, k.action, k.outcome, k.resource_type, k.lawful_ground)
        is not distinct from (e.agency_id, e.client_id, e.caseworker, e.action, e.outcome, e.resource_type, e.lawful_ground)
      limit 1) is null
    on conflict do nothing;
    
    insert into public.audit_spans (index, earliest, latest)
    select whole.index, min(l.at), max(l.at)
    from (select index - 4095 as index from placed where index % 4096 = 4095) whole
      join public.audit_log l on l.index between whole.index and whole.index + 4095
    group by whole.index;
    return null;
    end$function$;

CREATE OR REPLACE FUNCTION public.keep_mandate()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
    begin
      if current_user = 'aman_app' and not is_admin() and (new.kind, new.jurisdictions, new.competent_authority, new.first_responder, new.status)
        is distinct from (old.kind, old.jurisdictions, old.competent_authority, old.first_responder, old.status)
      then raise insufficient_privilege using message = 'only an administrator changes what an agency is';
      end if;
      return new;
    end $function$;

CREATE OR REPLACE FUNCTION public.keeps_client(which text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$begin return exists (select from public.clients c where c.id = which and (c.agency_id = me() or is_admin())); end$function$;

CREATE OR REPLACE FUNCTION public.knows_case(which text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$begin return exists (select from public.cases c where c.id = which); end$function$;

CREATE OR REPLACE FUNCTION public.knows_client(which text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$begin return exists (select from public.clients c where c.id = which); end$function$;

CREATE OR REPLACE FUNCTION public.lock_case(id text, for_update boolean)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
    declare before text := enter('lock');
    begin
      if for_update then perform 1 from cases c where c.id = lock_case.id for no key update;
      else perform 1 from cases c where c.id = lock_case.id for share;
      end if;
      perform enter(before);
    end $function$;

CREATE OR REPLACE FUNCTION public.lock_case_of_referral(id text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
    declare found_in text; about text;
    begin
      select r.case_id, r.service into found_in, about from referrals r where r.id = lock_case_of_referral.id;
      if not found then raise exception 'no such referral' using errcode = 'AM404'; end if;
      perform lock_case(found_in, about = 'case_management');
    end $function$;

CREATE OR REPLACE FUNCTION public.lock_visible_case(id text, for_update boolean)
 RETURNS SETOF cases
 LANGUAGE plpgsql
AS $function$
    begin
      perform 1 from cases c where c.id = lock_visible_case.id;
      if not found then raise exception 'no such case' using errcode = 'AM404'; end if;
      perform lock_case(lock_visible_case.id, for_update);
      return query select * from cases c where c.id = lock_visible_case.id;
      if not found then raise exception 'no such case' using errcode = 'AM404'; end if;
    end $function$;

CREATE OR REPLACE FUNCTION public.may_still_know(event events)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE COST 1000
AS $function$
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
    end $function$;

CREATE OR REPLACE FUNCTION public.me()
 RETURNS text
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ select nullif(current_setting('aman.agency_id', true), '') $function$;

CREATE OR REPLACE FUNCTION public.on_duty(which text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$
    begin
      return exists (select from public.duty_rosters r where r.jurisdiction = which
        and r.entries @> jsonb_build_array(jsonb_build_object('agency_id', me())));
    end $function$;

CREATE OR REPLACE FUNCTION public.owner_sees(which text, what text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$begin return exists (select from public.cases c where c.id = which and c.owner_agency_id = me() and not what = any (c.owner_withheld)); end$function$;

CREATE OR REPLACE FUNCTION public.owns(which text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$begin return exists (select from public.cases c where c.id = which and c.owner_agency_id = me()); end$function$;

CREATE OR REPLACE FUNCTION public.reads_messages(which text, of_case text, author text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$begin return exists (select from public.offers o where o.id = which and (
      author = me() and o.sender_agency_id = me()
      or o.agency_id = me() and o.status in ('accepted', 'in_progress')
      or o.sender_agency_id = me() and (o.owner_agency_id = me() or holds(of_case)))); end$function$;

CREATE OR REPLACE FUNCTION public.require_places()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
    begin
      if current_user = 'aman_sequencer' and exists (
        select from gone where not exists (select from audit_log placed where placed.entry_id = gone.entry_id and placed.entry = gone.entry))
      then raise insufficient_privilege using message = 'an entry leaves for its place in the log, and for nowhere else';
      end if;
      return null;
    end $function$;

CREATE OR REPLACE FUNCTION public.supports(which text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$begin
      return holds(which) and exists (select from public.agencies a where a.id = me() and a.kind in (
        'shelter', 'health', 'social_services', 'civil_society', 'international_organisation', 'hotline', 'council', 'school'));
    end$function$;

CREATE OR REPLACE FUNCTION public.takes_part(which text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$begin return exists (select from public.offers o where o.case_id = which and (o.agency_id = me() or o.sender_agency_id = me())); end$function$;

CREATE OR REPLACE FUNCTION public.takes_part_now(which text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$begin return exists (select from public.offers o where o.case_id = which and (o.agency_id = me() or o.sender_agency_id = me())
      and o.status in ('offered', 'received', 'info_requested', 'waitlisted', 'accepted', 'in_progress')); end$function$;

CREATE OR REPLACE FUNCTION public.this_database()
 RETURNS text
 LANGUAGE sql
 STABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
      select concat_ws(' ', extract(epoch from pg_postmaster_start_time()), (select oid from pg_database where datname = current_database()),
        'audit_head'::regclass::oid) $function$;

CREATE OR REPLACE FUNCTION public.use_key(client text, used text)
 RETURNS TABLE(fingerprint bytea, resource_id text, holds_secret boolean)
 LANGUAGE plpgsql
AS $function$
    begin
      if not pg_try_advisory_xact_lock(hashtextextended(client || ' ' || used, 0)) then
        raise exception 'the idempotency key is in use' using errcode = 'AM409';
      end if;
      return query select k.fingerprint, k.resource_id, k.holds_secret from idempotency_keys k
        where k.client_id = client and k.key = used;
    end $function$;

CREATE OR REPLACE FUNCTION public.was_asked(which text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$begin return exists (select from public.offers o where o.referral_id = which and o.agency_id = me()); end$function$;

CREATE OR REPLACE FUNCTION public.was_confirmed(which text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$begin return exists (select from public.audit_inquiries i where i.id = which and i.agency_id = me() and i.confirmed_at is not null); end$function$;

CREATE OR REPLACE FUNCTION public.was_disclosed(which text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE COST 1000
AS $function$begin return exists (select from public.disclosures d where d.case_id = which and d.agency_id = me()); end$function$;

CREATE OR REPLACE FUNCTION public.was_heard(event events)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
AS $function$
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
    end $function$;

CREATE TABLE agencies (
  id text COLLATE "C" NOT NULL,
  name text NOT NULL,
  kind text NOT NULL,
  jurisdictions text[] NOT NULL,
  regions text[] NOT NULL,
  languages text[] NOT NULL,
  competent_authority boolean NOT NULL,
  first_responder boolean NOT NULL,
  duty_contact text,
  calendar_id text COLLATE "C",
  status text NOT NULL,
  operating_mode text NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamp with time zone NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  CONSTRAINT agencies_calendar_id_fkey FOREIGN KEY (calendar_id) REFERENCES calendars(id) NOT VALID,
  CONSTRAINT agencies_pkey PRIMARY KEY (id)
);
CREATE INDEX agencies_jurisdictions ON agencies USING gin (jurisdictions);
ALTER TABLE agencies ENABLE ROW LEVEL SECURITY;
ALTER TABLE agencies FORCE ROW LEVEL SECURITY;
CREATE POLICY held ON agencies AS PERMISSIVE FOR UPDATE TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['router'::text]) AS acting_as))
  WITH CHECK (false);
CREATE POLICY read_all ON agencies AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (true);
CREATE POLICY write_admin ON agencies AS PERMISSIVE FOR ALL TO PUBLIC
  USING (( SELECT is_admin() AS is_admin))
  WITH CHECK (( SELECT is_admin() AS is_admin));
CREATE POLICY write_own ON agencies AS PERMISSIVE FOR UPDATE TO PUBLIC
  USING (id = (( SELECT me() AS me)))
  WITH CHECK (id = (( SELECT me() AS me)));
CREATE TRIGGER keep_mandate BEFORE UPDATE ON agencies FOR EACH ROW EXECUTE FUNCTION keep_mandate();
GRANT INSERT, SELECT, UPDATE ON agencies TO aman_app;

CREATE TABLE audit_disclosures (
  id text COLLATE "C" NOT NULL,
  inquiry_id text COLLATE "C" NOT NULL,
  case_id text COLLATE "C" NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  started_at timestamp with time zone NOT NULL,
  ends_at timestamp with time zone NOT NULL,
  CONSTRAINT audit_disclosures_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT audit_disclosures_case_id_fkey FOREIGN KEY (case_id) REFERENCES cases(id),
  CONSTRAINT audit_disclosures_inquiry_id_case_id_key UNIQUE (inquiry_id, case_id),
  CONSTRAINT audit_disclosures_inquiry_id_fkey FOREIGN KEY (inquiry_id) REFERENCES audit_inquiries(id),
  CONSTRAINT audit_disclosures_pkey PRIMARY KEY (id)
);
CREATE INDEX audit_disclosures_case ON audit_disclosures USING btree (case_id, id);
ALTER TABLE audit_disclosures ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_disclosures FORCE ROW LEVEL SECURITY;
CREATE POLICY accounting ON audit_disclosures AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (acting_as(VARIADIC ARRAY['trail'::text]) OR accounts_for_case(case_id));
CREATE POLICY trail ON audit_disclosures AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (acting_as(VARIADIC ARRAY['trail'::text]) AND agency_id = me() AND was_confirmed(inquiry_id));
GRANT INSERT, SELECT ON audit_disclosures TO aman_app;

CREATE TABLE audit_head (
  one boolean NOT NULL DEFAULT true,
  origin text NOT NULL,
  verifier_key text NOT NULL,
  size bigint NOT NULL,
  root bytea NOT NULL,
  checkpoint text NOT NULL,
  at timestamp with time zone NOT NULL,
  published_size bigint NOT NULL,
  published text,
  published_at timestamp with time zone NOT NULL,
  halted text,
  witnessed_size bigint,
  witnessed text,
  witnessed_at timestamp with time zone,
  compared_in text,
  previous_key text,
  rotated_at timestamp with time zone,
  CONSTRAINT audit_head_one_check CHECK (one),
  CONSTRAINT audit_head_pkey PRIMARY KEY (one)
);
GRANT INSERT, SELECT ON audit_head TO aman_sequencer;
GRANT SELECT (origin, verifier_key, size, at, published_size, published, published_at, halted, witnessed_size, witnessed, witnessed_at, compared_in, previous_key, rotated_at) ON audit_head TO aman_app;
GRANT UPDATE (verifier_key, size, root, checkpoint, at, published_size, published, published_at, halted, witnessed_size, witnessed, witnessed_at, compared_in, previous_key, rotated_at) ON audit_head TO aman_sequencer;

CREATE TABLE audit_inquiries (
  id text COLLATE "C" NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  reference text NOT NULL,
  from_index bigint NOT NULL,
  to_index bigint NOT NULL,
  checkpoint text NOT NULL,
  opened_by text NOT NULL,
  opened_at timestamp with time zone NOT NULL,
  confirmed_by text,
  confirmed_at timestamp with time zone,
  version integer NOT NULL DEFAULT 1,
  CONSTRAINT audit_inquiries_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT audit_inquiries_check CHECK (to_index > from_index),
  CONSTRAINT audit_inquiries_check1 CHECK (confirmed_by <> opened_by),
  CONSTRAINT audit_inquiries_check2 CHECK ((confirmed_by IS NULL) = (confirmed_at IS NULL)),
  CONSTRAINT audit_inquiries_from_index_check CHECK (from_index >= 0),
  CONSTRAINT audit_inquiries_pkey PRIMARY KEY (id)
);
ALTER TABLE audit_inquiries ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_inquiries FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_body ON audit_inquiries AS PERMISSIVE FOR ALL TO PUBLIC
  USING (agency_id = me() AND is_audit_body())
  WITH CHECK (agency_id = me() AND is_audit_body());
GRANT SELECT ON audit_inquiries TO aman_app;
GRANT INSERT (id, agency_id, reference, from_index, to_index, checkpoint, opened_by, opened_at) ON audit_inquiries TO aman_app;
GRANT UPDATE (confirmed_by, confirmed_at, version) ON audit_inquiries TO aman_app;

CREATE TABLE audit_kinds (
  agency_id text COLLATE "C",
  client_id text COLLATE "C",
  caseworker text,
  action text NOT NULL,
  outcome text NOT NULL,
  resource_type text NOT NULL,
  lawful_ground text,
  kind bigint NOT NULL GENERATED ALWAYS AS (hashtextextended(((((((((((((COALESCE(agency_id, ''::text) || '
'::text) || COALESCE(client_id, ''::text)) || '
'::text) || COALESCE(caseworker, ''::text)) || '
'::text) || action) || '
'::text) || outcome) || '
'::text) || resource_type) || '
'::text) || COALESCE(lawful_ground, ''::text)) COLLATE "C", 0::bigint)) STORED,
  CONSTRAINT audit_kinds_agency_id_client_id_caseworker_action_outcome_r_key UNIQUE NULLS NOT DISTINCT (agency_id, client_id, caseworker, action, outcome, resource_type, lawful_ground)
);
CREATE INDEX audit_kinds_action ON audit_kinds USING btree (action);
CREATE INDEX audit_kinds_client_id ON audit_kinds USING btree (client_id);
CREATE INDEX audit_kinds_kind ON audit_kinds USING btree (kind);
ALTER TABLE audit_kinds ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_kinds FORCE ROW LEVEL SECURITY;
CREATE POLICY auditors ON audit_kinds AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (agency_id = (( SELECT me() AS me)) OR ( SELECT is_audit_body() AS is_audit_body));
CREATE POLICY sequencer_adds ON audit_kinds AS PERMISSIVE FOR INSERT TO aman_sequencer
  WITH CHECK (true);
CREATE POLICY sequencer_reads ON audit_kinds AS PERMISSIVE FOR SELECT TO aman_sequencer
  USING (true);
CREATE POLICY timeline ON audit_kinds AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['timeline'::text]) AS acting_as));
GRANT SELECT ON audit_kinds TO aman_app;
GRANT INSERT, SELECT ON audit_kinds TO aman_sequencer;

CREATE TABLE audit_log (
  index bigint NOT NULL,
  number bigint NOT NULL,
  entry_id bytea NOT NULL,
  entry bytea NOT NULL,
  meta text NOT NULL,
  salt_meta bytea NOT NULL,
  salt_personal bytea NOT NULL,
  subject_commits bytea[] NOT NULL,
  at timestamp with time zone NOT NULL,
  agency_id text COLLATE "C",
  client_id text COLLATE "C",
  caseworker text,
  action text NOT NULL,
  outcome text NOT NULL,
  resource_type text NOT NULL,
  code text,
  lawful_ground text,
  kind bigint NOT NULL GENERATED ALWAYS AS (hashtextextended(((((((((((((COALESCE(agency_id, ''::text) || '
'::text) || COALESCE(client_id, ''::text)) || '
'::text) || COALESCE(caseworker, ''::text)) || '
'::text) || action) || '
'::text) || outcome) || '
'::text) || resource_type) || '
'::text) || COALESCE(lawful_ground, ''::text)) COLLATE "C", 0::bigint)) STORED,
  CONSTRAINT audit_log_entry_id_key UNIQUE (entry_id),
  CONSTRAINT audit_log_pkey PRIMARY KEY (index)
);
CREATE INDEX audit_log_at ON audit_log USING brin (at) WITH (autosummarize='on');
CREATE INDEX audit_log_kind ON audit_log USING btree (kind, index);
ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_log FORCE ROW LEVEL SECURITY;
CREATE POLICY auditors ON audit_log AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (agency_id = (( SELECT me() AS me)) OR ( SELECT is_audit_body() AS is_audit_body));
CREATE POLICY erasure ON audit_log AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['erasure'::text]) AS acting_as));
CREATE POLICY sequencer_places ON audit_log AS PERMISSIVE FOR INSERT TO aman_sequencer
  WITH CHECK (true);
CREATE POLICY sequencer_reads ON audit_log AS PERMISSIVE FOR SELECT TO aman_sequencer
  USING (true);
CREATE POLICY timeline ON audit_log AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['timeline'::text]) AS acting_as));
CREATE POLICY tree ON audit_log AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['tree'::text]) AS acting_as));
CREATE TRIGGER keep_finding_aids AFTER INSERT ON audit_log REFERENCING NEW TABLE AS placed FOR EACH STATEMENT EXECUTE FUNCTION keep_finding_aids();
GRANT SELECT ON audit_log TO aman_app;
GRANT INSERT, SELECT ON audit_log TO aman_sequencer;

CREATE TABLE audit_pending (
  number bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  entry_id bytea NOT NULL,
  entry bytea NOT NULL,
  meta text NOT NULL,
  salt_meta bytea NOT NULL,
  salt_personal bytea NOT NULL,
  subject_commits bytea[] NOT NULL,
  at timestamp with time zone NOT NULL,
  agency_id text COLLATE "C",
  client_id text COLLATE "C",
  caseworker text,
  action text NOT NULL,
  outcome text NOT NULL,
  resource_type text NOT NULL,
  code text,
  lawful_ground text,
  CONSTRAINT audit_pending_entry_id_key UNIQUE (entry_id),
  CONSTRAINT audit_pending_form CHECK (length(entry_id) = 16 AND length(entry) = 93 AND length(salt_meta) = 32 AND length(salt_personal) = 32) NOT VALID,
  CONSTRAINT audit_pending_pkey PRIMARY KEY (number)
) WITH (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=5000);
ALTER TABLE audit_pending ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_pending FORCE ROW LEVEL SECURITY;
CREATE POLICY anyone_acts ON audit_pending AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (true);
CREATE POLICY erasure ON audit_pending AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['erasure'::text]) AS acting_as));
CREATE POLICY sequencer_reads ON audit_pending AS PERMISSIVE FOR SELECT TO aman_sequencer
  USING (true);
CREATE POLICY sequencer_takes ON audit_pending AS PERMISSIVE FOR DELETE TO aman_sequencer
  USING (true);
CREATE POLICY timeline ON audit_pending AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['timeline'::text]) AS acting_as));
CREATE TRIGGER moved_not_removed AFTER DELETE ON audit_pending REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION require_places();
GRANT SELECT ON audit_pending TO aman_app;
GRANT DELETE, SELECT ON audit_pending TO aman_sequencer;
GRANT INSERT (entry_id, entry, meta, salt_meta, salt_personal, subject_commits, at, agency_id, client_id, caseworker, action, outcome, resource_type, code, lawful_ground) ON audit_pending TO aman_app;

CREATE VIEW audit_records WITH (security_invoker=true) AS
 SELECT audit_pending.number,
    NULL::bigint AS index,
    audit_pending.entry_id,
    audit_pending.entry,
    audit_pending.meta,
    audit_pending.salt_meta,
    audit_pending.salt_personal,
    audit_pending.subject_commits,
    audit_pending.at,
    audit_pending.agency_id,
    audit_pending.client_id,
    audit_pending.caseworker,
    audit_pending.action,
    audit_pending.outcome,
    audit_pending.resource_type,
    audit_pending.code,
    audit_pending.lawful_ground
   FROM audit_pending
UNION ALL
 SELECT audit_log.number,
    audit_log.index,
    audit_log.entry_id,
    audit_log.entry,
    audit_log.meta,
    audit_log.salt_meta,
    audit_log.salt_personal,
    audit_log.subject_commits,
    audit_log.at,
    audit_log.agency_id,
    audit_log.client_id,
    audit_log.caseworker,
    audit_log.action,
    audit_log.outcome,
    audit_log.resource_type,
    audit_log.code,
    audit_log.lawful_ground
   FROM audit_log;
GRANT SELECT ON audit_records TO aman_app;

CREATE TABLE audit_spans (
  index bigint NOT NULL,
  earliest timestamp with time zone NOT NULL,
  latest timestamp with time zone NOT NULL,
  CONSTRAINT audit_spans_index_check CHECK ((index % 4096::bigint) = 0),
  CONSTRAINT audit_spans_pkey PRIMARY KEY (index)
);
GRANT SELECT ON audit_spans TO aman_app;
GRANT INSERT, SELECT ON audit_spans TO aman_sequencer;

CREATE TABLE audit_subject_referrals (
  referral_index bytea NOT NULL,
  reader_agency_id text COLLATE "C",
  entry_id bytea NOT NULL,
  ordinal smallint NOT NULL
);
CREATE INDEX audit_subject_referrals_entry ON audit_subject_referrals USING btree (entry_id, ordinal);
CREATE INDEX audit_subject_referrals_referral ON audit_subject_referrals USING btree (referral_index, reader_agency_id);
ALTER TABLE audit_subject_referrals ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_subject_referrals FORCE ROW LEVEL SECURITY;
CREATE POLICY anyone_acts ON audit_subject_referrals AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (true);
CREATE POLICY auditors ON audit_subject_referrals AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (reader_agency_id = (( SELECT me() AS me)) OR ( SELECT is_audit_body() AS is_audit_body));
CREATE POLICY erasure ON audit_subject_referrals AS PERMISSIVE FOR ALL TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['erasure'::text]) AS acting_as));
GRANT INSERT, SELECT ON audit_subject_referrals TO aman_app;

CREATE TABLE audit_subjects (
  entry_id bytea NOT NULL,
  ordinal smallint NOT NULL,
  reader_agency_id text COLLATE "C",
  key_id text COLLATE "C",
  sealed bytea,
  subject_index bytea,
  CONSTRAINT audit_subjects_pkey PRIMARY KEY (entry_id, ordinal)
);
CREATE INDEX audit_subjects_subject ON audit_subjects USING btree (subject_index, reader_agency_id) WHERE subject_index IS NOT NULL;
ALTER TABLE audit_subjects ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_subjects FORCE ROW LEVEL SECURITY;
CREATE POLICY anyone_acts ON audit_subjects AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (true);
CREATE POLICY auditors ON audit_subjects AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (reader_agency_id = (( SELECT me() AS me)) OR ( SELECT is_audit_body() AS is_audit_body));
CREATE POLICY erasure ON audit_subjects AS PERMISSIVE FOR ALL TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['erasure'::text]) AS acting_as))
  WITH CHECK (( SELECT acting_as(VARIADIC ARRAY['erasure'::text]) AS acting_as));
CREATE POLICY timeline ON audit_subjects AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['timeline'::text]) AS acting_as));
GRANT INSERT, SELECT ON audit_subjects TO aman_app;

CREATE TABLE audit_tiles (
  level smallint NOT NULL,
  index bigint NOT NULL,
  hashes bytea NOT NULL,
  root bytea NOT NULL,
  CONSTRAINT audit_tiles_hashes_check CHECK (length(hashes) = 8192),
  CONSTRAINT audit_tiles_pkey PRIMARY KEY (level, index),
  CONSTRAINT audit_tiles_root_check CHECK (length(root) = 32)
);
GRANT SELECT ON audit_tiles TO aman_app;
GRANT INSERT, SELECT ON audit_tiles TO aman_sequencer;

CREATE TABLE batches (
  id text COLLATE "C" NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  group_id text COLLATE "C" NOT NULL,
  sealed bytea NOT NULL,
  created_at timestamp with time zone NOT NULL,
  CONSTRAINT batches_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT batches_group_id_fkey FOREIGN KEY (group_id) REFERENCES groups(id),
  CONSTRAINT batches_pkey PRIMARY KEY (id)
);
CREATE INDEX batches_age ON batches USING btree (created_at);
ALTER TABLE batches ENABLE ROW LEVEL SECURITY;
ALTER TABLE batches FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON batches AS PERMISSIVE FOR ALL TO PUBLIC
  USING (agency_id = (( SELECT me() AS me)) OR ( SELECT acting_as(VARIADIC ARRAY['retention'::text]) AS acting_as))
  WITH CHECK (agency_id = (( SELECT me() AS me)));
GRANT DELETE, INSERT, SELECT ON batches TO aman_app;

CREATE TABLE calendar_moves (
  calendar_id text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  moved integer NOT NULL,
  first_due_at timestamp with time zone NOT NULL,
  last_due_at timestamp with time zone NOT NULL,
  told_at timestamp with time zone,
  CONSTRAINT calendar_moves_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT calendar_moves_calendar_id_fkey FOREIGN KEY (calendar_id) REFERENCES calendars(id),
  CONSTRAINT calendar_moves_pkey PRIMARY KEY (calendar_id, version, agency_id)
);
CREATE INDEX calendar_moves_untold ON calendar_moves USING btree (calendar_id, version) WHERE told_at IS NULL;
ALTER TABLE calendar_moves ENABLE ROW LEVEL SECURITY;
ALTER TABLE calendar_moves FORCE ROW LEVEL SECURITY;
CREATE POLICY read_admin ON calendar_moves AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (( SELECT is_admin() AS is_admin));
CREATE POLICY system ON calendar_moves AS PERMISSIVE FOR ALL TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['clock'::text]) AS acting_as))
  WITH CHECK (( SELECT acting_as(VARIADIC ARRAY['clock'::text]) AS acting_as));
GRANT INSERT, SELECT, UPDATE ON calendar_moves TO aman_app;

CREATE TABLE calendar_versions (
  calendar_id text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  document jsonb NOT NULL,
  created_at timestamp with time zone NOT NULL,
  CONSTRAINT calendar_versions_calendar_id_fkey FOREIGN KEY (calendar_id) REFERENCES calendars(id),
  CONSTRAINT calendar_versions_pkey PRIMARY KEY (calendar_id, version)
);
ALTER TABLE calendar_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE calendar_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY add_admin ON calendar_versions AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (( SELECT is_admin() AS is_admin));
CREATE POLICY read_all ON calendar_versions AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (true);
GRANT INSERT, SELECT ON calendar_versions TO aman_app;

CREATE TABLE calendars (
  id text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  created_at timestamp with time zone NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  CONSTRAINT calendars_pkey PRIMARY KEY (id)
);
ALTER TABLE calendars ENABLE ROW LEVEL SECURITY;
ALTER TABLE calendars FORCE ROW LEVEL SECURITY;
CREATE POLICY add_admin ON calendars AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (( SELECT is_admin() AS is_admin));
CREATE POLICY change_admin ON calendars AS PERMISSIVE FOR UPDATE TO PUBLIC
  USING (( SELECT is_admin() AS is_admin))
  WITH CHECK (( SELECT is_admin() AS is_admin));
CREATE POLICY read_all ON calendars AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (true);
GRANT INSERT, SELECT, UPDATE ON calendars TO aman_app;

CREATE TABLE capacities (
  agency_id text COLLATE "C" NOT NULL,
  service text NOT NULL,
  total integer NOT NULL,
  held_elsewhere integer NOT NULL,
  held integer NOT NULL,
  assured_at timestamp with time zone NOT NULL,
  version integer NOT NULL DEFAULT 1,
  freed integer NOT NULL DEFAULT 1,
  imported boolean NOT NULL DEFAULT false,
  CONSTRAINT capacities_agency_id_service_fkey FOREIGN KEY (agency_id, service) REFERENCES services(agency_id, service),
  CONSTRAINT capacities_pkey PRIMARY KEY (agency_id, service)
);
ALTER TABLE capacities ENABLE ROW LEVEL SECURITY;
ALTER TABLE capacities FORCE ROW LEVEL SECURITY;
CREATE POLICY read_all ON capacities AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (true);
CREATE POLICY write_own ON capacities AS PERMISSIVE FOR ALL TO PUBLIC
  USING (agency_id = (( SELECT me() AS me)) OR ( SELECT acting_as(VARIADIC ARRAY['router'::text]) AS acting_as) OR ( SELECT is_admin() AS is_admin))
  WITH CHECK (agency_id = (( SELECT me() AS me)) OR ( SELECT acting_as(VARIADIC ARRAY['router'::text]) AS acting_as) OR ( SELECT is_admin() AS is_admin));
GRANT INSERT, SELECT, UPDATE ON capacities TO aman_app;

CREATE TABLE case_assignees (
  case_id text COLLATE "C" NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  staff_codes text[] NOT NULL,
  version integer NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  CONSTRAINT case_assignees_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT case_assignees_case_id_fkey FOREIGN KEY (case_id) REFERENCES cases(id),
  CONSTRAINT case_assignees_pkey PRIMARY KEY (case_id, agency_id)
);
ALTER TABLE case_assignees ENABLE ROW LEVEL SECURITY;
ALTER TABLE case_assignees FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON case_assignees AS PERMISSIVE FOR ALL TO PUBLIC
  USING (agency_id = me() AND knows_case(case_id))
  WITH CHECK (agency_id = me() AND (owns(case_id) OR holds(case_id)));
GRANT INSERT, SELECT, UPDATE ON case_assignees TO aman_app;

CREATE TABLE case_data (
  case_id text COLLATE "C" NOT NULL,
  category text NOT NULL,
  version integer NOT NULL,
  sealed bytea NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  CONSTRAINT case_data_case_id_fkey FOREIGN KEY (case_id) REFERENCES cases(id),
  CONSTRAINT case_data_pkey PRIMARY KEY (case_id, category)
);
ALTER TABLE case_data ENABLE ROW LEVEL SECURITY;
ALTER TABLE case_data FORCE ROW LEVEL SECURITY;
CREATE POLICY matcher ON case_data AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (category = 'identity'::text AND ( SELECT acting_as(VARIADIC ARRAY['matcher'::text]) AS acting_as));
CREATE POLICY owner ON case_data AS PERMISSIVE FOR ALL TO PUBLIC
  USING (owner_sees(case_id, category))
  WITH CHECK (owner_sees(case_id, category));
CREATE POLICY parties ON case_data AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (category = 'profile'::text AND acting_as(VARIADIC ARRAY['router'::text, 'clock'::text]) OR holds_category(case_id, category) OR category = 'profile'::text AND takes_part_now(case_id));
GRANT INSERT, SELECT, UPDATE ON case_data TO aman_app;

CREATE TABLE case_data_history (
  case_id text COLLATE "C" NOT NULL,
  category text NOT NULL,
  version integer NOT NULL,
  sealed bytea NOT NULL,
  replaced_at timestamp with time zone NOT NULL,
  CONSTRAINT case_data_history_case_id_fkey FOREIGN KEY (case_id) REFERENCES cases(id),
  CONSTRAINT case_data_history_pkey PRIMARY KEY (case_id, category, version)
);
ALTER TABLE case_data_history ENABLE ROW LEVEL SECURITY;
ALTER TABLE case_data_history FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON case_data_history AS PERMISSIVE FOR ALL TO PUBLIC
  USING (owner_sees(case_id, category))
  WITH CHECK (owner_sees(case_id, category));
GRANT INSERT, SELECT, UPDATE ON case_data_history TO aman_app;

CREATE TABLE case_keys (
  case_id text COLLATE "C" NOT NULL,
  kek_id text COLLATE "C" NOT NULL,
  wrapped bytea NOT NULL,
  CONSTRAINT case_keys_case_id_fkey FOREIGN KEY (case_id) REFERENCES cases(id),
  CONSTRAINT case_keys_pkey PRIMARY KEY (case_id)
);
ALTER TABLE case_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE case_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY erasure ON case_keys AS PERMISSIVE FOR ALL TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['erasure'::text]) AS acting_as));
CREATE POLICY matcher ON case_keys AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['matcher'::text]) AS acting_as));
CREATE POLICY owner ON case_keys AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (owns(case_id));
CREATE POLICY parties ON case_keys AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (acting_as(VARIADIC ARRAY['timeline'::text]) OR knows_case(case_id) OR takes_part(case_id) OR ( SELECT is_audit_body() AS is_audit_body));
GRANT INSERT, SELECT, UPDATE ON case_keys TO aman_app;

CREATE TABLE case_reopenings (
  case_id text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  sealed bytea NOT NULL,
  reopened_at timestamp with time zone NOT NULL,
  CONSTRAINT case_reopenings_case_id_fkey FOREIGN KEY (case_id) REFERENCES cases(id),
  CONSTRAINT case_reopenings_pkey PRIMARY KEY (case_id, version)
);
ALTER TABLE case_reopenings ENABLE ROW LEVEL SECURITY;
ALTER TABLE case_reopenings FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON case_reopenings AS PERMISSIVE FOR ALL TO PUBLIC
  USING (owns(case_id))
  WITH CHECK (owns(case_id));
GRANT INSERT, SELECT ON case_reopenings TO aman_app;

CREATE TABLE case_separations (
  id text COLLATE "C" NOT NULL,
  case_id text COLLATE "C" NOT NULL,
  from_case_id text COLLATE "C" NOT NULL,
  until timestamp with time zone,
  created_at timestamp with time zone NOT NULL,
  said_by_agency_id text COLLATE "C" NOT NULL,
  agreed_at timestamp with time zone,
  CONSTRAINT case_separations_case_id_fkey FOREIGN KEY (case_id) REFERENCES cases(id),
  CONSTRAINT case_separations_check CHECK (case_id <> from_case_id),
  CONSTRAINT case_separations_from_case_id_fkey FOREIGN KEY (from_case_id) REFERENCES cases(id),
  CONSTRAINT case_separations_pkey PRIMARY KEY (id),
  CONSTRAINT case_separations_said_by_agency_id_fkey FOREIGN KEY (said_by_agency_id) REFERENCES agencies(id)
);
CREATE INDEX case_separations_from ON case_separations USING btree (from_case_id);
CREATE UNIQUE INDEX case_separations_pair ON case_separations USING btree (case_id, from_case_id, (agreed_at IS NULL));
ALTER TABLE case_separations ENABLE ROW LEVEL SECURITY;
ALTER TABLE case_separations FORCE ROW LEVEL SECURITY;
CREATE POLICY other_agrees ON case_separations AS PERMISSIVE FOR UPDATE TO PUBLIC
  USING (accounts_for_case(from_case_id))
  WITH CHECK (accounts_for_case(from_case_id));
CREATE POLICY owner_says ON case_separations AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (said_by_agency_id = (( SELECT me() AS me)) AND owns(case_id) AND (agreed_at IS NULL OR owns(from_case_id)));
CREATE POLICY owner_says_again ON case_separations AS PERMISSIVE FOR UPDATE TO PUBLIC
  USING (owns(case_id) AND (agreed_at IS NULL OR owns(from_case_id)))
  WITH CHECK (owns(case_id) AND (agreed_at IS NULL OR owns(from_case_id)));
CREATE POLICY parties ON case_separations AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['router'::text]) AS acting_as) OR accounts_for_case(case_id) OR accounts_for_case(from_case_id));
CREATE POLICY parties_lift ON case_separations AS PERMISSIVE FOR DELETE TO PUBLIC
  USING (accounts_for_case(case_id) OR accounts_for_case(from_case_id));
GRANT DELETE, INSERT, SELECT ON case_separations TO aman_app;
GRANT UPDATE (until, agreed_at) ON case_separations TO aman_app;

CREATE TABLE cases (
  id text COLLATE "C" NOT NULL,
  reference text NOT NULL,
  owner_agency_id text COLLATE "C" NOT NULL,
  jurisdiction text NOT NULL,
  region text,
  track text NOT NULL,
  risk text NOT NULL,
  stage text NOT NULL,
  stage_before_close text,
  close_reason text,
  group_id text COLLATE "C",
  opened_at timestamp with time zone NOT NULL,
  closed_at timestamp with time zone,
  version integer NOT NULL DEFAULT 1,
  updated_at timestamp with time zone NOT NULL,
  opened_by_agency_id text COLLATE "C",
  owned_since timestamp with time zone,
  owned_by_referral_id text COLLATE "C",
  owner_withheld text[] NOT NULL DEFAULT '{}'::text[],
  crisis_mode_id text COLLATE "C",
  family smallint,
  CONSTRAINT cases_check CHECK (family IS NULL OR group_id IS NOT NULL),
  CONSTRAINT cases_group_id_fkey FOREIGN KEY (group_id) REFERENCES groups(id),
  CONSTRAINT cases_opened_by_agency_id_fkey FOREIGN KEY (opened_by_agency_id) REFERENCES agencies(id),
  CONSTRAINT cases_owned_by_referral_id_fkey FOREIGN KEY (owned_by_referral_id) REFERENCES referrals(id),
  CONSTRAINT cases_owner_agency_id_fkey FOREIGN KEY (owner_agency_id) REFERENCES agencies(id),
  CONSTRAINT cases_pkey PRIMARY KEY (id),
  CONSTRAINT cases_reference_key UNIQUE (reference)
);
CREATE INDEX cases_group ON cases USING btree (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX cases_jurisdiction ON cases USING btree (jurisdiction, id);
CREATE INDEX cases_owner ON cases USING btree (owner_agency_id, id);
ALTER TABLE cases ENABLE ROW LEVEL SECURITY;
ALTER TABLE cases FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON cases AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (owner_agency_id = me());
CREATE POLICY owner_writes ON cases AS PERMISSIVE FOR UPDATE TO PUBLIC
  USING (owner_agency_id = me() OR acting_as(VARIADIC ARRAY['router'::text, 'clock'::text, 'lock'::text]))
  WITH CHECK (owner_agency_id = me() OR acting_as(VARIADIC ARRAY['router'::text, 'clock'::text]));
CREATE POLICY parties ON cases AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (owner_agency_id = me() OR acting_as(VARIADIC ARRAY['router'::text, 'clock'::text, 'trail'::text, 'relay'::text, 'lock'::text]) OR was_disclosed(id) OR (jurisdiction = ANY ((( SELECT coordinated() AS coordinated))::text[])));
GRANT INSERT, SELECT, UPDATE ON cases TO aman_app;

CREATE TABLE caseworkers (
  id text COLLATE "C" NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  staff_code text NOT NULL,
  roles text[] NOT NULL,
  languages text[] NOT NULL,
  certifications jsonb NOT NULL,
  status text NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamp with time zone NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  CONSTRAINT caseworkers_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT caseworkers_agency_id_staff_code_key UNIQUE (agency_id, staff_code),
  CONSTRAINT caseworkers_pkey PRIMARY KEY (id)
);
ALTER TABLE caseworkers ENABLE ROW LEVEL SECURITY;
ALTER TABLE caseworkers FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON caseworkers AS PERMISSIVE FOR ALL TO PUBLIC
  USING (agency_id = (( SELECT me() AS me)) OR ( SELECT is_admin() AS is_admin) OR ( SELECT acting_as(VARIADIC ARRAY['access'::text]) AS acting_as))
  WITH CHECK (agency_id = (( SELECT me() AS me)) OR ( SELECT is_admin() AS is_admin));
GRANT INSERT, SELECT, UPDATE ON caseworkers TO aman_app;

CREATE TABLE client_assertions (
  client_id text COLLATE "C" NOT NULL,
  jti_hash bytea NOT NULL,
  expires_at timestamp with time zone NOT NULL,
  CONSTRAINT client_assertions_client_id_fkey FOREIGN KEY (client_id) REFERENCES clients(id),
  CONSTRAINT client_assertions_pkey PRIMARY KEY (client_id, jti_hash)
);
CREATE INDEX client_assertions_expiry ON client_assertions USING btree (expires_at);
ALTER TABLE client_assertions ENABLE ROW LEVEL SECURITY;
ALTER TABLE client_assertions FORCE ROW LEVEL SECURITY;
CREATE POLICY add ON client_assertions AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (( SELECT acting_as(VARIADIC ARRAY['access'::text]) AS acting_as));
CREATE POLICY remove ON client_assertions AS PERMISSIVE FOR DELETE TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['retention'::text]) AS acting_as));
CREATE POLICY see ON client_assertions AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['access'::text, 'retention'::text]) AS acting_as));
GRANT DELETE, INSERT, SELECT ON client_assertions TO aman_app;

CREATE TABLE client_keys (
  client_id text COLLATE "C" NOT NULL,
  kid text NOT NULL,
  alg text NOT NULL,
  thumbprint text NOT NULL,
  jwk jsonb NOT NULL,
  created_at timestamp with time zone NOT NULL,
  CONSTRAINT client_keys_client_id_fkey FOREIGN KEY (client_id) REFERENCES clients(id),
  CONSTRAINT client_keys_client_id_thumbprint_key UNIQUE (client_id, thumbprint),
  CONSTRAINT client_keys_pkey PRIMARY KEY (client_id, kid)
);
ALTER TABLE client_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE client_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY keep ON client_keys AS PERMISSIVE FOR ALL TO PUBLIC
  USING (keeps_client(client_id))
  WITH CHECK (keeps_client(client_id));
CREATE POLICY see ON client_keys AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (knows_client(client_id));
GRANT DELETE, INSERT, SELECT ON client_keys TO aman_app;

CREATE TABLE client_secrets (
  client_id text COLLATE "C" NOT NULL,
  hash text NOT NULL,
  created_at timestamp with time zone NOT NULL,
  expires_at timestamp with time zone,
  tag bytea,
  CONSTRAINT client_secrets_client_id_fkey FOREIGN KEY (client_id) REFERENCES clients(id),
  CONSTRAINT client_secrets_pkey PRIMARY KEY (client_id, hash)
);
ALTER TABLE client_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE client_secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY keep ON client_secrets AS PERMISSIVE FOR ALL TO PUBLIC
  USING (keeps_client(client_id))
  WITH CHECK (keeps_client(client_id));
CREATE POLICY see ON client_secrets AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (knows_client(client_id));
GRANT DELETE, INSERT, SELECT, UPDATE ON client_secrets TO aman_app;

CREATE TABLE clients (
  id text COLLATE "C" NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  description text,
  scopes text[] NOT NULL,
  status text NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamp with time zone NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  CONSTRAINT clients_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT clients_pkey PRIMARY KEY (id)
);
CREATE INDEX clients_agency ON clients USING btree (agency_id);
ALTER TABLE clients ENABLE ROW LEVEL SECURITY;
ALTER TABLE clients FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON clients AS PERMISSIVE FOR ALL TO PUBLIC
  USING (agency_id = (( SELECT me() AS me)) OR ( SELECT is_admin() AS is_admin) OR ( SELECT acting_as(VARIADIC ARRAY['access'::text]) AS acting_as))
  WITH CHECK (agency_id = (( SELECT me() AS me)) OR ( SELECT is_admin() AS is_admin));
GRANT INSERT, SELECT, UPDATE ON clients TO aman_app;

CREATE TABLE consents (
  id text COLLATE "C" NOT NULL,
  case_id text COLLATE "C" NOT NULL,
  recipient_agency_id text COLLATE "C",
  recipient_agency_kind text,
  purposes text[] NOT NULL,
  categories text[] NOT NULL,
  sealed bytea NOT NULL,
  expires_at timestamp with time zone,
  expired_at timestamp with time zone,
  withdrawn_at timestamp with time zone,
  version integer NOT NULL DEFAULT 1,
  created_at timestamp with time zone NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  expiry_warned_at timestamp with time zone,
  CONSTRAINT consents_case_id_fkey FOREIGN KEY (case_id) REFERENCES cases(id),
  CONSTRAINT consents_check CHECK ((recipient_agency_id IS NULL) <> (recipient_agency_kind IS NULL)),
  CONSTRAINT consents_pkey PRIMARY KEY (id),
  CONSTRAINT consents_recipient_agency_id_fkey FOREIGN KEY (recipient_agency_id) REFERENCES agencies(id)
);
CREATE INDEX consents_case ON consents USING btree (case_id);
CREATE INDEX consents_expiring ON consents USING btree (expires_at) WHERE withdrawn_at IS NULL AND expired_at IS NULL;
ALTER TABLE consents ENABLE ROW LEVEL SECURITY;
ALTER TABLE consents FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON consents AS PERMISSIVE FOR ALL TO PUBLIC
  USING (acting_as(VARIADIC ARRAY['router'::text, 'clock'::text]) OR owns(case_id))
  WITH CHECK (acting_as(VARIADIC ARRAY['router'::text, 'clock'::text]) OR owns(case_id));
CREATE POLICY trail ON consents AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (acting_as(VARIADIC ARRAY['trail'::text]));
GRANT INSERT, SELECT, UPDATE ON consents TO aman_app;

CREATE TABLE coverage_states (
  jurisdiction text NOT NULL,
  seen text,
  regions text[] NOT NULL,
  gaps jsonb NOT NULL,
  looked_at timestamp with time zone NOT NULL,
  CONSTRAINT coverage_states_pkey PRIMARY KEY (jurisdiction)
);
ALTER TABLE coverage_states ENABLE ROW LEVEL SECURITY;
ALTER TABLE coverage_states FORCE ROW LEVEL SECURITY;
CREATE POLICY router ON coverage_states AS PERMISSIVE FOR ALL TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['router'::text]) AS acting_as))
  WITH CHECK (( SELECT acting_as(VARIADIC ARRAY['router'::text]) AS acting_as));
GRANT INSERT, SELECT, UPDATE ON coverage_states TO aman_app;

CREATE TABLE crisis_modes (
  id text COLLATE "C" NOT NULL,
  jurisdiction text COLLATE "C" NOT NULL,
  regions text[] NOT NULL,
  kind text NOT NULL,
  phase text NOT NULL,
  reason text NOT NULL,
  declared_by_agency_id text COLLATE "C" NOT NULL,
  staff_code text NOT NULL,
  started_at timestamp with time zone NOT NULL,
  expires_at timestamp with time zone NOT NULL,
  renewed integer NOT NULL DEFAULT 0,
  ended_at timestamp with time zone,
  ended_by_staff_code text,
  version integer NOT NULL DEFAULT 1,
  updated_at timestamp with time zone NOT NULL,
  CONSTRAINT crisis_modes_pkey PRIMARY KEY (id)
);
CREATE INDEX crisis_modes_held ON crisis_modes USING btree (jurisdiction) WHERE ended_at IS NULL;
CREATE INDEX crisis_modes_listed ON crisis_modes USING btree (jurisdiction, id);
ALTER TABLE crisis_modes ENABLE ROW LEVEL SECURITY;
ALTER TABLE crisis_modes FORCE ROW LEVEL SECURITY;
CREATE POLICY changed ON crisis_modes AS PERMISSIVE FOR UPDATE TO PUBLIC
  USING ((jurisdiction = ANY ((( SELECT coordinated() AS coordinated))::text[])) OR ( SELECT acting_as(VARIADIC ARRAY['clock'::text]) AS acting_as))
  WITH CHECK ((jurisdiction = ANY ((( SELECT coordinated() AS coordinated))::text[])) OR ( SELECT acting_as(VARIADIC ARRAY['clock'::text]) AS acting_as));
CREATE POLICY declared ON crisis_modes AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (jurisdiction = ANY ((( SELECT coordinated() AS coordinated))::text[]));
CREATE POLICY known ON crisis_modes AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (true);
GRANT INSERT, SELECT, UPDATE ON crisis_modes TO aman_app;

CREATE TABLE decision_reasons (
  decision_id text COLLATE "C" NOT NULL,
  case_id text COLLATE "C" NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  sealed bytea NOT NULL,
  CONSTRAINT decision_reasons_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT decision_reasons_case_id_fkey FOREIGN KEY (case_id) REFERENCES cases(id),
  CONSTRAINT decision_reasons_decision_id_fkey FOREIGN KEY (decision_id) REFERENCES decisions(id),
  CONSTRAINT decision_reasons_pkey PRIMARY KEY (decision_id)
);
ALTER TABLE decision_reasons ENABLE ROW LEVEL SECURITY;
ALTER TABLE decision_reasons FORCE ROW LEVEL SECURITY;
CREATE POLICY authority ON decision_reasons AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (agency_id = me() AND decides(case_id));
CREATE POLICY parties ON decision_reasons AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (agency_id = me() AND was_disclosed(case_id) OR owner_sees(case_id, 'criminal_justice'::text) OR decides(case_id));
GRANT INSERT, SELECT ON decision_reasons TO aman_app;

CREATE TABLE decisions (
  id text COLLATE "C" NOT NULL,
  case_id text COLLATE "C" NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  jurisdiction text NOT NULL,
  kind text NOT NULL,
  outcome text NOT NULL,
  decided_at timestamp with time zone NOT NULL,
  served_at timestamp with time zone,
  staff_code text NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamp with time zone NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  CONSTRAINT decisions_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT decisions_case_id_fkey FOREIGN KEY (case_id) REFERENCES cases(id),
  CONSTRAINT decisions_check CHECK (served_at >= decided_at),
  CONSTRAINT decisions_outcome_check CHECK (outcome = ANY (ARRAY['positive'::text, 'negative'::text])),
  CONSTRAINT decisions_pkey PRIMARY KEY (id)
);
CREATE INDEX decisions_case ON decisions USING btree (case_id, id);
ALTER TABLE decisions ENABLE ROW LEVEL SECURITY;
ALTER TABLE decisions FORCE ROW LEVEL SECURITY;
CREATE POLICY authority ON decisions AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (agency_id = me() AND decides(case_id));
CREATE POLICY parties ON decisions AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (acting_as(VARIADIC ARRAY['router'::text, 'clock'::text, 'trail'::text]) OR owns(case_id) OR agency_id = me() AND was_disclosed(case_id) OR decides(case_id) OR (jurisdiction = ANY ((( SELECT coordinated() AS coordinated))::text[])));
CREATE POLICY relay ON decisions AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as));
CREATE POLICY serves ON decisions AS PERMISSIVE FOR UPDATE TO PUBLIC
  USING (owns(case_id) OR agency_id = me() AND was_disclosed(case_id))
  WITH CHECK (owns(case_id) OR agency_id = me() AND was_disclosed(case_id));
GRANT INSERT, SELECT ON decisions TO aman_app;
GRANT UPDATE (served_at, version, updated_at) ON decisions TO aman_app;

CREATE TABLE deliveries (
  id text COLLATE "C" NOT NULL,
  endpoint_id text COLLATE "C" NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  event_number bigint NOT NULL,
  event_id text COLLATE "C" NOT NULL,
  event_type text NOT NULL,
  subject_id text COLLATE "C" NOT NULL,
  sequence bigint NOT NULL,
  urgent boolean NOT NULL,
  waits boolean NOT NULL,
  state text NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  next_attempt_at timestamp with time zone,
  claimed_until timestamp with time zone,
  last_status integer,
  last_error text,
  created_at timestamp with time zone NOT NULL,
  delivered_at timestamp with time zone,
  "position" bigint,
  attempts_before integer NOT NULL DEFAULT 0,
  asked_after_stop integer,
  CONSTRAINT deliveries_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES webhook_endpoints(id),
  CONSTRAINT deliveries_event_number_fkey FOREIGN KEY (event_number) REFERENCES events(number) ON DELETE CASCADE,
  CONSTRAINT deliveries_pkey PRIMARY KEY (id)
) WITH (fillfactor=80);
CREATE INDEX deliveries_age ON deliveries USING brin (created_at);
CREATE INDEX deliveries_asked ON deliveries USING btree (endpoint_id, asked_after_stop, urgent DESC, next_attempt_at, "position") WHERE next_attempt_at IS NOT NULL AND asked_after_stop IS NOT NULL;
CREATE INDEX deliveries_due ON deliveries USING btree (endpoint_id, urgent DESC, next_attempt_at, "position") WHERE next_attempt_at IS NOT NULL;
CREATE INDEX deliveries_endpoint ON deliveries USING btree (endpoint_id, id);
CREATE UNIQUE INDEX deliveries_event ON deliveries USING btree (event_number, endpoint_id);
CREATE INDEX deliveries_order ON deliveries USING btree (endpoint_id, subject_id, sequence) WHERE state = 'pending'::text;
ALTER TABLE deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE deliveries FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON deliveries AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (agency_id = (( SELECT me() AS me)) OR ( SELECT acting_as(VARIADIC ARRAY['relay'::text, 'retention'::text]) AS acting_as));
CREATE POLICY relay_changes ON deliveries AS PERMISSIVE FOR UPDATE TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as))
  WITH CHECK (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as));
CREATE POLICY relay_makes ON deliveries AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as));
CREATE POLICY retention ON deliveries AS PERMISSIVE FOR DELETE TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['retention'::text]) AS acting_as));
GRANT DELETE, INSERT, SELECT, UPDATE ON deliveries TO aman_app;

CREATE TABLE delivery_attempts (
  delivery_id text COLLATE "C" NOT NULL,
  attempt integer NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  started_at timestamp with time zone NOT NULL,
  duration_ms integer NOT NULL,
  status integer,
  error text,
  CONSTRAINT delivery_attempts_delivery_id_fkey FOREIGN KEY (delivery_id) REFERENCES deliveries(id) ON DELETE CASCADE,
  CONSTRAINT delivery_attempts_pkey PRIMARY KEY (delivery_id, attempt)
);
CREATE INDEX delivery_attempts_age ON delivery_attempts USING brin (started_at);
ALTER TABLE delivery_attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE delivery_attempts FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON delivery_attempts AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (agency_id = (( SELECT me() AS me)) OR ( SELECT acting_as(VARIADIC ARRAY['relay'::text, 'retention'::text]) AS acting_as));
CREATE POLICY relay_makes ON delivery_attempts AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as));
CREATE POLICY retention ON delivery_attempts AS PERMISSIVE FOR DELETE TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['retention'::text]) AS acting_as));
GRANT DELETE, INSERT, SELECT ON delivery_attempts TO aman_app;

CREATE TABLE deployment (
  name text NOT NULL,
  value jsonb NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT deployment_pkey PRIMARY KEY (name)
);
GRANT INSERT, SELECT ON deployment TO aman_app;

CREATE TABLE digests (
  agency_id text COLLATE "C" NOT NULL,
  jurisdiction text NOT NULL,
  day date NOT NULL,
  told_at timestamp with time zone NOT NULL,
  CONSTRAINT digests_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT digests_pkey PRIMARY KEY (agency_id, jurisdiction, day)
);
ALTER TABLE digests ENABLE ROW LEVEL SECURITY;
ALTER TABLE digests FORCE ROW LEVEL SECURITY;
CREATE POLICY relay ON digests AS PERMISSIVE FOR ALL TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as))
  WITH CHECK (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as));
GRANT INSERT, SELECT, UPDATE ON digests TO aman_app;

CREATE TABLE directory_imports (
  id text COLLATE "C" NOT NULL,
  source text NOT NULL,
  jurisdiction text NOT NULL,
  report jsonb NOT NULL,
  created_at timestamp with time zone NOT NULL,
  CONSTRAINT directory_imports_pkey PRIMARY KEY (id)
);
ALTER TABLE directory_imports ENABLE ROW LEVEL SECURITY;
ALTER TABLE directory_imports FORCE ROW LEVEL SECURITY;
CREATE POLICY admin ON directory_imports AS PERMISSIVE FOR ALL TO PUBLIC
  USING (( SELECT is_admin() AS is_admin))
  WITH CHECK (( SELECT is_admin() AS is_admin));
GRANT INSERT, SELECT ON directory_imports TO aman_app;

CREATE TABLE directory_sources (
  source text NOT NULL,
  foreign_id text NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  CONSTRAINT directory_sources_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT directory_sources_pkey PRIMARY KEY (source, foreign_id)
);
ALTER TABLE directory_sources ENABLE ROW LEVEL SECURITY;
ALTER TABLE directory_sources FORCE ROW LEVEL SECURITY;
CREATE POLICY admin ON directory_sources AS PERMISSIVE FOR ALL TO PUBLIC
  USING (( SELECT is_admin() AS is_admin))
  WITH CHECK (( SELECT is_admin() AS is_admin));
GRANT INSERT, SELECT ON directory_sources TO aman_app;

CREATE TABLE disclosures (
  id text COLLATE "C" NOT NULL,
  case_id text COLLATE "C" NOT NULL,
  referral_id text COLLATE "C" NOT NULL,
  offer_id text COLLATE "C" NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  categories text[] NOT NULL,
  categories_held text[] NOT NULL,
  ground text NOT NULL,
  started_at timestamp with time zone NOT NULL,
  ended_at timestamp with time zone,
  deletion_due_at timestamp with time zone,
  deletion_confirmed_at timestamp with time zone,
  forgotten_at timestamp with time zone,
  CONSTRAINT disclosures_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT disclosures_case_id_fkey FOREIGN KEY (case_id) REFERENCES cases(id),
  CONSTRAINT disclosures_offer_id_agency_id_key UNIQUE (offer_id, agency_id),
  CONSTRAINT disclosures_offer_id_fkey FOREIGN KEY (offer_id) REFERENCES offers(id),
  CONSTRAINT disclosures_pkey PRIMARY KEY (id),
  CONSTRAINT disclosures_referral_id_fkey FOREIGN KEY (referral_id) REFERENCES referrals(id)
);
CREATE INDEX disclosures_case ON disclosures USING btree (case_id, agency_id);
CREATE INDEX disclosures_live ON disclosures USING btree (agency_id, case_id) WHERE ended_at IS NULL;
ALTER TABLE disclosures ENABLE ROW LEVEL SECURITY;
ALTER TABLE disclosures FORCE ROW LEVEL SECURITY;
CREATE POLICY forgotten ON disclosures AS RESTRICTIVE FOR SELECT TO PUBLIC
  USING (forgotten_at IS NULL OR agency_id IS DISTINCT FROM me() OR is_system() OR accounts_for(offer_id));
CREATE POLICY parties ON disclosures AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (agency_id = me() OR acting_as(VARIADIC ARRAY['router'::text, 'clock'::text, 'relay'::text, 'trail'::text]) OR accounts_for(offer_id));
CREATE POLICY system ON disclosures AS PERMISSIVE FOR ALL TO PUBLIC
  USING (acting_as(VARIADIC ARRAY['router'::text, 'clock'::text]))
  WITH CHECK (acting_as(VARIADIC ARRAY['router'::text, 'clock'::text]));
GRANT INSERT, SELECT, UPDATE ON disclosures TO aman_app;

CREATE TABLE duty_rosters (
  jurisdiction text COLLATE "C" NOT NULL,
  entries jsonb NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamp with time zone NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  CONSTRAINT duty_rosters_pkey PRIMARY KEY (jurisdiction)
);
ALTER TABLE duty_rosters ENABLE ROW LEVEL SECURITY;
ALTER TABLE duty_rosters FORCE ROW LEVEL SECURITY;
CREATE POLICY changed ON duty_rosters AS PERMISSIVE FOR UPDATE TO PUBLIC
  USING (jurisdiction = ANY ((( SELECT coordinated() AS coordinated))::text[]))
  WITH CHECK (jurisdiction = ANY ((( SELECT coordinated() AS coordinated))::text[]));
CREATE POLICY known ON duty_rosters AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (entries @> jsonb_build_array(jsonb_build_object('agency_id', me())) OR (jurisdiction = ANY ((( SELECT coordinated() AS coordinated))::text[])) OR acting_as(VARIADIC ARRAY['access'::text]));
CREATE POLICY put ON duty_rosters AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (jurisdiction = ANY ((( SELECT coordinated() AS coordinated))::text[]));
GRANT INSERT, SELECT, UPDATE ON duty_rosters TO aman_app;

CREATE TABLE event_positions (
  agency_id text COLLATE "C" NOT NULL,
  last bigint NOT NULL,
  CONSTRAINT event_positions_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT event_positions_pkey PRIMARY KEY (agency_id)
);
ALTER TABLE event_positions ENABLE ROW LEVEL SECURITY;
ALTER TABLE event_positions FORCE ROW LEVEL SECURITY;
CREATE POLICY relay ON event_positions AS PERMISSIVE FOR ALL TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as))
  WITH CHECK (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as));
GRANT INSERT, SELECT, UPDATE ON event_positions TO aman_app;

CREATE TABLE event_pulls (
  agency_id text COLLATE "C" NOT NULL,
  pulled_at timestamp with time zone NOT NULL,
  "position" bigint NOT NULL,
  CONSTRAINT event_pulls_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT event_pulls_pkey PRIMARY KEY (agency_id)
);
ALTER TABLE event_pulls ENABLE ROW LEVEL SECURITY;
ALTER TABLE event_pulls FORCE ROW LEVEL SECURITY;
CREATE POLICY relay ON event_pulls AS PERMISSIVE FOR ALL TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as))
  WITH CHECK (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as));
GRANT INSERT, SELECT, UPDATE ON event_pulls TO aman_app;

CREATE TABLE event_sequences (
  agency_id text COLLATE "C" NOT NULL,
  subject_id text COLLATE "C" NOT NULL,
  last bigint NOT NULL,
  CONSTRAINT event_sequences_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT event_sequences_pkey PRIMARY KEY (agency_id, subject_id)
);
ALTER TABLE event_sequences ENABLE ROW LEVEL SECURITY;
ALTER TABLE event_sequences FORCE ROW LEVEL SECURITY;
CREATE POLICY relay ON event_sequences AS PERMISSIVE FOR ALL TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as))
  WITH CHECK (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as));
GRANT INSERT, SELECT, UPDATE ON event_sequences TO aman_app;

CREATE TABLE events (
  number bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  id text COLLATE "C" NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  type text NOT NULL,
  subject_id text COLLATE "C" NOT NULL,
  referral_id text COLLATE "C",
  case_id text COLLATE "C",
  urgent boolean NOT NULL,
  reaches_always boolean NOT NULL,
  body jsonb NOT NULL,
  occurred_at timestamp with time zone NOT NULL,
  "position" bigint,
  sequence bigint,
  heard_at timestamp with time zone,
  CONSTRAINT events_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT events_agency_id_id_key UNIQUE (agency_id, id),
  CONSTRAINT events_pkey PRIMARY KEY (number)
);
CREATE INDEX events_age ON events USING btree (occurred_at);
CREATE UNIQUE INDEX events_position ON events USING btree (agency_id, "position") WHERE "position" IS NOT NULL;
CREATE INDEX events_unheard ON events USING btree (occurred_at) WHERE urgent AND heard_at IS NULL AND type !~~ 'endpoint.%'::text AND NOT (type = 'timer.escalated'::text AND case_id IS NULL);
CREATE INDEX events_unnumbered ON events USING btree (number) WHERE "position" IS NULL;
ALTER TABLE events ENABLE ROW LEVEL SECURITY;
ALTER TABLE events FORCE ROW LEVEL SECURITY;
CREATE POLICY anyone_tells ON events AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK ("position" IS NULL);
CREATE POLICY own ON events AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (agency_id = (( SELECT me() AS me)) OR ( SELECT acting_as(VARIADIC ARRAY['relay'::text, 'retention'::text]) AS acting_as));
CREATE POLICY relay ON events AS PERMISSIVE FOR UPDATE TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as))
  WITH CHECK (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as));
CREATE POLICY retention ON events AS PERMISSIVE FOR DELETE TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['retention'::text]) AS acting_as));
GRANT DELETE, INSERT, SELECT, UPDATE ON events TO aman_app;

CREATE TABLE expert_contacts (
  expert_id text COLLATE "C" NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  sealed bytea NOT NULL,
  CONSTRAINT expert_contacts_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT expert_contacts_expert_id_agency_id_fkey FOREIGN KEY (expert_id, agency_id) REFERENCES experts(id, agency_id),
  CONSTRAINT expert_contacts_pkey PRIMARY KEY (expert_id)
);
ALTER TABLE expert_contacts ENABLE ROW LEVEL SECURITY;
ALTER TABLE expert_contacts FORCE ROW LEVEL SECURITY;
CREATE POLICY keeper ON expert_contacts AS PERMISSIVE FOR ALL TO PUBLIC
  USING (agency_id = (( SELECT me() AS me)))
  WITH CHECK (agency_id = (( SELECT me() AS me)));
CREATE POLICY requester ON expert_contacts AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (has_confirmed(expert_id));
GRANT INSERT, SELECT, UPDATE ON expert_contacts TO aman_app;

CREATE TABLE expert_request_details (
  request_id text COLLATE "C" NOT NULL,
  requester_agency_id text COLLATE "C" NOT NULL,
  case_id text COLLATE "C",
  sealed bytea,
  CONSTRAINT expert_request_details_case_id_fkey FOREIGN KEY (case_id) REFERENCES cases(id),
  CONSTRAINT expert_request_details_pkey PRIMARY KEY (request_id),
  CONSTRAINT expert_request_details_request_id_requester_agency_id_fkey FOREIGN KEY (request_id, requester_agency_id) REFERENCES expert_requests(id, requester_agency_id),
  CONSTRAINT expert_request_details_requester_agency_id_fkey FOREIGN KEY (requester_agency_id) REFERENCES agencies(id)
);
CREATE INDEX expert_request_details_case ON expert_request_details USING btree (case_id) WHERE case_id IS NOT NULL;
CREATE INDEX expert_request_details_kept ON expert_request_details USING btree (request_id) WHERE sealed IS NOT NULL;
ALTER TABLE expert_request_details ENABLE ROW LEVEL SECURITY;
ALTER TABLE expert_request_details FORCE ROW LEVEL SECURITY;
CREATE POLICY matcher ON expert_request_details AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['matcher'::text]) AS acting_as));
CREATE POLICY matcher_empties ON expert_request_details AS PERMISSIVE FOR UPDATE TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['matcher'::text]) AS acting_as))
  WITH CHECK (sealed IS NULL);
CREATE POLICY requester ON expert_request_details AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (requester_agency_id = (( SELECT me() AS me)));
CREATE POLICY requester_says ON expert_request_details AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (requester_agency_id = (( SELECT me() AS me)) AND (case_id IS NULL OR owns(case_id) OR holds(case_id)));
GRANT INSERT, SELECT ON expert_request_details TO aman_app;
GRANT UPDATE (sealed) ON expert_request_details TO aman_app;

CREATE TABLE expert_requests (
  id text COLLATE "C" NOT NULL,
  expert_id text COLLATE "C" NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  requester_agency_id text COLLATE "C" NOT NULL,
  staff_code text NOT NULL,
  skill text NOT NULL,
  language text,
  jurisdiction text NOT NULL,
  region text,
  "from" timestamp with time zone NOT NULL,
  "to" timestamp with time zone NOT NULL,
  mode text NOT NULL,
  urgency text NOT NULL,
  status text NOT NULL,
  reason_code text,
  version integer NOT NULL DEFAULT 1,
  created_at timestamp with time zone NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  CONSTRAINT expert_requests_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT expert_requests_expert_id_agency_id_fkey FOREIGN KEY (expert_id, agency_id) REFERENCES experts(id, agency_id),
  CONSTRAINT expert_requests_id_requester_agency_id_key UNIQUE (id, requester_agency_id),
  CONSTRAINT expert_requests_pkey PRIMARY KEY (id),
  CONSTRAINT expert_requests_requester_agency_id_fkey FOREIGN KEY (requester_agency_id) REFERENCES agencies(id)
);
CREATE INDEX expert_requests_keeper ON expert_requests USING btree (agency_id, id);
CREATE INDEX expert_requests_open ON expert_requests USING btree (expert_id) WHERE status = ANY (ARRAY['requested'::text, 'confirmed'::text]);
CREATE INDEX expert_requests_requester ON expert_requests USING btree (requester_agency_id, id);
ALTER TABLE expert_requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE expert_requests FORCE ROW LEVEL SECURITY;
CREATE POLICY matcher ON expert_requests AS PERMISSIVE FOR ALL TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['matcher'::text]) AS acting_as))
  WITH CHECK (( SELECT acting_as(VARIADIC ARRAY['matcher'::text]) AS acting_as));
CREATE POLICY parties ON expert_requests AS PERMISSIVE FOR SELECT TO PUBLIC
  USING ((( SELECT me() AS me)) = agency_id OR (( SELECT me() AS me)) = requester_agency_id);
CREATE POLICY parties_change ON expert_requests AS PERMISSIVE FOR UPDATE TO PUBLIC
  USING ((( SELECT me() AS me)) = agency_id OR (( SELECT me() AS me)) = requester_agency_id)
  WITH CHECK (agency_id = (( SELECT me() AS me)) OR requester_agency_id = (( SELECT me() AS me)) AND status <> 'confirmed'::text);
CREATE POLICY requester ON expert_requests AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (requester_agency_id = (( SELECT me() AS me)) AND status = 'requested'::text);
GRANT INSERT, SELECT ON expert_requests TO aman_app;
GRANT UPDATE (status, reason_code, version, updated_at) ON expert_requests TO aman_app;

CREATE TABLE experts (
  id text COLLATE "C" NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  status text NOT NULL,
  skills text[] NOT NULL,
  languages jsonb NOT NULL,
  sex text NOT NULL,
  jurisdictions text[] NOT NULL,
  regions text[] NOT NULL,
  remote boolean NOT NULL,
  availability jsonb NOT NULL,
  unavailable jsonb NOT NULL,
  certifications jsonb NOT NULL,
  employer_agency_ids text[] NOT NULL,
  ties bytea NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamp with time zone NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  CONSTRAINT experts_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT experts_id_agency_id_key UNIQUE (id, agency_id),
  CONSTRAINT experts_pkey PRIMARY KEY (id)
);
CREATE INDEX experts_agency ON experts USING btree (agency_id, id);
CREATE INDEX experts_skills ON experts USING gin (skills);
ALTER TABLE experts ENABLE ROW LEVEL SECURITY;
ALTER TABLE experts FORCE ROW LEVEL SECURITY;
CREATE POLICY keeper ON experts AS PERMISSIVE FOR ALL TO PUBLIC
  USING (agency_id = (( SELECT me() AS me)))
  WITH CHECK (agency_id = (( SELECT me() AS me)));
CREATE POLICY matcher ON experts AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['matcher'::text]) AS acting_as));
CREATE POLICY matcher_locks ON experts AS PERMISSIVE FOR UPDATE TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['matcher'::text]) AS acting_as))
  WITH CHECK (false);
GRANT INSERT, SELECT, UPDATE ON experts TO aman_app;

CREATE TABLE groups (
  id text COLLATE "C" NOT NULL,
  opened_by_agency_id text COLLATE "C" NOT NULL,
  region text,
  opened_at timestamp with time zone NOT NULL,
  CONSTRAINT groups_opened_by_agency_id_fkey FOREIGN KEY (opened_by_agency_id) REFERENCES agencies(id),
  CONSTRAINT groups_pkey PRIMARY KEY (id)
);
ALTER TABLE groups ENABLE ROW LEVEL SECURITY;
ALTER TABLE groups FORCE ROW LEVEL SECURITY;
CREATE POLICY opener ON groups AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (opened_by_agency_id = (( SELECT me() AS me)));
CREATE POLICY own ON groups AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (opened_by_agency_id = (( SELECT me() AS me)) OR (EXISTS ( SELECT
   FROM cases c
  WHERE c.group_id = groups.id AND c.owner_agency_id = (( SELECT me() AS me)))));
GRANT INSERT, SELECT ON groups TO aman_app;

CREATE TABLE heartbeats (
  role text NOT NULL,
  beat_at timestamp with time zone NOT NULL,
  running_since timestamp with time zone NOT NULL,
  CONSTRAINT heartbeats_pkey PRIMARY KEY (role)
);
ALTER TABLE heartbeats ENABLE ROW LEVEL SECURITY;
ALTER TABLE heartbeats FORCE ROW LEVEL SECURITY;
CREATE POLICY system ON heartbeats AS PERMISSIVE FOR ALL TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['clock'::text]) AS acting_as))
  WITH CHECK (( SELECT acting_as(VARIADIC ARRAY['clock'::text]) AS acting_as));
GRANT INSERT, SELECT, UPDATE ON heartbeats TO aman_app;

CREATE TABLE idempotency_keys (
  client_id text COLLATE "C" NOT NULL,
  key text NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  fingerprint bytea NOT NULL,
  resource_id text COLLATE "C" NOT NULL,
  holds_secret boolean NOT NULL,
  created_at timestamp with time zone NOT NULL,
  CONSTRAINT idempotency_keys_pkey PRIMARY KEY (client_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys USING btree (created_at);
ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON idempotency_keys AS PERMISSIVE FOR ALL TO PUBLIC
  USING (agency_id = (( SELECT me() AS me)) OR ( SELECT acting_as(VARIADIC ARRAY['retention'::text]) AS acting_as))
  WITH CHECK (agency_id = (( SELECT me() AS me)));
GRANT DELETE, INSERT, SELECT, UPDATE ON idempotency_keys TO aman_app;

CREATE TABLE journal (
  number bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  kind text NOT NULL,
  id_hash bytea NOT NULL,
  details text[] NOT NULL,
  at timestamp with time zone NOT NULL,
  kept_at timestamp with time zone,
  CONSTRAINT journal_id_hash_check CHECK (length(id_hash) = 32),
  CONSTRAINT journal_kind_check CHECK (kind = ANY (ARRAY['erased'::text, 'withdrawn'::text, 'revoked'::text])),
  CONSTRAINT journal_pkey PRIMARY KEY (number)
);
CREATE INDEX journal_not_kept ON journal USING btree (number) WHERE kept_at IS NULL;
ALTER TABLE journal ENABLE ROW LEVEL SECURITY;
ALTER TABLE journal FORCE ROW LEVEL SECURITY;
CREATE POLICY anyone_acts ON journal AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (true);
CREATE POLICY restoring ON journal AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['setup'::text, 'timeline'::text]) AS acting_as));
CREATE POLICY sequencer ON journal AS PERMISSIVE FOR ALL TO aman_sequencer
  USING (true);
GRANT SELECT ON journal TO aman_app;
GRANT SELECT ON journal TO aman_sequencer;
GRANT INSERT (kind, id_hash, details, at, kept_at) ON journal TO aman_app;
GRANT UPDATE (kept_at) ON journal TO aman_sequencer;

CREATE TABLE kysely_migration (
  name character varying(255) NOT NULL,
  "timestamp" character varying(255) NOT NULL,
  CONSTRAINT kysely_migration_pkey PRIMARY KEY (name)
);
GRANT SELECT ON kysely_migration TO aman_app;

CREATE TABLE kysely_migration_lock (
  id character varying(255) NOT NULL,
  is_locked integer NOT NULL DEFAULT 0,
  CONSTRAINT kysely_migration_lock_pkey PRIMARY KEY (id)
);

CREATE VIEW masked_cases WITH (security_invoker=true, security_barrier=true) AS
 SELECT id,
    reference,
    owner_agency_id,
    jurisdiction,
    region,
    track,
    risk,
    stage,
    opened_at,
    closed_at,
    version,
    updated_at
   FROM cases;
GRANT SELECT ON masked_cases TO aman_app;

CREATE TABLE messages (
  id text COLLATE "C" NOT NULL,
  referral_id text COLLATE "C" NOT NULL,
  case_id text COLLATE "C" NOT NULL,
  offer_id text COLLATE "C" NOT NULL,
  author_agency_id text COLLATE "C" NOT NULL,
  staff_code text NOT NULL,
  sealed bytea NOT NULL,
  created_at timestamp with time zone NOT NULL,
  CONSTRAINT messages_author_agency_id_fkey FOREIGN KEY (author_agency_id) REFERENCES agencies(id),
  CONSTRAINT messages_case_id_fkey FOREIGN KEY (case_id) REFERENCES cases(id),
  CONSTRAINT messages_offer_id_fkey FOREIGN KEY (offer_id) REFERENCES offers(id),
  CONSTRAINT messages_pkey PRIMARY KEY (id),
  CONSTRAINT messages_referral_id_fkey FOREIGN KEY (referral_id) REFERENCES referrals(id)
);
CREATE INDEX messages_referral ON messages USING btree (referral_id, id);
ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE messages FORCE ROW LEVEL SECURITY;
CREATE POLICY parties ON messages AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (acting_as(VARIADIC ARRAY['trail'::text]) OR reads_messages(offer_id, case_id, author_agency_id));
CREATE POLICY parties_write ON messages AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (author_agency_id = (( SELECT me() AS me)) AND (EXISTS ( SELECT
   FROM offers o
  WHERE o.id = messages.offer_id AND o.referral_id = messages.referral_id AND o.case_id = messages.case_id AND (o.status = ANY (ARRAY['accepted'::text, 'in_progress'::text])) AND ((( SELECT me() AS me)) = o.sender_agency_id OR (( SELECT me() AS me)) = o.agency_id))));
GRANT INSERT, SELECT ON messages TO aman_app;

CREATE TABLE offers (
  id text COLLATE "C" NOT NULL,
  referral_id text COLLATE "C" NOT NULL,
  case_id text COLLATE "C" NOT NULL,
  owner_agency_id text COLLATE "C" NOT NULL,
  sender_agency_id text COLLATE "C" NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  jurisdiction text NOT NULL,
  service text NOT NULL,
  ordinal integer NOT NULL,
  status text NOT NULL,
  places integer NOT NULL,
  places_held integer NOT NULL,
  location_protected boolean NOT NULL,
  reason_code text,
  staff_code text,
  sealed bytea,
  offered_at timestamp with time zone NOT NULL,
  accepted_at timestamp with time zone,
  ended_at timestamp with time zone,
  latest boolean NOT NULL DEFAULT true,
  contestable_until timestamp with time zone,
  forgotten_at timestamp with time zone,
  freed_before integer,
  CONSTRAINT offers_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT offers_case_id_fkey FOREIGN KEY (case_id) REFERENCES cases(id),
  CONSTRAINT offers_pkey PRIMARY KEY (id),
  CONSTRAINT offers_referral_id_fkey FOREIGN KEY (referral_id) REFERENCES referrals(id),
  CONSTRAINT offers_referral_id_ordinal_key UNIQUE (referral_id, ordinal)
);
CREATE INDEX offers_case ON offers USING btree (case_id, agency_id);
CREATE INDEX offers_inbox ON offers USING btree (agency_id, referral_id) WHERE latest;
CREATE INDEX offers_lately ON offers USING brin (offered_at);
CREATE INDEX offers_pending ON offers USING btree (agency_id, service) INCLUDE (places) WHERE status = ANY (ARRAY['offered'::text, 'received'::text, 'info_requested'::text]);
CREATE INDEX offers_taken ON offers USING btree (agency_id, service) WHERE status = ANY (ARRAY['accepted'::text, 'in_progress'::text]);
ALTER TABLE offers ENABLE ROW LEVEL SECURITY;
ALTER TABLE offers FORCE ROW LEVEL SECURITY;
CREATE POLICY forgotten ON offers AS RESTRICTIVE FOR SELECT TO PUBLIC
  USING (forgotten_at IS NULL OR agency_id IS DISTINCT FROM me() OR sender_agency_id = me() OR owner_agency_id = me() OR is_system() OR (jurisdiction = ANY ((( SELECT coordinated() AS coordinated))::text[])));
CREATE POLICY parties ON offers AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (agency_id = me() OR sender_agency_id = me() OR owner_agency_id = me() OR acting_as(VARIADIC ARRAY['router'::text, 'clock'::text, 'trail'::text, 'relay'::text]) OR (jurisdiction = ANY ((( SELECT coordinated() AS coordinated))::text[])));
CREATE POLICY system ON offers AS PERMISSIVE FOR ALL TO PUBLIC
  USING (acting_as(VARIADIC ARRAY['router'::text, 'clock'::text]))
  WITH CHECK (acting_as(VARIADIC ARRAY['router'::text, 'clock'::text]));
GRANT INSERT, SELECT, UPDATE ON offers TO aman_app;

CREATE TABLE reconsiderations (
  decision_id text COLLATE "C" NOT NULL,
  case_id text COLLATE "C" NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  by_owner boolean NOT NULL,
  staff_code text NOT NULL,
  sealed bytea NOT NULL,
  requested_at timestamp with time zone NOT NULL,
  CONSTRAINT reconsiderations_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT reconsiderations_case_id_fkey FOREIGN KEY (case_id) REFERENCES cases(id),
  CONSTRAINT reconsiderations_decision_id_fkey FOREIGN KEY (decision_id) REFERENCES decisions(id),
  CONSTRAINT reconsiderations_pkey PRIMARY KEY (decision_id)
);
ALTER TABLE reconsiderations ENABLE ROW LEVEL SECURITY;
ALTER TABLE reconsiderations FORCE ROW LEVEL SECURITY;
CREATE POLICY parties ON reconsiderations AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (acting_as(VARIADIC ARRAY['router'::text]) OR agency_id = me() AND knows_case(case_id) OR owner_sees(case_id, 'criminal_justice'::text) OR decides(case_id));
CREATE POLICY supporters ON reconsiderations AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (agency_id = me() AND (by_owner AND owns(case_id) OR NOT by_owner AND supports(case_id)));
GRANT INSERT, SELECT ON reconsiderations TO aman_app;

CREATE TABLE referrals (
  id text COLLATE "C" NOT NULL,
  reference text NOT NULL,
  case_id text COLLATE "C" NOT NULL,
  owner_agency_id text COLLATE "C" NOT NULL,
  sender_agency_id text COLLATE "C" NOT NULL,
  jurisdiction text NOT NULL,
  region text,
  service text NOT NULL,
  urgency text NOT NULL,
  routing text NOT NULL,
  recipient_agency_id text COLLATE "C",
  fallback boolean NOT NULL,
  categories text[] NOT NULL,
  excluded_agencies text[] NOT NULL,
  lawful_ground jsonb,
  sealed bytea NOT NULL,
  places integer NOT NULL,
  status text NOT NULL,
  ended text,
  staff_code text NOT NULL,
  router_due_at timestamp with time zone,
  version integer NOT NULL DEFAULT 1,
  created_at timestamp with time zone NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  crisis_mode_id text COLLATE "C",
  follows_referral_id text COLLATE "C",
  CONSTRAINT referrals_case_id_fkey FOREIGN KEY (case_id) REFERENCES cases(id),
  CONSTRAINT referrals_follows_referral_id_fkey FOREIGN KEY (follows_referral_id) REFERENCES referrals(id),
  CONSTRAINT referrals_owner_agency_id_fkey FOREIGN KEY (owner_agency_id) REFERENCES agencies(id),
  CONSTRAINT referrals_pkey PRIMARY KEY (id),
  CONSTRAINT referrals_recipient_agency_id_fkey FOREIGN KEY (recipient_agency_id) REFERENCES agencies(id),
  CONSTRAINT referrals_reference_key UNIQUE (reference),
  CONSTRAINT referrals_sender_agency_id_fkey FOREIGN KEY (sender_agency_id) REFERENCES agencies(id)
);
CREATE INDEX referrals_case ON referrals USING btree (case_id);
CREATE INDEX referrals_follows ON referrals USING btree (follows_referral_id) WHERE follows_referral_id IS NOT NULL;
CREATE UNIQUE INDEX referrals_follows_open ON referrals USING btree (follows_referral_id) WHERE follows_referral_id IS NOT NULL AND ended IS NULL;
CREATE INDEX referrals_jurisdiction ON referrals USING btree (jurisdiction, id);
CREATE INDEX referrals_owner ON referrals USING btree (owner_agency_id, id);
CREATE INDEX referrals_router_due ON referrals USING btree (router_due_at) WHERE router_due_at IS NOT NULL;
CREATE INDEX referrals_sender ON referrals USING btree (sender_agency_id, id);
CREATE INDEX referrals_unmet ON referrals USING btree (case_id) WHERE ended IS NULL AND (status <> ALL (ARRAY['accepted'::text, 'in_progress'::text]));
CREATE INDEX referrals_waiting ON referrals USING btree (service, jurisdiction) WHERE status = ANY (ARRAY['unplaced'::text, 'waitlisted'::text]);
ALTER TABLE referrals ENABLE ROW LEVEL SECURITY;
ALTER TABLE referrals FORCE ROW LEVEL SECURITY;
CREATE POLICY parties ON referrals AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (sender_agency_id = me() OR owner_agency_id = me() OR acting_as(VARIADIC ARRAY['router'::text, 'clock'::text, 'trail'::text, 'relay'::text]) OR was_asked(id) OR (jurisdiction = ANY ((( SELECT coordinated() AS coordinated))::text[])));
CREATE POLICY system ON referrals AS PERMISSIVE FOR ALL TO PUBLIC
  USING (acting_as(VARIADIC ARRAY['router'::text, 'clock'::text]))
  WITH CHECK (acting_as(VARIADIC ARRAY['router'::text, 'clock'::text]));
GRANT INSERT, SELECT, UPDATE ON referrals TO aman_app;

CREATE TABLE routing_requests (
  number bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  agency_id text COLLATE "C",
  service text,
  jurisdiction text,
  case_id text COLLATE "C",
  referral_id text COLLATE "C",
  CONSTRAINT routing_requests_pkey PRIMARY KEY (number)
);
ALTER TABLE routing_requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE routing_requests FORCE ROW LEVEL SECURITY;
CREATE POLICY router ON routing_requests AS PERMISSIVE FOR ALL TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['router'::text]) AS acting_as))
  WITH CHECK (( SELECT acting_as(VARIADIC ARRAY['router'::text]) AS acting_as));
GRANT DELETE, INSERT, SELECT, UPDATE ON routing_requests TO aman_app;

CREATE TABLE rule_packs (
  jurisdiction text NOT NULL,
  version integer NOT NULL,
  document jsonb NOT NULL,
  created_at timestamp with time zone NOT NULL,
  CONSTRAINT rule_packs_pkey PRIMARY KEY (jurisdiction, version)
);
ALTER TABLE rule_packs ENABLE ROW LEVEL SECURITY;
ALTER TABLE rule_packs FORCE ROW LEVEL SECURITY;
CREATE POLICY read_all ON rule_packs AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (true);
CREATE POLICY write_admin ON rule_packs AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (( SELECT is_admin() AS is_admin));
GRANT INSERT, SELECT, UPDATE ON rule_packs TO aman_app;

CREATE TABLE screenings (
  id text COLLATE "C" NOT NULL,
  case_id text COLLATE "C" NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  staff_code text NOT NULL,
  presumed boolean NOT NULL,
  sealed bytea NOT NULL,
  created_at timestamp with time zone NOT NULL,
  CONSTRAINT screenings_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT screenings_case_id_fkey FOREIGN KEY (case_id) REFERENCES cases(id),
  CONSTRAINT screenings_pkey PRIMARY KEY (id)
);
CREATE INDEX screenings_case ON screenings USING btree (case_id, id);
ALTER TABLE screenings ENABLE ROW LEVEL SECURITY;
ALTER TABLE screenings FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON screenings AS PERMISSIVE FOR INSERT TO PUBLIC
  WITH CHECK (agency_id = me() AND owns(case_id));
CREATE POLICY parties ON screenings AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (acting_as(VARIADIC ARRAY['trail'::text]) OR agency_id = me() AND owns(case_id) OR owner_sees(case_id, 'narrative'::text));
GRANT INSERT, SELECT ON screenings TO aman_app;

CREATE TABLE services (
  agency_id text COLLATE "C" NOT NULL,
  service text NOT NULL,
  regions text[] NOT NULL,
  sexes text[] NOT NULL,
  min_age integer,
  max_age integer,
  accepts_dependants boolean NOT NULL,
  languages text[] NOT NULL,
  protection_statuses text[] NOT NULL,
  intake_hours text,
  location_protected boolean NOT NULL,
  status text NOT NULL,
  suspended_reason text,
  version integer NOT NULL DEFAULT 1,
  created_at timestamp with time zone NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  specialities text[] NOT NULL DEFAULT '{}'::text[],
  located_in text,
  eligibility text,
  schedules jsonb NOT NULL DEFAULT '[]'::jsonb,
  open_hours tstzmultirange,
  open_hours_until timestamp with time zone,
  assured_at timestamp with time zone NOT NULL DEFAULT now(),
  asked integer NOT NULL DEFAULT 0,
  accepted integer NOT NULL DEFAULT 0,
  follow_on_since timestamp with time zone,
  imported boolean NOT NULL DEFAULT false,
  CONSTRAINT services_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT services_pkey PRIMARY KEY (agency_id, service)
);
CREATE INDEX services_by_service ON services USING btree (service);
CREATE INDEX services_follow_on ON services USING btree (agency_id, service) WHERE follow_on_since IS NOT NULL;
CREATE INDEX services_hours ON services USING btree (open_hours_until) WHERE open_hours_until IS NOT NULL;
ALTER TABLE services ENABLE ROW LEVEL SECURITY;
ALTER TABLE services FORCE ROW LEVEL SECURITY;
CREATE POLICY read_all ON services AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (true);
CREATE POLICY write_own ON services AS PERMISSIVE FOR ALL TO PUBLIC
  USING (agency_id = (( SELECT me() AS me)) OR ( SELECT acting_as(VARIADIC ARRAY['router'::text]) AS acting_as) OR ( SELECT is_admin() AS is_admin))
  WITH CHECK (agency_id = (( SELECT me() AS me)) OR ( SELECT acting_as(VARIADIC ARRAY['router'::text]) AS acting_as) OR ( SELECT is_admin() AS is_admin));
GRANT INSERT, SELECT, UPDATE ON services TO aman_app;

CREATE TABLE timers (
  id text COLLATE "C" NOT NULL,
  name text NOT NULL,
  kind text NOT NULL,
  clock text NOT NULL,
  subject_type text NOT NULL,
  subject_id text COLLATE "C" NOT NULL,
  case_id text COLLATE "C",
  referral_id text COLLATE "C",
  offer_id text COLLATE "C",
  owner_agency_id text COLLATE "C" NOT NULL,
  sender_agency_id text COLLATE "C",
  receiver_agency_id text COLLATE "C",
  responsible_agency_id text COLLATE "C" NOT NULL,
  location_protected boolean NOT NULL,
  jurisdiction text NOT NULL,
  urgency text NOT NULL,
  started_at timestamp with time zone NOT NULL,
  due_at timestamp with time zone NOT NULL,
  state text NOT NULL,
  paused_at timestamp with time zone,
  warned_at timestamp with time zone,
  breached_at timestamp with time zone,
  met_at timestamp with time zone,
  escalation_level integer NOT NULL DEFAULT 0,
  on_breach text,
  steps jsonb NOT NULL,
  next_step_at timestamp with time zone,
  rule jsonb NOT NULL,
  version integer NOT NULL DEFAULT 1,
  time_zone text NOT NULL DEFAULT 'UTC'::text,
  count_first_day boolean NOT NULL DEFAULT false,
  rested_ms bigint NOT NULL DEFAULT 0,
  pause_reason text,
  paused_by_agency_id text COLLATE "C",
  forgotten boolean NOT NULL DEFAULT false,
  duration text,
  pauses jsonb NOT NULL DEFAULT '[]'::jsonb,
  calendar_id text COLLATE "C",
  calendar_version integer,
  guards text[],
  waived_at timestamp with time zone,
  calls integer NOT NULL DEFAULT 0,
  called_at timestamp with time zone,
  called_agency_id text COLLATE "C",
  called_staff_code text,
  called_agency_ids text[],
  acknowledged_at timestamp with time zone,
  acknowledged_by_agency_id text COLLATE "C",
  acknowledged_by_staff_code text,
  expert_request_id text COLLATE "C",
  CONSTRAINT timers_calendar_id_fkey FOREIGN KEY (calendar_id) REFERENCES calendars(id),
  CONSTRAINT timers_case_id_fkey FOREIGN KEY (case_id) REFERENCES cases(id),
  CONSTRAINT timers_expert_request_id_fkey FOREIGN KEY (expert_request_id) REFERENCES expert_requests(id),
  CONSTRAINT timers_matter CHECK (num_nonnulls(case_id, expert_request_id) = 1),
  CONSTRAINT timers_offer_id_fkey FOREIGN KEY (offer_id) REFERENCES offers(id),
  CONSTRAINT timers_pkey PRIMARY KEY (id),
  CONSTRAINT timers_referral_id_fkey FOREIGN KEY (referral_id) REFERENCES referrals(id)
);
CREATE INDEX timers_calendar ON timers USING btree (calendar_id, calendar_version) WHERE state = 'running'::text AND calendar_id IS NOT NULL;
CREATE INDEX timers_called ON timers USING btree (jurisdiction, due_at) WHERE called_agency_ids IS NOT NULL;
CREATE INDEX timers_case ON timers USING btree (case_id);
CREATE INDEX timers_due ON timers USING btree (next_step_at) WHERE next_step_at IS NOT NULL;
CREATE INDEX timers_due_emergency ON timers USING btree (next_step_at) WHERE next_step_at IS NOT NULL AND urgency = 'emergency'::text;
CREATE INDEX timers_expert_request ON timers USING btree (expert_request_id) WHERE expert_request_id IS NOT NULL;
CREATE INDEX timers_jurisdiction_rest ON timers USING btree (jurisdiction, due_at) WHERE state <> 'running'::text;
CREATE INDEX timers_jurisdiction_running ON timers USING btree (jurisdiction, due_at, referral_id) WHERE state = 'running'::text;
CREATE INDEX timers_offer ON timers USING btree (offer_id) WHERE offer_id IS NOT NULL;
CREATE INDEX timers_overdue ON timers USING btree (jurisdiction, due_at) WHERE state = 'breached'::text AND (on_breach IS DISTINCT FROM 'expire_offer'::text OR next_step_at IS NOT NULL);
CREATE INDEX timers_owner_rest ON timers USING btree (owner_agency_id, due_at) WHERE state <> 'running'::text;
CREATE INDEX timers_owner_running ON timers USING btree (owner_agency_id, due_at, referral_id) WHERE state = 'running'::text;
CREATE INDEX timers_receiver_rest ON timers USING btree (receiver_agency_id, due_at) WHERE state <> 'running'::text;
CREATE INDEX timers_receiver_running ON timers USING btree (receiver_agency_id, due_at, referral_id) WHERE state = 'running'::text;
CREATE INDEX timers_referral ON timers USING btree (referral_id) WHERE referral_id IS NOT NULL;
CREATE INDEX timers_responsible_rest ON timers USING btree (responsible_agency_id, due_at) WHERE state <> 'running'::text;
CREATE INDEX timers_responsible_running ON timers USING btree (responsible_agency_id, due_at, referral_id) WHERE state = 'running'::text;
CREATE INDEX timers_rest ON timers USING btree (case_id) WHERE subject_type = 'case'::text AND guards = '{conclusive_grounds}'::text[];
CREATE INDEX timers_sender_rest ON timers USING btree (sender_agency_id, due_at) WHERE state <> 'running'::text;
CREATE INDEX timers_sender_running ON timers USING btree (sender_agency_id, due_at, referral_id) WHERE state = 'running'::text;
ALTER TABLE timers ENABLE ROW LEVEL SECURITY;
ALTER TABLE timers FORCE ROW LEVEL SECURITY;
CREATE POLICY forgotten ON timers AS RESTRICTIVE FOR SELECT TO PUBLIC
  USING (NOT forgotten OR me() IS NULL OR me() <> responsible_agency_id AND me() <> COALESCE(receiver_agency_id, ''::text) OR sender_agency_id = me() OR owner_agency_id = me() OR is_system() OR (jurisdiction = ANY ((( SELECT coordinated() AS coordinated))::text[])));
CREATE POLICY parties ON timers AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (responsible_agency_id = me() OR owner_agency_id = me() OR sender_agency_id = me() OR receiver_agency_id = me() OR acting_as(VARIADIC ARRAY['trail'::text]) OR (jurisdiction = ANY ((( SELECT coordinated() AS coordinated))::text[])) OR called_agency_ids IS NOT NULL AND ((me() = ANY (called_agency_ids)) OR acknowledged_at IS NULL AND on_duty(jurisdiction)));
CREATE POLICY supporters ON timers AS PERMISSIVE FOR SELECT TO PUBLIC
  USING (subject_type = 'case'::text AND guards = '{conclusive_grounds}'::text[] AND supports(case_id));
CREATE POLICY system ON timers AS PERMISSIVE FOR ALL TO PUBLIC
  USING (acting_as(VARIADIC ARRAY['router'::text, 'clock'::text]))
  WITH CHECK (acting_as(VARIADIC ARRAY['router'::text, 'clock'::text]));
GRANT INSERT, SELECT, UPDATE ON timers TO aman_app;

CREATE TABLE undelivered (
  agency_id text COLLATE "C" NOT NULL,
  handle text COLLATE "C" NOT NULL,
  jurisdiction text NOT NULL,
  events integer NOT NULL,
  since timestamp with time zone NOT NULL,
  calls integer NOT NULL,
  called_at timestamp with time zone NOT NULL,
  called_agency_id text COLLATE "C",
  called_staff_code text,
  called_agency_ids text[] NOT NULL,
  acknowledged_at timestamp with time zone,
  acknowledged_by_agency_id text COLLATE "C",
  acknowledged_by_staff_code text,
  version integer NOT NULL,
  CONSTRAINT undelivered_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT undelivered_handle_key UNIQUE (handle),
  CONSTRAINT undelivered_pkey PRIMARY KEY (agency_id)
);
ALTER TABLE undelivered ENABLE ROW LEVEL SECURITY;
ALTER TABLE undelivered FORCE ROW LEVEL SECURITY;
CREATE POLICY called ON undelivered AS PERMISSIVE FOR SELECT TO PUBLIC
  USING ((jurisdiction = ANY ((( SELECT coordinated() AS coordinated))::text[])) OR (me() = ANY (called_agency_ids)) OR acknowledged_at IS NULL AND on_duty(jurisdiction));
CREATE POLICY relay ON undelivered AS PERMISSIVE FOR ALL TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as))
  WITH CHECK (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as));
GRANT DELETE, INSERT, SELECT, UPDATE ON undelivered TO aman_app;

CREATE VIEW unheard_events WITH (security_invoker=true) AS
 SELECT number,
    id,
    agency_id,
    case_id,
    occurred_at,
    was_heard(events.*) AS was_heard
   FROM events
  WHERE urgent AND heard_at IS NULL AND type !~~ 'endpoint.%'::text AND NOT (type = 'timer.escalated'::text AND case_id IS NULL);
GRANT SELECT ON unheard_events TO aman_app;

CREATE TABLE unreachable_agencies (
  agency_id text COLLATE "C" NOT NULL,
  since timestamp with time zone NOT NULL,
  CONSTRAINT unreachable_agencies_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT unreachable_agencies_pkey PRIMARY KEY (agency_id)
);
ALTER TABLE unreachable_agencies ENABLE ROW LEVEL SECURITY;
ALTER TABLE unreachable_agencies FORCE ROW LEVEL SECURITY;
CREATE POLICY relay ON unreachable_agencies AS PERMISSIVE FOR ALL TO PUBLIC
  USING (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as))
  WITH CHECK (( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as));
GRANT DELETE, INSERT, SELECT, UPDATE ON unreachable_agencies TO aman_app;

CREATE TABLE webhook_endpoints (
  id text COLLATE "C" NOT NULL,
  agency_id text COLLATE "C" NOT NULL,
  url text NOT NULL,
  event_types text[] NOT NULL,
  description text,
  signature text[] NOT NULL,
  status text NOT NULL,
  secret bytea NOT NULL,
  previous_secret bytea,
  previous_secret_until timestamp with time zone,
  failing_since timestamp with time zone,
  deleted_at timestamp with time zone,
  version integer NOT NULL DEFAULT 1,
  created_at timestamp with time zone NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  stops integer NOT NULL DEFAULT 0,
  max_per_second integer NOT NULL DEFAULT 500,
  paced_until timestamp with time zone,
  turn_of text,
  turn_until timestamp with time zone,
  public_key text,
  private_key bytea,
  previous_public_key text,
  previous_private_key bytea,
  contact_staff_code text,
  tls bytea,
  tls_summary jsonb,
  CONSTRAINT webhook_endpoints_agency_id_fkey FOREIGN KEY (agency_id) REFERENCES agencies(id),
  CONSTRAINT webhook_endpoints_key_pair CHECK ((public_key IS NULL) = (private_key IS NULL) AND (previous_public_key IS NULL) = (previous_private_key IS NULL) AND (private_key IS NOT NULL OR previous_private_key IS NULL)),
  CONSTRAINT webhook_endpoints_max_per_second_check CHECK (max_per_second >= 1 AND max_per_second <= 1000),
  CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (id),
  CONSTRAINT webhook_endpoints_signs CHECK (deleted_at IS NOT NULL OR ('v1a'::text = ANY (signature)) = (private_key IS NOT NULL)),
  CONSTRAINT webhook_endpoints_tls CHECK ((tls IS NULL) = (tls_summary IS NULL))
);
CREATE INDEX webhook_endpoints_agency ON webhook_endpoints USING btree (agency_id) WHERE deleted_at IS NULL;
ALTER TABLE webhook_endpoints ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_endpoints FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON webhook_endpoints AS PERMISSIVE FOR ALL TO PUBLIC
  USING (agency_id = (( SELECT me() AS me)) OR ( SELECT acting_as(VARIADIC ARRAY['relay'::text, 'retention'::text]) AS acting_as))
  WITH CHECK (agency_id = (( SELECT me() AS me)) OR ( SELECT acting_as(VARIADIC ARRAY['relay'::text]) AS acting_as));
GRANT INSERT, SELECT, UPDATE ON webhook_endpoints TO aman_app;
