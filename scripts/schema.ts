import type pg from 'pg';

/**
 * What schema `public` holds, as SQL to review: the same text for the same schema on one major version of PostgreSQL, whoever
 * owns it and however the server is set. It is read, not executed: objects stand in the order of their names. What belongs to an
 * extension, and what an owner may do, is left out.
 */
export async function dumpSchema(client: pg.Client): Promise<string> {
  await client.query('begin isolation level repeatable read read only');
  try {
    // These decide how the catalog's own functions write names and constants.
    await client.query(`
      set local search_path = public;
      set local timezone = 'UTC';
      set local datestyle = 'ISO, YMD';
      set local intervalstyle = 'postgres';
      set local quote_all_identifiers = off`);
    const blocks: string[] = [];
    for (const query of [EXTENSIONS, SCHEMA_GRANTS, TYPES, FUNCTIONS]) {
      const { rows } = await client.query<{ statement: string }>(query);
      blocks.push(...rows.map(row => row.statement));
    }
    const relations = new Map<string, string[]>();
    for (const query of [TABLES, VIEWS, SEQUENCES, INDEXES, ROW_SECURITY, POLICIES, TRIGGERS, GRANTS, COLUMN_GRANTS]) {
      const { rows } = await client.query<{ relation: string; statement: string }>(query);
      for (const { relation, statement } of rows) relations.set(relation, [...(relations.get(relation) ?? []), statement]);
    }
    for (const relation of [...relations.keys()].sort()) blocks.push(relations.get(relation)!.join('\n'));
    return `${blocks.join('\n\n')}\n`;
  } finally {
    await client.query('rollback');
  }
}

/** The condition that a row of a catalog is in schema `public`, and neither of an extension nor a part of another object. */
const isOurs = (catalog: string, row: string, namespaceColumn: string) => `
  ${row}.${namespaceColumn} = 'public'::regnamespace and not exists (
    select from pg_depend
    where classid = '${catalog}'::regclass and objid = ${row}.oid and refobjid <> objid and deptype in ('e', 'i'))`;

const isOurRelation = isOurs('pg_class', 'r', 'relnamespace');

/** The privileges in an access control list, one row per grantee, without the owner's. */
const granted = (acl: string, owner: string) => `(
  select case grantee when 0 then 'PUBLIC' else grantee::regrole::text end
      || case when is_grantable then ' WITH GRANT OPTION' else '' end as grantee,
    string_agg(distinct privilege_type, ', ' order by privilege_type) as privileges
  from aclexplode(${acl}) where grantee <> ${owner} group by 1, aclexplode.grantee, is_grantable)`;

const EXTENSIONS = `
  select format('CREATE EXTENSION %I;', extname) as statement from pg_extension where extname <> 'plpgsql' order by extname`;

const SCHEMA_GRANTS = `
  select string_agg(format('GRANT %s ON SCHEMA public TO %s;', privileges, grantee), E'\\n'
    order by grantee collate "C") as statement
  from pg_namespace, lateral ${granted('nspacl', 'nspowner')} g
  where nspname = 'public' having count(*) > 0`;

const TYPES = `
  select case t.typtype
    when 'e' then format('CREATE TYPE %s AS ENUM (%s);', t.oid::regtype, (
      select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder) from pg_enum where enumtypid = t.oid))
    when 'd' then format('CREATE DOMAIN %s AS %s%s%s%s;', t.oid::regtype, format_type(t.typbasetype, t.typtypmod),
      case when t.typnotnull then ' NOT NULL' end,
      ' DEFAULT ' || t.typdefault, (
      select string_agg(format(' CONSTRAINT %I %s', conname, pg_get_constraintdef(oid, true)), '' order by conname)
      from pg_constraint where contypid = t.oid and contype = 'c'))
    when 'r' then format('CREATE TYPE %s AS RANGE (SUBTYPE = %s);', t.oid::regtype, (
      select rngsubtype::regtype from pg_range where rngtypid = t.oid))
    else format('CREATE TYPE %s AS (%s);', t.oid::regtype, (
      select string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' order by attnum)
      from pg_attribute where attrelid = t.typrelid and not attisdropped))
  end as statement
  from pg_type t
  where ${isOurs('pg_type', 't', 'typnamespace')}
    and (t.typtype in ('e', 'd', 'r') or exists (select from pg_class where oid = t.typrelid and relkind = 'c'))
  order by t.typname`;

const FUNCTIONS = `
  select rtrim(pg_get_functiondef(p.oid), E'\\n') || ';'
    || case when has_public then '' else format(E'\\nREVOKE ALL ON ROUTINE %s FROM PUBLIC;', p.oid::regprocedure) end
    || coalesce((
      select string_agg(format(E'\\nGRANT %s ON ROUTINE %s TO %s;', privileges, p.oid::regprocedure, grantee), ''
        order by grantee collate "C")
      from ${granted('p.proacl', 'p.proowner')} g where grantee <> 'PUBLIC'), '') as statement
  from pg_proc p, lateral (
    select p.proacl is null or exists (select from aclexplode(p.proacl) where grantee = 0) as has_public) public
  where ${isOurs('pg_proc', 'p', 'pronamespace')} and p.prokind in ('f', 'p')
  order by p.proname, p.oid::regprocedure::text collate "C"`;

