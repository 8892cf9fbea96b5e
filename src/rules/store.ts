import type { BreachEffect, Policy } from '../core/clock.ts';
import type { Tx } from '../platform/database.ts';
import { illustrativePack, type RulePack, requireSoundClocks } from './packs.ts';

/** The pack in force in `jurisdiction`; where none was put, the illustrative one. */
export async function getRulePack(tx: Tx, jurisdiction: string): Promise<RulePack> {
  const row = await tx
    .selectFrom('rule_packs')
    .select('document')
    .where('jurisdiction', '=', jurisdiction)
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
  const standard = illustrativePack(jurisdiction);
  return row ? asWrittenNow(row.document as StoredPack, standard) : standard;
}

/** As this version or an earlier one wrote it: that had one effect of a breach, and neither time zone nor grace. */
type StoredPack = Omit<RulePack, 'policies' | 'time_zone' | 'outage_grace'> &
  Partial<RulePack> & { policies: (Omit<Policy, 'on_breach'> & { on_breach?: Policy['on_breach'] | BreachEffect })[] };

const asWrittenNow = (document: StoredPack, { time_zone, outage_grace }: RulePack): RulePack => ({
  time_zone,
  outage_grace,
  ...document,
  policies: document.policies.map(({ on_breach, ...policy }) => ({
    ...policy,
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
