/**
 * `npm run rules:check -- <file.json> …` looks at rule packs as the service would that takes them, without one. Prints each fault
 * with its JSON pointer, or one line for a pack that is sound. Exit code 0: all are. 1: a pack is not, or cannot be read.
 */
import { readFileSync } from 'node:fs';
import type { Fault } from '../src/core/problem.ts';
import { checkRulePack } from '../src/core/rule-pack.ts';
import { faultsIn } from '../src/platform/http/openapi.ts';
import { wholePack } from '../src/rules/packs.ts';
import { RulePackBody } from '../src/rules/schema.ts';

const paths = process.argv.slice(2);
if (paths.length === 0) {
  console.error('usage: npm run rules:check -- <file.json> …');
  process.exitCode = 1;
}
for (const path of paths) {
  const checked = check(path);
  if (typeof checked === 'string') console.log(`${path}: ${checked}`);
  else {
    process.exitCode = 1;
    console.error(`${path}: not sound`);
    for (const { pointer, detail } of checked) console.error(`${pointer}: ${detail}`);
  }
}

/** What to say of a sound pack, or its faults. */
function check(path: string): string | Fault[] {
  let document: unknown;
  try {
    document = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const detail = error instanceof SyntaxError ? 'is not JSON' : 'cannot be read';
    return [{ pointer: '', detail: `${detail}: ${(error as Error).message}` }];
  }
  const misshapen = faultsIn(RulePackBody, document);
  if (misshapen.length > 0) return misshapen;
  const pack = wholePack(document as RulePackBody);
  const faults = checkRulePack(pack, [], new Date());
  return faults.length > 0 ? faults : `${pack.jurisdiction}, ${pack.name}: sound`;
}
