import { type Read, read } from '../audit/read.ts';
import type { AgencyActor } from '../core/access.ts';
import { CODE_LISTS, labelOf } from '../core/codes.ts';
import { EVENT_TYPES } from '../core/events.ts';
import { PROBLEMS } from '../core/problem.ts';
import type { Services } from '../services.ts';

interface Labelled {
  code: string;
  label: string;
}

/** Each list under its name, in the order in which people expect its codes. */
export const CODES: Record<string, Labelled[]> = {
  ...Object.fromEntries(Object.entries(CODE_LISTS).map(([name, codes]) => [name, codes.map(labelled)])),
  event_type: EVENT_TYPES.map(labelled),
  problem: Object.entries(PROBLEMS).map(([code, [label]]) => ({ code, label })),
};

function labelled(code: string): Labelled {
  return { code, label: labelOf(code) };
}

/** What `GET /v1/codes` answers. */
export const listCodes = (services: Services, actor: AgencyActor): Promise<Read<typeof CODES>> =>
  read(services, actor, 'code.list', null, async () => CODES);
