import { type Kysely, sql } from 'kysely';

/**
 * Ids sort by their bytes (collation "C") where they are primary keys; columns that refer to them had the database's own collation,
 * and a join of the two could use no index. All sort alike from now on, and the offers of an inbox are found in the order in
 * which it shows them.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const { rows: columns } = await sql<{ table: string; column: string }>`
    select c.relname as "table", a.attname as "column"
    from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_collation l on l.oid = a.attcollation
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
      and a.atttypid = 'text'::regtype and l.collname = 'default' and (a.attname = 'id' or a.attname like '%\\_id')
    order by 1, 2`.execute(db);

  // A column cannot change under a policy or a view: they are put back as they were.
  const { rows: policies } = await sql<{ drop: string; create: string }>`
    select format('drop policy %I on %I', policyname, tablename) as drop,
      format('create policy %I on %I as %s for %s to %s%s%s', policyname, tablename, permissive, cmd,
        (select string_agg(case role when 'public' then 'public' else quote_ident(role) end, ', ') from unnest(roles) role),
        ' using (' || qual || ')', ' with check (' || with_check || ')') as create
    from pg_policies where schemaname = 'public'`.execute(db);
  const { rows: views } = await sql<{ definition: string }>`
    select pg_get_viewdef('masked_cases'::regclass) as definition`.execute(db);

  for (const policy of policies) await sql.raw(policy.drop).execute(db);
  await sql`drop view masked_cases`.execute(db);
  // Each table once: its indexes are made anew, and whoever writes it waits for them.
  for (const [table, of_table] of Map.groupBy(columns, ({ table }) => table)) {
    const changes = of_table.map(({ column }) => sql`alter column ${sql.ref(column)} type text collate "C"`);
    await sql`alter table ${sql.table(table)} ${sql.join(changes)}`.execute(db);
  }
  await sql`create view masked_cases with (security_invoker = true, security_barrier = true) as ${sql.raw(
    views[0]!.definition,
  )}`.execute(db);
  await sql`grant select on masked_cases to aman_app`.execute(db);
  for (const policy of policies) await sql.raw(policy.create).execute(db);
  // What the planner knew of the columns went with their type.
  for (const table of new Set(columns.map(({ table }) => table))) await sql`analyze ${sql.table(table)}`.execute(db);
}
