import { Type } from 'typebox';
import type { App } from '../api.ts';
import { answer } from '../platform/http/answer.ts';
import { Closed, operation } from '../platform/http/openapi.ts';
import type { Services } from '../services.ts';
import { CODES, listCodes } from './codes.ts';

const LabelledCode = Closed({ code: Type.String(), label: Type.String() });

export function codeRoutes(app: App, services: Services): void {
  const list = operation({
    id: 'listCodes',
    tag: 'Codes',
    summary: 'Every coded list, with labels',
    action: 'code.list',
    recorded: true,
    answer: Closed(Object.fromEntries(Object.keys(CODES).map(name => [name, Type.Array(LabelledCode)]))),
  });
  app.get('/v1/codes', list, async (request, reply) => answer(reply, await listCodes(services, request.actor)));
}
