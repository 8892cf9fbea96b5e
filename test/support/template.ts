import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { prepareDemo } from '../../src/demo.ts';
import { readConfig } from '../../src/platform/config.ts';
import { createLogger } from '../../src/platform/log.ts';
import { migrate } from '../../src/platform/migrate.ts';
import { openServices } from '../../src/services.ts';

export const TEMPLATE = 'aman_template';
/** The same without a mechanism in it: migrated, and nothing more. */
export const EMPTY_TEMPLATE = 'aman_empty';

/** An hour before the tests' clock starts. */
const SEEDED_AT = new Date('2026-11-21T18:00:00.000Z');

/**
 * A migrated database that holds the demonstration and, for `mechanism()`, its credentials. Every test file clones it: the
 * seconds that this takes are paid once.
 */
export async function prepareTemplate(adminUrl: (database: string) => string): Promise<void> {
  const admin = new pg.Client(adminUrl('postgres'));
  await admin.connect();
  try {
    // As on a managed server: whoever migrates owns the database and is no superuser.
    await admin.query(`create role aman_app nologin; create role aman_sequencer nologin; create role owner login password 'owner';
       grant aman_app, aman_sequencer to owner`);
    await admin.query(`create database ${EMPTY_TEMPLATE} owner owner`);
    const url = Object.assign(new URL(adminUrl(EMPTY_TEMPLATE)), { username: 'owner', password: 'owner' });
    await migrate(url.href);
    await admin.query(`create database ${TEMPLATE} template ${EMPTY_TEMPLATE}`);
  } finally {
    await admin.end();
  }

  const folder = mkdtempSync(join(tmpdir(), 'aman-template-'));
  const config = readConfig({ DATABASE_URL: adminUrl(TEMPLATE), DATA_DIR: folder, LOG_LEVEL: 'silent' });
  const services = await openServices(config, createLogger(config.log_level), adminUrl(TEMPLATE), () => SEEDED_AT);
  try {
    const credentials = await prepareDemo(services);
    await services.db
      .insertInto('deployment')
      .values({ name: 'test_credentials', value: JSON.stringify(credentials) })
      .execute();
  } finally {
    await services.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
