import { type Kysely, sql } from 'kysely';

/**
 * The same walls, in a form that the planner can take in. A policy that looks into another table takes that table's policies with
 * it into every statement's plan; nested as they were, a look at one row of `case_data` had a hundred sub-plans. What a policy
 * asks of another table stands now in a function, which runs as the caller, under the caller's own walls as before, is planned
 * once per connection, and is called only where nothing cheaper has let the row through: of an `or`, the left comes
 * first, and of two policies the one whose name does.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const asks = async (declaration: string, question: string) =>
    sql`create function ${sql.raw(declaration)} returns boolean language plpgsql stable parallel safe as
      ${sql.lit(`begin return exists (${question}); end`)}`.execute(db);

  await asks('owns(which text)', 'select from public.cases c where c.id = which and c.owner_agency_id = me()');
  await asks(
    'owner_sees(which text, what text)',
    'select from public.cases c where c.id = which and c.owner_agency_id = me() and not what = any (c.owner_withheld)',
  );
  await asks('knows_case(which text)', 'select from public.cases c where c.id = which');
  await asks('was_disclosed(which text)', 'select from public.disclosures d where d.case_id = which and d.agency_id = me()');
  await asks(
    'holds(which text)',
    'select from public.disclosures d where d.case_id = which and d.agency_id = me() and d.ended_at is null',
  );
  await asks(
    'holds_category(which text, what text)',
    `select from public.disclosures d where d.case_id = which and d.agency_id = me() and d.ended_at is null
      and what = any (d.categories)`,
  );
  await asks('was_asked(which text)', 'select from public.offers o where o.referral_id = which and o.agency_id = me()');
  await asks(
    'takes_part(which text)',
    'select from public.offers o where o.case_id = which and (o.agency_id = me() or o.sender_agency_id = me())',
  );
  await asks(
    'takes_part_now(which text)',
    `select from public.offers o where o.case_id = which and (o.agency_id = me() or o.sender_agency_id = me())
      and o.status in ('offered', 'received', 'info_requested', 'waitlisted', 'accepted', 'in_progress')`,
  );
  await asks(
    'accounts_for(which text)',
    'select from public.offers o where o.id = which and (o.owner_agency_id = me() or o.jurisdiction = any (coordinated()))',
  );
  await asks(
    'reads_messages(which text, of_case text, author text)',
    `select from public.offers o where o.id = which and (
      author = me() and o.sender_agency_id = me()
      or o.agency_id = me() and o.status in ('accepted', 'in_progress')
      or o.sender_agency_id = me() and (o.owner_agency_id = me() or holds(of_case)))`,
  );
  await asks('knows_client(which text)', 'select from public.clients c where c.id = which');
  await asks(
    'keeps_client(which text)',
    'select from public.clients c where c.id = which and (c.agency_id = me() or is_admin())',
  );

  const replace = async (table: string, policies: Readonly<Record<string, string>>, gone: readonly string[] = []) => {
    for (const name of [...Object.keys(policies), ...gone]) {
      await sql`drop policy if exists ${sql.id(name)} on ${sql.table(table)}`.execute(db);
    }
    for (const [name, policy] of Object.entries(policies)) {
      await sql`create policy ${sql.id(name)} on ${sql.table(table)} ${sql.raw(policy)}`.execute(db);
    }
  };
  const both = (condition: string) => `for all using (${condition}) with check (${condition})`;
  const SYSTEM = both(`acting_as('router', 'clock')`);

  await replace('cases', {
    owner: 'for insert with check (owner_agency_id = me())',
    owner_writes: `for update using (owner_agency_id = me() or acting_as('router', 'clock', 'lock'))
      with check (owner_agency_id = me() or acting_as('router', 'clock'))`,
    parties: `for select using (owner_agency_id = me() or acting_as('router', 'clock', 'trail', 'relay', 'lock')
      or was_disclosed(id) or jurisdiction = any ((select coordinated())::text[]))`,
  });
  await replace(
    'case_data',
    {
      owner: both('owner_sees(case_id, category)'),
      parties: `for select using (category = 'profile' and acting_as('router', 'clock')
        or holds_category(case_id, category) or category = 'profile' and takes_part_now(case_id))`,
    },
    ['holders', 'profile'],
  );
  await replace('case_data_history', { owner: both('owner_sees(case_id, category)') });
  await replace(
    'case_keys',
    {
      owner: 'for insert with check (owns(case_id))',
      parties: `for select using (acting_as('timeline') or knows_case(case_id) or takes_part(case_id) or (select is_audit_body()))`,
    },
    ['senders', 'timeline'],
  );
  await replace('case_reopenings', { owner: both('owns(case_id)') });
  await replace('case_assignees', {
    own: `for all using (agency_id = me() and knows_case(case_id))
      with check (agency_id = me() and (owns(case_id) or holds(case_id)))`,
  });
  await replace('consents', {
    owner: both(`acting_as('router', 'clock') or owns(case_id)`),
    trail: `for select using (acting_as('trail'))`,
  });
  await replace(
    'disclosures',
    {
      parties: `for select using (agency_id = me() or acting_as('router', 'clock', 'relay', 'trail') or accounts_for(offer_id))`,
      forgotten: `as restrictive for select using (forgotten_at is null or agency_id is distinct from me() or is_system()
        or accounts_for(offer_id))`,
      system: SYSTEM,
    },
    ['accounting', 'relay', 'trail'],
  );
  await replace('offers', {
    parties: `for select using (agency_id = me() or sender_agency_id = me() or owner_agency_id = me()
      or acting_as('router', 'clock', 'trail', 'relay') or jurisdiction = any ((select coordinated())::text[]))`,
    forgotten: `as restrictive for select using (forgotten_at is null or agency_id is distinct from me() or sender_agency_id = me()
      or owner_agency_id = me() or is_system() or jurisdiction = any ((select coordinated())::text[]))`,
    system: SYSTEM,
  });
  await replace('referrals', {
    parties: `for select using (sender_agency_id = me() or owner_agency_id = me()
      or acting_as('router', 'clock', 'trail', 'relay') or was_asked(id) or jurisdiction = any ((select coordinated())::text[]))`,
    system: SYSTEM,
  });
  await replace(
    'timers',
    {
      parties: `for select using (responsible_agency_id = me() or owner_agency_id = me() or sender_agency_id = me()
      or receiver_agency_id = me() or acting_as('trail') or jurisdiction = any ((select coordinated())::text[]))`,
      forgotten: `as restrictive for select using (not forgotten or me() is null
      or me() <> responsible_agency_id and me() <> coalesce(receiver_agency_id, '') or sender_agency_id = me()
      or owner_agency_id = me() or is_system() or jurisdiction = any ((select coordinated())::text[]))`,
      system: SYSTEM,
    },
    ['trail'],
  );
  await replace(
    'messages',
    {
      parties: `for select using (acting_as('trail') or reads_messages(offer_id, case_id, author_agency_id))`,
    },
    ['trail'],
  );
  await replace('client_keys', { keep: both('keeps_client(client_id)'), see: 'for select using (knows_client(client_id))' });
  await replace('client_secrets', { keep: both('keeps_client(client_id)'), see: 'for select using (knows_client(client_id))' });
}
