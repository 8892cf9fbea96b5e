import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { buildApi } from '../src/api.ts';
import { readConfig } from '../src/platform/config.ts';
import { createLogger } from '../src/platform/log.ts';
import { openServices } from '../src/services.ts';
import { TEMPLATE } from '../test/support/template.ts';
import { dumpSchema } from './schema.ts';

/**
 * Writes what is generated and reviewed: `openapi/openapi.json` from the schemas of the routes, `migrations/schema.sql` from a
 * migrated database. With `--check` nothing is written, and a file that is not current fails. Run by `npm run generate`, which
 * brings the database.
 */

const admin_url = process.env.TEST_DATABASE_ADMIN_URL;
if (!admin_url) throw new Error('run `npm run generate`');
const url = new URL(admin_url);
url.pathname = `/${TEMPLATE}`;
const check = process.argv.includes('--check');

const folder = mkdtempSync(join(tmpdir(), 'aman-generate-'));
const config = readConfig({ DATABASE_URL: url.href, DATA_DIR: folder, LOG_LEVEL: 'silent', ROLES: 'api' });
const services = await openServices(config, createLogger('silent'), url.href);
const app = await buildApi(services);
const client = new pg.Client(url.href);
await client.connect();

const generated = {
  'openapi/openapi.json': `${JSON.stringify(app.openapi(), null, 2)}\n`,
  'migrations/schema.sql': await dumpSchema(client),
};

await client.end();
await app.close();
await services.close();
rmSync(folder, { recursive: true, force: true });

for (const [file, content] of Object.entries(generated)) {
  const path = new URL(`../${file}`, import.meta.url);
  if (!check) writeFileSync(path, content);
  else if (readOrEmpty(path) !== content) {
    console.error(`${file} is not current: run \`npm run generate\` and review the change`);
    process.exitCode = 1;
  }
}

function readOrEmpty(path: URL): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
