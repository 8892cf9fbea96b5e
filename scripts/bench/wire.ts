import { createServer, type Socket, connect as tcpConnect } from 'node:net';

/**
 * Stands between the service and PostgreSQL and counts. A turn begins when the client sends while the server owes it no answer
 * (ReadyForQuery): so many times the service had to wait for the wire, however many statements it sent at once.
 */

export interface Statement {
  /** Of the request, counted from 1. */
  turn: number;
  text: string;
}

export interface Wire {
  /** The same database by way of this. */
  url: string;
  /** Forgets what was counted so far. */
  reset(): void;
  /** Since the last reset. */
  counted(): { turns: number; statements: readonly Statement[]; bytes: number };
  close(): Promise<void>;
}

export async function openWire(database_url: string): Promise<Wire> {
  const target = new URL(database_url);
  const sockets = new Set<Socket>();
  let turns = 0;
  let bytes = 0;
  let statements: Statement[] = [];

  const server = createServer(client => {
    const database = tcpConnect(Number(target.port), target.hostname);
    for (const socket of [client, database]) {
      sockets.add(socket.setNoDelay(true));
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        database.destroy();
      });
    }
    const prepared = new Map<string, string>();
    let owed = 0;
    let in_turn = false;
    const ofClient = messages(true, (type, body) => {
      if (type === 'Q') statements.push({ turn: turns, text: textAt(body, 0) });
      else if (type === 'P') prepared.set(textAt(body, 0), textAt(body, textAt(body, 0).length + 1));
      else if (type === 'B')
        statements.push({ turn: turns, text: prepared.get(textAt(body, textAt(body, 0).length + 1)) ?? '?' });
      if (type === 'Q' || type === 'S') owed += 1;
    });
    const ofDatabase = messages(false, type => {
      if (type !== 'Z') return;
      owed = Math.max(0, owed - 1);
      if (owed === 0) in_turn = false;
    });
    client.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (!in_turn) turns += 1;
      in_turn = true;
      ofClient(chunk);
      database.write(chunk);
    });
    database.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      ofDatabase(chunk);
      client.write(chunk);
    });
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const url = new URL(database_url);
  url.port = String((server.address() as { port: number }).port);
  return {
    url: url.href,
    reset() {
      turns = 0;
      bytes = 0;
      statements = [];
    },
    counted: () => ({ turns, statements: [...statements], bytes }),
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise(resolve => server.close(resolve));
    },
  };
}

/** Cuts the stream into messages: a type and its body. The client's first one has no type. */
function messages(from_client: boolean, on: (type: string, body: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  let first = from_client;
  return chunk => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (;;) {
      const head = first ? 0 : 1;
      if (rest.length < head + 4) return;
      const length = head + rest.readInt32BE(head);
      if (rest.length < length) return;
      if (!first) on(String.fromCharCode(rest[0]!), rest.subarray(5, length));
      first = false;
      rest = rest.subarray(length);
    }
  };
}

/** A text that ends with a zero byte. ASCII: names and statements are the program's own. */
const textAt = (body: Buffer, start: number): string => body.toString('latin1', start, body.indexOf(0, start));
