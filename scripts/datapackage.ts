import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Makes of a folder that holds a Data Package in HSDS (`datapackage.json` beside tables in CSV) or tables alone one document with
 * everything inline: what `POST /v1/directory/import` takes as `directory`.
 *
 *   node scripts/datapackage.ts <folder>
 */

interface Resource {
  name: string;
  path?: string;
  data?: unknown;
}

const [folder, ...others] = process.argv.slice(2);
if (folder === undefined || others.length > 0) {
  console.error('usage: node scripts/datapackage.ts <folder>');
  process.exit(2);
}

const tables = readdirSync(folder).filter(name => name.endsWith('.csv'));
const descriptor = join(folder, 'datapackage.json');
const described: { resources: Resource[] } = existsSync(descriptor)
  ? JSON.parse(readFileSync(descriptor, 'utf8'))
  : { resources: tables.map(path => ({ name: path.slice(0, -'.csv'.length), path })) };
// Named, but not there: HSDS describes all of its tables, and nobody has all of them. No path leads out of the folder.
const resources = described.resources
  .filter(({ path, data }) => data !== undefined || (path !== undefined && tables.includes(path)))
  .map(({ path, data, ...rest }) => ({ ...rest, data: data ?? readFileSync(join(folder, path!), 'utf8') }));
console.log(JSON.stringify({ ...described, resources }));
