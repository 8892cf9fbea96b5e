import { writeFile } from 'node:fs/promises';
import { type Server, startServer } from './server.ts';
import { stopServices } from './service.ts';

export type Tell = (text: string) => void;

export interface Run<Results> {
  /** Of the server. */
  settings?: Record<string, string>;
  /** Far more than it takes. */
  at_most_minutes: number;
  json_file: string | undefined;
  /** @param results is filled as it goes: what was measured before something failed is kept */
  measure(server: Server, results: Partial<Results>, tell: Tell): Promise<void>;
}

/** Measures on a throw-away server, and ends the process; whatever ends the run, nothing is left behind. */
export async function run<Results>({ settings, at_most_minutes, json_file, measure }: Run<Results>): Promise<never> {
  const started_at = performance.now();
  const tell: Tell = text => console.error(`${((performance.now() - started_at) / 1_000).toFixed(0).padStart(4)} s  ${text}`);

  /** Ends the run from outside. */
  const broken_off = Promise.withResolvers<never>();
  broken_off.promise.catch(() => {});
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => broken_off.reject(new Error(`${signal}: stopped before the end`)));
  setTimeout(() => broken_off.reject(new Error(`not over within ${at_most_minutes} minutes`)), at_most_minutes * 60_000).unref();

  const results: Partial<Results> = {};
  let server: Server | undefined;
  try {
    server = await startServer(settings);
    await Promise.race([measure(server, results, tell), broken_off.promise]);
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  } finally {
    await stopServices();
    await server?.stop();
  }
  if (json_file !== undefined) await writeFile(json_file, `${JSON.stringify(results, null, 2)}\n`);
  process.exit();
}
