import { type RawBuilder, sql } from 'kysely';
import type { BreachEffect, Policy } from '../core/policy.ts';
import type { Tx } from '../platform/database.ts';
import { illustrativePack, type RulePack, requireSoundClocks } from './packs.ts';

/** A version of a pack never changes, so whatever was read of one database is good for as long as the process runs. */
const read = new WeakMap<object, Map<string, RulePack>>();

/** The version in force in the jurisdiction that `jurisdiction` refers to, for a statement that asks for it beside other things. */
export const versionInForce = (jurisdiction: string): RawBuilder<number | null> =>
  sql<number | null>`(select max(p.version) from rule_packs p where p.jurisdiction = ${sql.ref(jurisdiction)})`;

/**
 * The pack of a version; `null`: the illustrative one, where none was put.
 * @param of.pool whose database it is
 */
export async function getRulePack(of: { pool: object }, tx: Tx, jurisdiction: string, version: number | null): Promise<RulePack> {
  const known = read.get(of.pool) ?? new Map<string, RulePack>();
  read.set(of.pool, known);
  const name = `${jurisdiction} ${version}`;
  const pack = known.get(name) ?? (await readPack(tx, jurisdiction, version));
  known.set(name, pack);
  return pack;
}

async function readPack(tx: Tx, jurisdiction: string, version: number | null): Promise<RulePack> {
  const standard = illustrativePack(jurisdiction);
  if (version === null) return standard;
  const { document } = await tx
    .selectFrom('rule_packs')
    .select('document')
    .where('jurisdiction', '=', jurisdiction)
    .where('version', '=', version)
    .executeTakeFirstOrThrow();
  return asWrittenNow(document as StoredPack, standard);
}

/** The version in force in the jurisdiction of a case. */
export async function findPackVersion(tx: Tx, { case_id }: { case_id: string }): Promise<number | null> {
  const { version } = await tx
    .selectFrom('rule_packs')
    .select(({ fn }) => fn.max<number | null>('version').as('version'))
    .where('jurisdiction', '=', eb => eb.selectFrom('cases').select('jurisdiction').where('id', '=', case_id))
    .executeTakeFirstOrThrow();
  return version;
}

/** The pack in force in `jurisdiction`. */
export async function getCurrentRulePack(of: { pool: object }, tx: Tx, jurisdiction: string): Promise<RulePack> {
  const { rows } = await sql<{ version: number | null }>`
    select max(version) as version from rule_packs where jurisdiction = ${jurisdiction}`.execute(tx);
  return getRulePack(of, tx, jurisdiction, rows[0]!.version);
}

/** As this version or an earlier one wrote it: that had one effect of a breach, and neither calendars nor grace. */
type StoredPack = Omit<RulePack, 'policies' | 'calendar_id' | 'outage_grace'> &
  Partial<RulePack> & {
    policies: (Omit<Policy, 'on_breach' | 'calendar'> & { on_breach?: Policy['on_breach'] | BreachEffect } & Partial<
        Pick<Policy, 'calendar'>
      >)[];
  };

const asWrittenNow = (document: StoredPack, { calendar_id, outage_grace }: RulePack): RulePack => ({
  calendar_id,
  outage_grace,
  ...document,
  policies: document.policies.map(({ on_breach, ...policy }) => ({
    ...policy,
    calendar: policy.calendar ?? 'jurisdiction',
    ...(on_breach === undefined ? {} : { on_breach: [on_breach].flat() as BreachEffect[] }),
  })),
});

/** @throws RangeError for a pack that the clocks could not run under */
export async function insertRulePack(tx: Tx, pack: RulePack, now: Date): Promise<void> {
  requireSoundClocks(pack);
  const { jurisdiction, version } = pack;
  await tx
    .insertInto('rule_packs')
    .values({ jurisdiction, version, document: JSON.stringify(pack), created_at: now })
    .execute();
}
