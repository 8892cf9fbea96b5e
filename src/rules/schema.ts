import { type Static, type TSchema, Type } from 'typebox';
import {
  AGENCY_KINDS,
  CRISIS_KINDS,
  CRISIS_PHASES,
  DECISION_KINDS,
  LAWFUL_GROUNDS,
  OPERATING_MODES,
  PROTECTION_STATUSES,
  SERVICES,
  SOFT_RULES,
  STAGES,
  URGENCIES,
} from '../core/codes.ts';
import { REMOTE_ACTS, REMOTE_WAYS } from '../core/crisis.ts';
import { BREACH_EFFECTS, ESCALATION_TARGETS, GUARDED_ACTS, TIMER_KINDS, WHOSE_CALENDAR } from '../core/policy.ts';
import { CLOCKS } from '../core/reckoning.ts';
import { OBLIGATIONS } from '../core/routes.ts';
import { MOST_POINTS, type RoutingRules } from '../core/routing.ts';
import type { RulePack } from '../core/rule-pack.ts';
import { Closed, Code, Codes, Id, Instant, Jurisdiction, Named, Nullable, Region, Text } from '../platform/http/openapi.ts';
import { CalendarBody } from './calendars/schema.ts';

/** The shape of a rule pack; what its values mean is looked at by `core/rule-pack.ts`, which explains each fault. */

export const RulePackParams = Type.Object({ code: Jurisdiction() });

const { Optional } = Type;
const OLDEST = 130;

const Source = () =>
  Type.String({
    minLength: 1,
    maxLength: 500,
    description: 'Where it comes from: the id of a sourced time limit, words, or `illustrative`',
  });
const Duration = () => Type.String({ minLength: 2, maxLength: 40, description: 'ISO 8601' });
const Percent = () => Type.String({ minLength: 2, maxLength: 10, description: '`50%`' });
const Names = () =>
  Type.Unsafe<Record<string, string>>({
    type: 'object',
    description: 'Texts by language (BCP 47)',
    propertyNames: { type: 'string', pattern: '^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$', maxLength: 35 },
    additionalProperties: Text(300, 1),
    maxProperties: 50,
  });
const list = <T extends TSchema>(of: T, maxItems: number) => Type.Array(of, { maxItems });

const Calendar = Named('PackCalendar', { id: Id('cal'), ...CalendarBody.properties });

const Policy = Named('Policy', {
  name: Text(60, 1),
  applies_to: Closed({
    service: Optional(Code(SERVICES)),
    urgency: Optional(Code(URGENCIES)),
    agency_kind: Optional(Code(AGENCY_KINDS)),
    stage: Optional(Code(STAGES)),
  }),
  kind: Code(TIMER_KINDS),
  clock: Code(CLOCKS),
  duration: Duration(),
  count_first_day: Optional(Type.Boolean()),
  calendar: Code(WHOSE_CALENDAR),
  warn_at: list(Percent(), 20),
  on_breach: Optional(Codes(BREACH_EFFECTS)),
  escalate: list(Closed({ after: Percent(), to: Code(ESCALATION_TARGETS) }), 20),
  guards: Optional(Codes(GUARDED_ACTS)),
  source: Source(),
});

const years = () => Closed({ years: Type.Integer({ minimum: 0, maximum: OLDEST }), source: Source() });
const duration = () => Closed({ duration: Duration(), source: Source() });

const Route = Named('ServiceRoute', {
  service: Code(SERVICES),
  agency_kinds: Codes(AGENCY_KINDS, { minItems: 1 }),
  obligation: Code(OBLIGATIONS),
  when: Optional(
    Closed({
      urgency: Optional(Code(URGENCIES)),
      stage: Optional(Code(STAGES)),
      child: Optional(Type.Boolean()),
      under_age: Optional(Type.Integer({ minimum: 1, maximum: OLDEST })),
      protection_statuses: Optional(Codes(PROTECTION_STATUSES, { minItems: 1 })),
      grouped: Optional(Type.Boolean({ description: 'Found together with others' })),
    }),
  ),
  after: Optional(
    Closed(
      { service: Code(SERVICES), agency_kinds: Codes(AGENCY_KINDS, { minItems: 1 }) },
      { description: 'Only when one of these has completed that service for the person; an emergency never waits for it' },
    ),
  ),
  keep_together: Optional(Type.Boolean({ description: 'Those of one group go to one agency where they can' })),
  names: Optional(Names()),
  source: Source(),
});

