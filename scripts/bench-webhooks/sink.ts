import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

/**
 * Receivers, one at each path, on a thread of their own, so that whoever measures does not wait for them. They take everything at
 * once, but for `/slow`, and note when each event came first.
 */
export interface Sink {
  url: string;
  /** Of what came since the last call: milliseconds from when each event occurred to when it came, by path. */
  take(): Promise<Arrivals>;
  /** How many requests came since the last `take`. */
  count(): Promise<number>;
  close(): Promise<void>;
}

export interface Arrivals {
  count: number;
  lags: Map<string, number[]>;
  /** When the first came and when the last, in milliseconds. */
  first_at: number;
  last_at: number;
}

const SLOW_MS = 10_000;

export async function startSink(): Promise<Sink> {
  const worker = new Worker(fileURLToPath(import.meta.url));
  const ask = async <T>(question: 'take' | 'count'): Promise<T> => {
    worker.postMessage(question);
    const [answer] = await once(worker, 'message');
    return answer as T;
  };
  const [port] = (await once(worker, 'message')) as [number];
  return {
    url: `http://127.0.0.1:${port}`,
    take: () => ask('take'),
    count: () => ask('count'),
    close: async () => void (await worker.terminate()),
  };
}

const now = (): number => performance.timeOrigin + performance.now();
const OCCURRED = /"timestamp":"([^"]+)"/;

if (!isMainThread) {
  const fresh = (): Arrivals => ({ count: 0, lags: new Map(), first_at: now(), last_at: now() });
  let arrivals = fresh();
  const seen = new Set<string>();
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', piece => {
      text += piece;
    });
    request.on('end', () => {
      const at = now();
      const path = request.url!;
      if (arrivals.count === 0) arrivals.first_at = at;
      arrivals.count += 1;
      arrivals.last_at = at;
      const event = `${path} ${request.headers['webhook-id']}`;
      if (!seen.has(event)) {
        seen.add(event);
        const lags = arrivals.lags.get(path) ?? [];
        arrivals.lags.set(path, lags);
        lags.push(at - Date.parse(OCCURRED.exec(text)?.[1] ?? ''));
      }
      const answer = () => response.writeHead(204).end();
      if (path === '/slow') setTimeout(answer, SLOW_MS).unref();
      else answer();
    });
  });
  parentPort!.on('message', question => {
    parentPort!.postMessage(question === 'count' ? arrivals.count : arrivals);
    if (question === 'take') {
      arrivals = fresh();
      seen.clear();
    }
  });
  server.listen(0, '127.0.0.1', () => parentPort!.postMessage((server.address() as AddressInfo).port));
}
