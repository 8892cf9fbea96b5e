import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** Milliseconds of CPU that each part has used so far; on Linux, and nothing elsewhere. */
export interface Cpu {
  service: number;
  postgres: number;
  driver: number;
}

const TICK_MS = 10;

export function readCpu(service_pid: number | undefined, postmaster_pid: number): Cpu {
  const { user, system } = process.cpuUsage();
  return {
    service: service_pid === undefined ? 0 : (statOf(service_pid)?.own_ms ?? 0),
    postgres: existsSync('/proc/self/stat') ? clusterMs(postmaster_pid) : 0,
    driver: (user + system) / 1_000,
  };
}

/** The server's processes, and those that have ended. */
function clusterMs(postmaster_pid: number): number {
  const postmaster = statOf(postmaster_pid);
  let ms = (postmaster?.own_ms ?? 0) + (postmaster?.ended_children_ms ?? 0);
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? statOf(Number(name)) : undefined;
    if (stat?.parent === postmaster_pid) ms += stat.own_ms;
  }
  return ms;
}

/** proc(5): "pid (name) state ppid …"; user and system time are the 14th and 15th field, those of ended children the next two. */
function statOf(pid: number): { parent: number; own_ms: number; ended_children_ms: number } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ms = (index: number) => Number(fields[index]) * TICK_MS;
  return { parent: Number(fields[1]), own_ms: ms(11) + ms(12), ended_children_ms: ms(13) + ms(14) };
}

export const perStep = (before: Cpu, after: Cpu, steps: number): Cpu => ({
  service: (after.service - before.service) / steps,
  postgres: (after.postgres - before.postgres) / steps,
  driver: (after.driver - before.driver) / steps,
});
