import type { AgencyKind, CrisisKind, CrisisPhase, OperatingMode, Urgency } from './codes.ts';
import { CASE_TIMERS, LIFE_SAFETY, type Policy } from './policy.ts';
import type { Report } from './problem.ts';
import { countOf, durationMs } from './reckoning.ts';
import { checkRoutes, type ServiceRoute } from './routes.ts';

/**
 * What a crisis changes, as a jurisdiction planned it: through whom services are asked for, in which mode agencies work, what may be
 * done from afar, and which clocks run longer. Never a clock of an emergency, of life and safety or with a source in law, and never a
 * floor. Pure.
 */

/** What may be done from afar while a plan says so. */
export const REMOTE_ACTS = ['screening', 'consent', 'identification', 'handover', 'review'] as const;
export const REMOTE_WAYS = ['phone', 'remote'] as const;

export interface Stretch {
  /** The name of a clock. */
  policy: string;
  /** Left out: whatever is no emergency. */
  urgency?: Exclude<Urgency, 'emergency'>;
  /** How many times as long it runs. */
  factor: number;
}

/** What holds in a region while a crisis of that kind lasts. */
export interface CrisisPlan {
  kind: CrisisKind;
  /** Left out: in each of them. */
  phases?: readonly CrisisPhase[];
  names: Readonly<Record<string, string>>;
  /** In place of the pack's routes for the same services. */
  routes?: readonly ServiceRoute[];
  /** No agency of these kinds works in a fuller mode than this. */
  operating_modes?: readonly { agency_kinds: readonly AgencyKind[]; mode: OperatingMode }[];
  remote_procedures?: readonly { act: (typeof REMOTE_ACTS)[number]; how: (typeof REMOTE_WAYS)[number] }[];
  stretch?: readonly Stretch[];
  source: string;
}

/** A crisis mode that somebody declared. */
export interface CrisisMode {
  id: string;
  kind: CrisisKind;
  phase: CrisisPhase;
  /** Empty: the whole jurisdiction. */
  regions: readonly string[];
  expires_at: Date;
}

/** What of a crisis mode holds where somebody looks. */
export interface Crisis {
  id: string;
  kind: CrisisKind;
  phase: CrisisPhase;
  operating_modes: NonNullable<CrisisPlan['operating_modes']>;
}

interface Rules {
  policies: readonly Policy[];
  routes: readonly ServiceRoute[];
  crisis_plans: readonly CrisisPlan[];
}

/** The mode that holds in a region at that time; of a region that is not known, one that holds everywhere. */
export const crisisIn = <T extends CrisisMode>(modes: readonly T[], region: string | null, at: Date): T | undefined =>
  modes.find(
    ({ regions, expires_at }) => expires_at > at && (regions.length === 0 || (region !== null && regions.includes(region))),
  );

/** Whether two modes would hold somewhere at once. */
export const overlap = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === 0 || b.length === 0 || a.some(region => b.includes(region));

/** The plan for a crisis of that kind in that phase, one for this very phase before one for all. */
export const planFor = (
  plans: readonly CrisisPlan[],
  { kind, phase }: Pick<CrisisMode, 'kind' | 'phase'>,
): CrisisPlan | undefined =>
  plans.find(plan => plan.kind === kind && plan.phases?.includes(phase)) ??
  plans.find(plan => plan.kind === kind && plan.phases === undefined);

/** The rules as they hold under a crisis; without one, as they are. */
export function underCrisis<T extends Rules>(rules: T, mode: CrisisMode | undefined): T & { crisis?: Crisis } {
  if (!mode) return rules;
  const { id, kind, phase } = mode;
  const { routes = [], operating_modes = [], stretch = [] } = planFor(rules.crisis_plans, mode) ?? {};
  const replaced = new Set(routes.map(({ service }) => service));
  return {
    ...rules,
    routes: [...rules.routes.filter(({ service }) => !replaced.has(service)), ...routes],
    policies: rules.policies.map(policy => stretched(policy, stretch, kind)),
    crisis: { id, kind, phase, operating_modes },
  };
}

/** In which mode an agency works while a crisis lasts: never in a fuller one than its own. */
export function modeUnder(own: OperatingMode, kind: AgencyKind, crisis: Crisis | undefined): OperatingMode {
  const modes = crisis?.operating_modes.filter(it => it.agency_kinds.includes(kind)).map(({ mode }) => mode) ?? [];
  return [own, ...modes].sort((a, b) => FULLNESS.indexOf(b) - FULLNESS.indexOf(a))[0]!;
}

const FULLNESS: readonly OperatingMode[] = ['open', 'reduced', 'remote', 'closed'];

/** Clocks of people whom nobody has seen in safety yet. */
const NEVER_STRETCHED: readonly string[] = [...LIFE_SAFETY, 'safe_callback', 'immediate_needs', 'welfare_check'];

/** Whether a crisis may make a clock run longer: no floor, no emergency, no life hangs on it, and no law says how long it is. */
const mayStretch = ({ name, kind, applies_to: { urgency }, source }: Policy): boolean =>
  kind === 'deadline' &&
  urgency !== 'emergency' &&
  !NEVER_STRETCHED.includes(name) &&
  // Of a referral, a policy that names no urgency holds for emergencies, too; a case itself has none.
  (urgency !== undefined || CASE_TIMERS.some(it => it === name)) &&
  source.startsWith('illustrative');

function stretched(policy: Policy, stretch: readonly Stretch[], kind: CrisisKind): Policy {
  const found = stretch.find(it => concerns(it, policy));
  if (!found) return policy;
  const source = `${policy.source}; ${found.factor} times as long under the plan for ${kind}`;
  return { ...policy, duration: times(policy, found.factor), source };
}

const concerns = ({ policy: name, urgency }: Stretch, policy: Policy): boolean =>
  policy.name === name && mayStretch(policy) && (urgency === undefined || policy.applies_to.urgency === urgency);

/** Rounded up: to seconds, or to whole days or months. */
function times({ clock, duration }: Policy, factor: number): string {
  // What is counted in tenths must not become longer by how a machine multiplies.
  const many = (amount: number) => Math.ceil((amount * Math.round(factor * 10)) / 10);
  if (clock === 'elapsed' || clock === 'working_time') return `PT${many(durationMs(duration) / 1_000)}S`;
  return `P${many(countOf({ clock, duration }))}${clock === 'calendar_months' ? 'M' : 'D'}`;
}

/** Reports what is wrong with the plans of a pack: each fault by its pointer. */
export function checkPlans({ crisis_plans: plans, routes, policies }: Rules, report: Report): void {
  for (const [i, plan] of plans.entries()) {
    const at = `/crisis_plans/${i}`;
    const rival = plans
      .slice(0, i)
      .findIndex(
        other =>
          other.kind === plan.kind &&
          (plan.phases === undefined ? other.phases === undefined : plan.phases.some(phase => other.phases?.includes(phase))),
      );
    if (rival >= 0) report(`${at}/kind`, `has plan ${rival} already, in the same phase`);
    const replaced = new Set(plan.routes?.map(({ service }) => service));
    checkRoutes(
      plan.routes ?? [],
      `${at}/routes`,
      report,
      routes.filter(({ service }) => !replaced.has(service)),
    );
    for (const [j, stretch] of (plan.stretch ?? []).entries()) {
      if (policies.some(policy => concerns(stretch, policy))) continue;
      report(
        `${at}/stretch/${j}/policy`,
        'is no clock that a crisis may stretch: no deadline without a source in law, of no emergency, on which no life hangs',
      );
    }
  }
}