/** A column's order in the table counts; a constraint's does not. */
const TABLE_LINES = `
  select attrelid as relid, attnum as place, '' as name, format('  %I %s%s%s%s', attname, format_type(atttypid, atttypmod),
    case when attcollation <> typcollation then ' COLLATE ' || attcollation::regcollation end,
    case when attnotnull then ' NOT NULL' end,
    case
      when attgenerated <> '' then format(' GENERATED ALWAYS AS (%s) %s', pg_get_expr(adbin, adrelid, true),
        case attgenerated when 's' then 'STORED' else 'VIRTUAL' end)
      when attidentity <> '' then format(' GENERATED %s AS IDENTITY',
        case attidentity when 'a' then 'ALWAYS' else 'BY DEFAULT' end)
      else ' DEFAULT ' || pg_get_expr(adbin, adrelid, true)
    end) as line
  from pg_attribute join pg_type t on t.oid = atttypid left join pg_attrdef on adrelid = attrelid and adnum = attnum
  where attnum > 0 and not attisdropped and attislocal
  union all
  select conrelid, 10000, conname, format('  CONSTRAINT %I %s', conname, pg_get_constraintdef(oid, true))
  from pg_constraint where contype in ('p', 'u', 'x', 'f', 'c') and conislocal`;

const TABLES = `
  select r.relname as relation, concat(
    case r.relpersistence when 'u' then 'CREATE UNLOGGED TABLE ' else 'CREATE TABLE ' end, r.oid::regclass,
    (select ' PARTITION OF ' || inhparent::regclass from pg_inherits where inhrelid = r.oid and r.relispartition),
    (select E' (\\n' || string_agg(line, E',\\n' order by place, name) || E'\\n)'
      from (${TABLE_LINES}) lines where relid = r.oid),
    ' ' || pg_get_expr(r.relpartbound, r.oid),
    ' PARTITION BY ' || pg_get_partkeydef(r.oid),
    ' WITH (' || array_to_string(r.reloptions, ', ') || ')', ';') as statement
  from pg_class r where r.relkind in ('r', 'p') and ${isOurRelation}`;

const VIEWS = `
  select r.relname as relation, concat(
    case r.relkind when 'm' then 'CREATE MATERIALIZED VIEW ' else 'CREATE VIEW ' end, r.oid::regclass,
    ' WITH (' || array_to_string(r.reloptions, ', ') || ')', E' AS\\n', pg_get_viewdef(r.oid, true)) as statement
  from pg_class r where r.relkind in ('v', 'm') and ${isOurRelation}`;

const SEQUENCES = `
  select r.relname as relation, format('CREATE SEQUENCE %s AS %s INCREMENT %s MINVALUE %s MAXVALUE %s START %s CACHE %s%s;',
    r.oid::regclass, format_type(seqtypid, null), seqincrement, seqmin, seqmax, seqstart, seqcache,
    case when seqcycle then ' CYCLE' end) as statement
  from pg_class r join pg_sequence on seqrelid = r.oid
  where ${isOurRelation}`;

const INDEXES = `
  select r.relname as relation, pg_get_indexdef(i.oid, 0, true) || ';' as statement
  from pg_class r join pg_index on indrelid = r.oid join pg_class i on i.oid = indexrelid
  where ${isOurRelation} and not i.relispartition
    and not exists (select from pg_constraint where conindid = i.oid and contype in ('p', 'u', 'x'))
  order by i.relname`;

const ROW_SECURITY = `
  select r.relname as relation, format('ALTER TABLE %s %s ROW LEVEL SECURITY;', r.oid::regclass, flag) as statement
  from pg_class r, lateral (values ('ENABLE', r.relrowsecurity), ('FORCE', r.relforcerowsecurity)) flags (flag, is_set)
  where is_set and ${isOurRelation}
  order by flag`;

const POLICIES = `
  select r.relname as relation, concat(
    format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', polname, r.oid::regclass,
      case when polpermissive then 'PERMISSIVE' else 'RESTRICTIVE' end,
      case polcmd when 'r' then 'SELECT' when 'a' then 'INSERT' when 'w' then 'UPDATE' when 'd' then 'DELETE' else 'ALL' end, (
      select string_agg(name, ', ' order by name collate "C")
      from unnest(polroles) role, lateral (select case role when 0 then 'PUBLIC' else role::regrole::text end) roles (name))),
    E'\\n  USING (' || pg_get_expr(polqual, polrelid, true) || ')',
    E'\\n  WITH CHECK (' || pg_get_expr(polwithcheck, polrelid, true) || ')', ';') as statement
  from pg_class r join pg_policy on polrelid = r.oid
  where ${isOurRelation}
  order by polname`;

const TRIGGERS = `
  select r.relname as relation, concat(pg_get_triggerdef(t.oid, true), ';',
    case tgenabled when 'D' then ' -- disabled' when 'R' then ' -- on replicas only' when 'A' then ' -- on replicas too' end
  ) as statement
  from pg_class r join pg_trigger t on tgrelid = r.oid
  where ${isOurRelation} and not tgisinternal and tgparentid = 0
  order by tgname`;

const GRANTS = `
  select r.relname as relation, format('GRANT %s ON %s TO %s;', privileges, r.oid::regclass, grantee) as statement
  from pg_class r, lateral ${granted('r.relacl', 'r.relowner')} g
  where ${isOurRelation}
  order by grantee collate "C"`;

const COLUMN_GRANTS = `
  select r.relname as relation, format('GRANT %s (%s) ON %s TO %s;', privilege, columns, r.oid::regclass, grantee) as statement
  from pg_class r, lateral (
    select grantee, privilege, string_agg(quote_ident(attname), ', ' order by attnum) as columns
    from pg_attribute a, lateral ${granted('a.attacl', 'r.relowner')} g, regexp_split_to_table(privileges, ', ') privilege
    where attrelid = r.oid and not attisdropped group by grantee, privilege) by_privilege
  where ${isOurRelation}
  order by grantee collate "C", privilege collate "C"`;
