import { type RawBuilder, sql } from 'kysely';
import type { Calendar } from '../core/calendar.ts';
import { type CrisisMode, crisisIn, underCrisis } from '../core/crisis.ts';
import type { BreachEffect, Policy } from '../core/policy.ts';
import { checkRulePack, inForce, type PackInForce, type RulePack } from '../core/rule-pack.ts';
import type { Tx } from '../platform/database.ts';
import { insertCalendar, listCalendarsNamed } from './calendars/store.ts';
import { illustrativePack } from './packs.ts';

/** What no jurisdiction has put has no version of its own. */
export const ILLUSTRATIVE_VERSION = 0;

/** A version of a pack never changes, so whatever was read of one database is good for as long as the process runs. */
const read = new WeakMap<object, Map<string, PackInForce>>();

/** What holds in a jurisdiction, read in one go: the version of its pack, null where none was put, and the crises that nobody has ended. */
export interface InForce {
  version: number | null;
  modes: (Omit<CrisisMode, 'expires_at'> & { expires_at: string })[] | null;
}

/** The same of the jurisdiction that `jurisdiction` names, for a statement that asks for it beside other things. */
export const rulesInForce = (jurisdiction: RawBuilder<unknown>): RawBuilder<InForce> => sql<InForce>`json_build_object(
  'version', (select max(p.version) from rule_packs p where p.jurisdiction = ${jurisdiction}),
  'modes', (select json_agg(json_build_object(
      'id', m.id, 'kind', m.kind, 'phase', m.phase, 'regions', m.regions, 'expires_at', m.expires_at) order by m.id)
    from crisis_modes m where m.jurisdiction = ${jurisdiction} and m.ended_at is null))`;

/** The pack that holds in a region now: its version in force, as a crisis there changes it. */
export async function packInForce(
  of: { pool: object; now(): Date },
  tx: Tx,
  { jurisdiction, region }: { jurisdiction: string; region: string | null },
  { version, modes }: InForce,
): Promise<PackInForce> {
  return packIn(await getRulePack(of, tx, jurisdiction, version), modes, region, of.now());
}

/** A pack as it holds in a region while these crises last. */
export function packIn(pack: PackInForce, modes: InForce['modes'], region: string | null, at: Date): PackInForce {
  const held = modes?.map(mode => ({ ...mode, expires_at: new Date(mode.expires_at) })) ?? [];
  return underCrisis(pack, crisisIn(held, region, at));
}

/**
 * The pack of a version; `null`: the illustrative one, where none was put.
 * @param of.pool whose database it is
 */
export async function getRulePack(
  of: { pool: object },
  tx: Tx,
  jurisdiction: string,
  version: number | null,
): Promise<PackInForce> {
  const known = read.get(of.pool) ?? new Map<string, PackInForce>();
  read.set(of.pool, known);
  const name = `${jurisdiction} ${version}`;
  const pack = known.get(name) ?? (await readRulePack(tx, jurisdiction, version));
  known.set(name, pack);
  return pack;
}

/** The same, as this transaction sees it: one that may yet be rolled back must not be kept. */
export async function readRulePack(tx: Tx, jurisdiction: string, version: number | null): Promise<PackInForce> {
  const standard = inForce(illustrativePack(jurisdiction), ILLUSTRATIVE_VERSION);
  if (version === null) return standard;
  const { document } = await tx
    .selectFrom('rule_packs')
    .select('document')
    .where('jurisdiction', '=', jurisdiction)
    .where('version', '=', version)
    .executeTakeFirstOrThrow();
  return { ...asWrittenNow(document as StoredPack, standard), version };
}

/** What holds in the jurisdiction of a case. */
export async function findRulesOfCase(tx: Tx, { case_id }: { case_id: string }): Promise<InForce> {
  const { rows } = await sql<{ rules: InForce }>`
    select ${rulesInForce(sql.ref('c.jurisdiction'))} as rules from cases c where c.id = ${case_id}`.execute(tx);
  return rows[0]?.rules ?? { version: null, modes: null };
}

/** What holds in `jurisdiction`. */
export async function findRules(tx: Tx, jurisdiction: string): Promise<InForce> {
  const { rows } = await sql<{ rules: InForce }>`
    select ${rulesInForce(sql.ref('j.jurisdiction'))} as rules from (select ${jurisdiction}::text as jurisdiction) j`.execute(tx);
  return rows[0]!.rules;
}

/** The pack in force in `jurisdiction`, or in a region of it. */
export const getCurrentRulePack = async (
  of: { pool: object; now(): Date },
  tx: Tx,
  jurisdiction: string,
  region: string | null = null,
): Promise<PackInForce> => packInForce(of, tx, { jurisdiction, region }, await findRules(tx, jurisdiction));

/** When the version in force was put; undefined where none was. With `lock`, no other is put before this transaction ends. */
export async function findNewestPack(
  tx: Tx,
  jurisdiction: string,
  { lock = false } = {},
): Promise<{ version: number; created_at: Date } | undefined> {
  // One lock for all, for packs may share calendars.
  if (lock) await sql`select pg_advisory_xact_lock(hashtextextended('rule packs', 0))`.execute(tx);
  return tx
    .selectFrom('rule_packs')
    .select(['version', 'created_at'])
    .where('jurisdiction', '=', jurisdiction)
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
}

/** As this version or an earlier one wrote it: that had one effect of a breach, and no more than clocks and grounds. */
type StoredPack = Partial<Omit<PackInForce, 'policies' | 'outage_grace'>> & {
  outage_grace?: PackInForce['outage_grace'] | string;
  policies: (Omit<Policy, 'on_breach' | 'calendar'> & { on_breach?: Policy['on_breach'] | BreachEffect } & Partial<
      Pick<Policy, 'calendar'>
    >)[];
};

const asWrittenNow = ({ policies, outage_grace, ...document }: StoredPack, standard: PackInForce): PackInForce => ({
  ...standard,
  crisis_plans: [],
  ...document,
  outage_grace:
    typeof outage_grace === 'string'
      ? { ...standard.outage_grace, duration: outage_grace }
      : (outage_grace ?? standard.outage_grace),
  policies: policies.map(({ on_breach, ...policy }) => ({
    ...policy,
    calendar: policy.calendar ?? 'jurisdiction',
    ...(on_breach === undefined ? {} : { on_breach: [on_breach].flat() as BreachEffect[] }),
  })),
});

/**
 * A pack's next version, and those of its calendars that do not exist yet.
 * @param known calendars that exist and that it names without holding them
 * @throws RangeError for one that `checkRulePack` finds something wrong with
 */
export async function insertRulePack(
  tx: Tx,
  pack: RulePack,
  version: number,
  now: Date,
  known: readonly Calendar[] = [],
): Promise<void> {
  const [fault] = checkRulePack(pack, known);
  if (fault) throw new RangeError(`rule pack of ${pack.jurisdiction}: ${fault.pointer} ${fault.detail}`);
  const { calendars, jurisdiction } = pack;
  const ids = calendars.map(({ id }) => id);
  const standing = new Set((await listCalendarsNamed(tx, ids)).map(({ id }) => id));
  for (const calendar of calendars) if (!standing.has(calendar.id)) await insertCalendar(tx, calendar, now);
  const { version: _, ...document } = inForce(pack, version);
  await tx
    .insertInto('rule_packs')
    .values({ jurisdiction, version, document: JSON.stringify(document), created_at: now })
    .execute();
}
