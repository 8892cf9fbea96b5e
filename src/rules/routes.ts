import { Type } from 'typebox';
import type { App } from '../api.ts';
import { answer } from '../platform/http/answer.ts';
import { Closed, operation } from '../platform/http/openapi.ts';
import type { Services } from '../services.ts';
import { CODES, listCodes } from './codes.ts';
import { getRulePackOf, putRulePack } from './commands.ts';
import { RulePackBody, RulePackParams, RulePackView } from './schema.ts';

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

export function rulePackRoutes(app: App, services: Services): void {
  const get = operation({
    id: 'getRulePack',
    tag: 'Rules',
    summary: 'What holds in a jurisdiction',
    description:
      'Its stages, clocks, calendars, consent and grounds, each number with its source. One without a pack of its own has the illustrative one, as version 0. Calendars are told as they now stand.',
    action: 'rule_pack.read',
    recorded: true,
    params: RulePackParams,
    answer: RulePackView,
  });
  app.get('/v1/jurisdictions/:code/rule-pack', get, async (request, reply) =>
    answer(reply, await getRulePackOf(services, request.actor, request.params.code)),
  );

  const put = operation({
    id: 'putRulePack',
    tag: 'Rules',
    summary: 'Say what holds in a jurisdiction',
    description:
      'Whole, and checked whole: each fault has its pointer. A first time with `If-None-Match: *`, later with `If-Match`. Calendars that do not exist yet are made; one that exists is changed at `/v1/calendars/{id}` alone. Timers that run keep the version that they were started under.',
    action: 'rule_pack.put',
    problems: ['unprocessable'],
    scopes: ['admin'],
    params: RulePackParams,
    body: RulePackBody,
    may_create: true,
    answer: RulePackView,
  });
  app.put('/v1/jurisdictions/:code/rule-pack', put, async (request, reply) => {
    const outcome = await putRulePack(services, request.actor, request.params.code, request.body);
    return answer(reply, outcome, outcome.created ? { location: request.url } : undefined);
  });
}
