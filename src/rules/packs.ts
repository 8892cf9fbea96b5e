import type { RulePack } from '../core/rule-pack.ts';
import illustrative from './packs/XA.json' with { type: 'json' };
import fast from './packs/XB.json' with { type: 'json' };

/** The shipped packs of the fictional jurisdictions. Those of countries are put by whoever runs a deployment there. */

/** What a jurisdiction uses until it has a pack of its own. Its calendar stands in every database. */
export const illustrativePack = (jurisdiction: string): RulePack => ({ ...(illustrative as unknown as RulePack), jurisdiction });

/** A pack as it was written, perhaps before routing was part of it: where it is silent, the illustrative one speaks. */
export const wholePack = (pack: Omit<RulePack, 'firewalls' | 'routing' | 'crisis_plans'> & Partial<RulePack>): RulePack => {
  const { firewalls, routing } = illustrativePack(pack.jurisdiction);
  return { firewalls, routing, crisis_plans: [], ...pack };
};

/** The demonstration's second jurisdiction: a night in seconds, the same for every urgency. */
export const fastPack = (jurisdiction: string): RulePack => ({ ...(fast as unknown as RulePack), jurisdiction });
