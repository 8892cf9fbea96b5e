import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import pg from 'pg';
import type { Agencies } from './acts.ts';
import type { World } from './world.ts';

/** Receivers of webhooks that take everything at once, on a thread of their own, so that whoever measures does not wait for them. */

export interface Receivers {
  url: string;
  close(): Promise<void>;
}

export async function startReceivers(): Promise<Receivers> {
  const worker = new Worker(fileURLToPath(import.meta.url));
  const [port] = (await once(worker, 'message')) as [number];
  return { url: `http://127.0.0.1:${port}`, close: async () => void (await worker.terminate()) };
}

if (!isMainThread) {
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(204).end());
  });
  server.listen(0, '127.0.0.1', () => parentPort?.postMessage((server.address() as AddressInfo).port));
}

/** Every agency is told everything. */
export async function registerAll(agencies: Agencies, world: World, { url }: Receivers): Promise<void> {
  await world.refresh();
  for (const party of world.parties) await agencies.registerWebhook(party, `${url}/${party.id}`);
}

export interface Backlog {
  delivered: number;
  /** When the load ended: events that are in no agency's order yet, and deliveries not made. */
  unnumbered: number;
  pending: number;
  /** Until both were none; null where that took too long to wait for. */
  drained_after_ms: number | null;
}

export async function readBacklog(database_url: string, within_ms: number): Promise<Backlog> {
  const client = new pg.Client(database_url);
  await client.connect();
  const look = async () => {
    const { rows } = await client.query<{ unnumbered: number; pending: number; delivered: number }>(
      `select (select count(*) from events where position is null)::int as unnumbered,
         count(*) filter (where state = 'pending')::int as pending,
         count(*) filter (where state = 'delivered')::int as delivered from deliveries`,
    );
    return rows[0]!;
  };
  try {
    const started_at = performance.now();
    const first = await look();
    for (let now = first; ; now = await look()) {
      const waited = performance.now() - started_at;
      const done = now.unnumbered === 0 && now.pending === 0;
      if (done || waited > within_ms) return { ...first, delivered: now.delivered, drained_after_ms: done ? waited : null };
      await pause(200);
    }
  } finally {
    await client.end();
  }
}