const CrisisPlan = Named('CrisisPlan', {
  kind: Code(CRISIS_KINDS),
  phases: Optional(Codes(CRISIS_PHASES, { minItems: 1, description: 'Left out: in each of them' })),
  names: Names(),
  routes: Optional({ ...list(Route, 100), description: 'In place of those for the same services' }),
  operating_modes: Optional(
    list(Closed({ agency_kinds: Codes(AGENCY_KINDS, { minItems: 1 }), mode: Code(OPERATING_MODES) }), 20),
  ),
  remote_procedures: Optional(list(Closed({ act: Code(REMOTE_ACTS), how: Code(REMOTE_WAYS) }), 20)),
  stretch: Optional(
    list(
      Closed({
        policy: Text(60, 1),
        urgency: Optional(Code(['urgent', 'routine'])),
        factor: Type.Number({ exclusiveMinimum: 1, maximum: 10, multipleOf: 0.1, description: 'How many times as long' }),
      }),
      50,
    ),
  ),
  source: Source(),
});

const document = {
  jurisdiction: Jurisdiction(),
  name: Text(100, 1),
  calendar_id: Id('cal'),
  calendars: list(Calendar, 50),
  calendar_sources: list(Closed({ calendar_id: Id('cal'), source: Source() }), 100),
  stages: list(
    Closed({ stage: Code(STAGES), names: Names(), steps: Optional(list(Closed({ names: Names() }), 20)), source: Source() }),
    STAGES.length * 2,
  ),
  decision_kinds: list(Closed({ kind: Code(DECISION_KINDS), names: Names(), source: Source() }), DECISION_KINDS.length * 2),
  policies: list(Policy, 500),
  outage_grace: duration(),
  consent: Closed({
    adult_age: years(),
    child_assent_from_age: years(),
    expiring_notice: duration(),
    longest_duration: Optional(duration()),
  }),
  lawful_grounds: Type.Unsafe<RulePack['lawful_grounds']>(
    Closed(Object.fromEntries(LAWFUL_GROUNDS.map(ground => [ground, Codes(AGENCY_KINDS)]))),
  ),
  minimum_standards: list(
    Closed({ code: Type.String({ pattern: '^[a-z][a-z0-9_]{0,59}$', maxLength: 60 }), names: Names(), source: Source() }),
    200,
  ),
  certifications: list(Closed({ role: Code(['screener']), course: Text(100, 1), names: Names(), source: Source() }), 50),
  routes: list(Route, 200),
  firewalls: Optional(
    list(
      Closed({
        agency_kinds: Codes(AGENCY_KINDS, { minItems: 1 }),
        services: Optional(Codes(SERVICES)),
        when: Closed({ complainant: Type.Literal(true) }),
        source: Source(),
      }),
      50,
    ),
  ),
  crisis_plans: Optional(list(CrisisPlan, 30)),
  routing: Optional(
    Closed({
      parallel_offers: Type.Integer({ minimum: 1, maximum: 3, description: 'How many agencies an emergency asks at once' }),
      stale_after: Duration(),
      neighbours: Type.Unsafe<RoutingRules['routing']['neighbours']>({
        type: 'object',
        description: 'Which regions border on which',
        propertyNames: { type: 'string', pattern: '^[A-Z]{2}-[A-Z0-9]{1,3}$', maxLength: 6 },
        additionalProperties: Type.Array(Region(), { maxItems: 50, uniqueItems: true }),
        maxProperties: 500,
      }),
      points: Type.Unsafe<RoutingRules['routing']['points']>(
        Closed(Object.fromEntries(SOFT_RULES.map(rule => [rule, Type.Integer({ minimum: 0, maximum: MOST_POINTS })])), {
          description: 'The most that each soft rule can give',
        }),
      ),
      source: Source(),
    }),
  ),
};

/** What `PUT` takes: what `GET` answered may be sent back as it came. */
export const RulePackBody = Named('NewRulePack', {
  ...document,
  version: Optional(Type.Integer({ description: 'As it was read: the service counts it' })),
  created_at: Optional(Nullable(Instant())),
});
export type RulePackBody = Static<typeof RulePackBody>;

export const RulePackView = Named('RulePack', {
  ...document,
  version: Type.Integer({ description: '0: the jurisdiction has none of its own, and the illustrative one holds' }),
  created_at: Nullable(Instant()),
});
