import { Type } from 'typebox';
import type { App } from '../api.ts';
import { CODE_LISTS, labelOf } from '../core/codes.ts';
import { EVENT_TYPES } from '../core/events.ts';
import { PROBLEMS } from '../core/problem.ts';
import { Closed, operation } from '../platform/http/openapi.ts';

interface Labelled {
  code: string;
  label: string;
}

/** What `GET /v1/codes` answers: each list under its name, in the order in which people expect its codes. */
const CODES: Record<string, Labelled[]> = {
  ...Object.fromEntries(Object.entries(CODE_LISTS).map(([name, codes]) => [name, codes.map(labelled)])),
  event_type: EVENT_TYPES.map(labelled),
  problem: Object.entries(PROBLEMS).map(([code, [label]]) => ({ code, label })),
};

function labelled(code: string): Labelled {
  return { code, label: labelOf(code) };
}

const LabelledCode = Closed({ code: Type.String(), label: Type.String() });

export function codeRoutes(app: App): void {
  const list = operation({
    id: 'listCodes',
    tag: 'Codes',
    summary: 'Every coded list, with labels',
    action: 'code.list',
    answer: Closed(Object.fromEntries(Object.keys(CODES).map(name => [name, Type.Array(LabelledCode)]))),
  });
  app.get('/v1/codes', list, () => CODES);
}
