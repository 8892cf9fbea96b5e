import type { Tx } from '../platform/database.ts';
import { illustrativePack, type RulePack } from './packs.ts';

/** The pack in force in `jurisdiction`; where none was put, the illustrative one. */
export async function getRulePack(tx: Tx, jurisdiction: string): Promise<RulePack> {
  const row = await tx
    .selectFrom('rule_packs')
    .select('document')
    .where('jurisdiction', '=', jurisdiction)
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
  return (row?.document as RulePack | undefined) ?? illustrativePack(jurisdiction);
}

export async function insertRulePack(tx: Tx, pack: RulePack, now: Date): Promise<void> {
  const { jurisdiction, version } = pack;
  await tx
    .insertInto('rule_packs')
    .values({ jurisdiction, version, document: JSON.stringify(pack), created_at: now })
    .execute();
}
