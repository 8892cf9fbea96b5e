import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { DestinationStream } from 'pino';
import type { Test } from 'tap';
import { type App, buildApi } from '../../src/api.ts';
import { openSequencer } from '../../src/audit/jobs.ts';
import { readConfig } from '../../src/platform/config.ts';
import { createLogger } from '../../src/platform/log.ts';
import { openServices, type Services } from '../../src/services.ts';
import { emittedEvents } from './events.ts';
import { queueEnvironment } from './redis.ts';
import { TEMPLATE } from './template.ts';

/** A clock that stands still until a test moves it. */
export interface TestClock {
  now: () => Date;
  advance(ms: number): void;
}

export const testClock = (start = '2026-11-21T19:00:00.000Z'): TestClock => {
  let at = new Date(start).getTime();
  return {
    now: () => new Date(at),
    advance(ms) {
      at += ms;
    },
  };
};

/** A database of the test's own, cloned from the template, dropped at teardown. @returns its superuser's connection string */
export async function cloneDatabase(t: Test, template = TEMPLATE): Promise<string> {
  const admin_url = process.env.TEST_DATABASE_ADMIN_URL;
  if (!admin_url) throw new Error('run the tests with `npm test`, which brings its own PostgreSQL');
  const name = `test_${randomUUID().replaceAll('-', '').slice(0, 20)}`;
  await administer(admin_url, `create database ${name} template ${template} strategy file_copy`);
  t.teardown(() => administer(admin_url, `drop database ${name} with (force)`));
  return Object.assign(new URL(admin_url), { pathname: `/${name}` }).href;
}

/** The services on a database of the test file's own. Every file may run at any time beside any other. */
export async function openTestServices(
  t: Test,
  env: NodeJS.ProcessEnv = {},
  template = TEMPLATE,
  log_to?: DestinationStream,
): Promise<{ services: Services; clock: TestClock }> {
  const database_url = await cloneDatabase(t, template);
  const folder = mkdtempSync(join(tmpdir(), 'aman-test-'));
  const config = readConfig({
    DATABASE_URL: database_url,
    DATA_DIR: folder,
    LOG_LEVEL: 'silent',
    ...(env.REDIS_URL ? {} : await queueEnvironment(t)),
    ...env,
  });
  const clock = testClock();
  const services = await openServices(config, createLogger(config.log_level, log_to), database_url, clock.now);
  t.teardown(async () => {
    await services.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { services, clock };
}

async function administer(url: string, statement: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

export interface TestApp {
  app: App;
  services: Services;
  clock: TestClock;
  /** Gives all that acts left its place in the log, as the sequencer does by itself within a second. */
  sequence(): Promise<void>;
}

/** A sequencer of these services that steps when it is told to. */
export function sequencerOf(t: Test, services: Services): () => Promise<void> {
  let opened: ReturnType<typeof openSequencer> | undefined;
  const sequence = async () => {
    if (!opened) {
      opened = openSequencer(services, services.config.database_url!);
      t.teardown(async () => (await opened!).close());
    }
    const { sequencer } = await opened;
    while (await sequencer.step());
  };
  let last = Promise.resolve();
  return () => {
    last = last.then(sequence);
    return last;
  };
}

/**
 * The whole HTTP side on such services; requests go in by `app.inject`. Whatever acts emit meanwhile must be as the document says.
 */
export async function startTestApp(t: Test, env: NodeJS.ProcessEnv = {}, log_to?: DestinationStream): Promise<TestApp> {
  let faults: string[] = [];
  // What is torn down last may fail, for nothing is left to tear down.
  t.teardown(() => {
    if (faults.length > 0) throw new Error(`events are not as documented: ${faults.join('; ')}`);
  });
  const { services, clock } = await openTestServices(t, env, TEMPLATE, log_to);
  const app = await buildApi(services);
  t.teardown(() => app.close());
  t.teardown(async () => {
    // What follows closes the service, which must not be left open.
    faults = await emittedEvents(services).then(
      ({ faults }) => faults,
      error => [`nobody could look what was told: ${error}`],
    );
  });
  return { app, services, clock, sequence: sequencerOf(t, services) };
}
