import type { Cost } from './costs.ts';
import type { Cpu } from './cpu.ts';
import type { Measured } from './driver.ts';
import type { InboxResult } from './inbox.ts';
import type { MemoryResult } from './memory.ts';
import type { Profile } from './profile.ts';
import type { Raced, RaceResult } from './race.ts';
import type { Backlog } from './webhooks.ts';

/** What was measured, as tables with the aims beside, and as one object. */

/** Shares of the yardstick, workers off, at 32 clients. */
const RATIO_AIM: Record<Raced, number> = { submit: 0.5, accept: 0.5, read: 0.3 };
const AIM_AT_CLIENTS = 32;
const INBOX_P99_MS = 25;
const START_MS = 2_000;
const MEMORY_MIB = 220;
const TURNS = 3;
const WAL_BYTES = 8_192;
/** Before that the heap is still finding its size. */
const TELLING_REQUESTS = 20_000;

export interface Results {
  machine: { cpus: number; memory_gib: number; node: string; postgres: string };
  races: Partial<Record<'off' | 'on', RaceResult[]>>;
  backlog?: Backlog;
  costs?: Cost[];
  start?: StartResult;
  tokens?: { clients: number; measured: Measured }[];
  inboxes?: InboxResult[];
  memory?: MemoryResult;
  profiles?: Profile[];
}

export interface StartResult {
  ready_ms: number[];
  median_ms: number;
  resident_mib: number;
}

const ms = (value: number) => value.toFixed(1);
const sum = ({ service, postgres, driver }: Cpu) => service + postgres + driver;
const kept = (holds: boolean) => (holds ? 'yes' : 'no');

export function printRaces(workers: 'off' | 'on', races: readonly RaceResult[]): void {
  title(`Against pg alone, writing the same rows; workers ${workers}`);
  table(
    races.map(({ act, clients, raw, service, ratio, statements }) => ({
      act,
      clients,
      'raw/s': Math.round(raw.per_second),
      'aman/s': Math.round(service.per_second),
      ratio: ratio.toFixed(3),
      aim: workers === 'off' && clients === AIM_AT_CLIENTS ? `>= ${RATIO_AIM[act]}` : '',
      'p50 ms': ms(service.p50_ms),
      'p99 ms': ms(service.p99_ms),
      'raw p99': ms(raw.p99_ms),
      'raw statements': statements,
    })),
  );
  title('CPU per act in ms (everything shares the same cores)');
  table(
    races.map(({ act, clients, raw, service }) => ({
      act,
      clients,
      'aman: service': ms(service.cpu!.service),
      'aman: postgres': ms(service.cpu!.postgres),
      'aman: driver': ms(service.cpu!.driver),
      'raw: postgres': ms(raw.cpu!.postgres),
      'raw: driver': ms(raw.cpu!.driver),
      'raw / aman': (sum(raw.cpu!) / sum(service.cpu!)).toFixed(3),
    })),
  );
}

export function printBacklog({ delivered, unnumbered, pending, drained_after_ms }: Backlog): void {
  const drained = drained_after_ms === null ? 'not drained while it was waited for' : `drained after ${ms(drained_after_ms)} ms`;
  console.log(
    `webhooks: ${delivered} delivered; when the load ended ${unnumbered} events and ${pending} deliveries waited, ${drained}`,
  );
}

export function printCosts(costs: readonly Cost[], with_statements: boolean): void {
  title(`On the wire and in the log, per act (aims of submit: <= ${TURNS} turns, <= ${WAL_BYTES} bytes)`);
  table(
    costs.map(cost => ({
      act: cost.act,
      'round trips': cost.turns,
      statements: cost.statements,
      'wire bytes': cost.wire_bytes,
      'WAL bytes': Math.round(cost.wal_bytes),
      'raw WAL bytes': Math.round(cost.raw_wal_bytes),
      'WAL bytes after a checkpoint': Math.round(cost.wal_bytes_after_checkpoint),
      'page images': cost.wal_page_images.toFixed(2),
    })),
  );
  for (const { act, wal_by_relation, statement_list } of costs) {
    title(`Where the log's bytes of ${act} go`);
    table(
      wal_by_relation.slice(0, with_statements ? 60 : 12).map(({ relation, records, bytes }) => ({
        relation,
        records: records.toFixed(2),
        bytes: Math.round(bytes),
      })),
    );
    if (!with_statements) continue;
    title(`What ${act} says`);
    for (const { turn, text } of statement_list)
      console.log(`${String(turn).padStart(3)}  ${text.replace(/\s+/g, ' ').slice(0, 220)}`);
  }
}

