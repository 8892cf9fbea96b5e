import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Policy } from '../../src/core/policy.ts';
import type { RulePack } from '../../src/core/rule-pack.ts';

const folder = new URL('../../src/rules/packs/', import.meta.url);

/** By jurisdiction, as they are shipped. */
export const SHIPPED: ReadonlyMap<string, string> = new Map(
  globSync(`${folder.pathname}*.json`)
    .sort()
    .map(path => [basename(path, '.json'), path]),
);

/** A shipped pack of one's own to change. */
export const shipped = (jurisdiction: string): RulePack =>
  JSON.parse(readFileSync(SHIPPED.get(jurisdiction)!, 'utf8')) as RulePack;

/** The pack with its `n`th policy of that name changed. */
export function withPolicy(pack: RulePack, name: string, change: Partial<Policy>, n = 0): RulePack {
  const at = pack.policies.findIndex((policy, i) => policy.name === name && countBefore(pack, name, i) === n);
  return { ...pack, policies: pack.policies.map((policy, i) => (i === at ? { ...policy, ...change } : policy)) };
}

const countBefore = ({ policies }: RulePack, name: string, i: number): number =>
  policies.slice(0, i).filter(policy => policy.name === name).length;