export function printStart({ ready_ms, median_ms, resident_mib }: StartResult): void {
  title('Start on a ready database');
  console.log(
    `ready in ${Math.round(median_ms)} ms, the median of ${ready_ms.map(Math.round).join(', ')} (aim <= ${START_MS}: ${kept(median_ms <= START_MS)});`,
  );
  console.log(`then ${Math.round(resident_mib)} MiB are resident`);
}

export function printTokens(tokens: NonNullable<Results['tokens']>): void {
  title('Tokens by client secret (argon2id on purpose)');
  table(
    tokens.map(({ clients, measured }) => ({
      clients,
      'per second': Math.round(measured.per_second),
      'p50 ms': ms(measured.p50_ms),
      'p99 ms': ms(measured.p99_ms),
      'CPU ms': ms(measured.cpu?.service ?? Number.NaN),
    })),
  );
}

export function printInboxes(inboxes: readonly InboxResult[]): void {
  title(`First page of an inbox (aim: p99 <= ${INBOX_P99_MS} ms at 8 clients)`);
  table(
    inboxes.map(({ whose, query, rows, clients, measured, given_up }) => ({
      whose,
      query,
      referrals: rows,
      clients,
      'per second': Math.round(measured.per_second),
      'p50 ms': ms(measured.p50_ms),
      'p99 ms': ms(measured.p99_ms),
      kept: given_up ?? kept(measured.p99_ms <= INBOX_P99_MS),
    })),
  );
}

export function printMemory(memory: MemoryResult): void {
  const { requests, at_start_mib, at_end_mib, highest_mib, anonymous_at_end_mib, growth_mib_per_10_000 } = memory;
  title(`Memory over ${requests} requests`);
  console.log(
    `resident: ${Math.round(at_start_mib)} MiB at the start, ${Math.round(at_end_mib)} at the end (${Math.round(anonymous_at_end_mib)} of heap, stacks and buffers), ${Math.round(highest_mib)} at most (aim <= ${MEMORY_MIB}: ${kept(highest_mib <= MEMORY_MIB)});`,
  );
  const growth = `in the second half ${growth_mib_per_10_000.toFixed(2)} MiB more per 10,000 requests`;
  console.log(requests < TELLING_REQUESTS ? `${growth}, which says nothing before ${TELLING_REQUESTS} of them` : growth);
}

export function printProfile({ act, measured, functions, places, idle, statements }: Profile): void {
  title(
    `Profile of ${act}: ${Math.round(measured.per_second)}/s under the profiler, main thread idle for ${(idle * 100).toFixed(0)} %`,
  );
  const { service, postgres, driver } = measured.cpu!;
  console.log(`CPU per act: service ${ms(service)} ms, PostgreSQL ${ms(postgres)} ms, driver ${ms(driver)} ms`);
  const shares = (all: Profile['places']) =>
    table(all.map(({ name, share }) => ({ share: `${(share * 100).toFixed(1)} %`, name })));
  shares(places);
  shares(functions);
  title(`What ${act} costs PostgreSQL, by statement`);
  for (const { text, calls, ms: executing, planning_ms } of statements)
    console.log(
      `${executing.toFixed(3)} ms + ${planning_ms.toFixed(3)} planning, ${calls.toFixed(2)} times  ${text.slice(0, 160)}`,
    );
}

export const title = (text: string) => console.log(`\n${text}`);

export function table(rows: readonly Record<string, string | number>[]): void {
  const names = Object.keys(rows[0] ?? {});
  const widths = names.map(name => Math.max(name.length, ...rows.map(row => String(row[name]).length)));
  const line = (cells: readonly (string | number)[], right: (i: number) => boolean) =>
    console.log(
      `  ${cells
        .map((cell, i) => (right(i) ? String(cell).padStart(widths[i]!) : String(cell).padEnd(widths[i]!)))
        .join('  ')
        .trimEnd()}`,
    );
  const is_number = names.map(name => rows.every(row => /^(>= )?[\d.,-]*( %)?$/.test(String(row[name]))));
  line(names, i => is_number[i]!);
  for (const row of rows)
    line(
      names.map(name => row[name]!),
      i => is_number[i]!,
    );
}
