import type { DecisionKind, Stage } from '../core/codes.ts';
import { requireReached } from '../core/floor.ts';
import type { GuardedAct } from '../core/policy.ts';
import { Problem } from '../core/problem.ts';
import type { PackInForce } from '../core/rule-pack.ts';
import { type Granted, type OwedDecision, owedDecisions } from '../core/stages.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import { listAgencyFacts } from '../referrals/store.ts';
import { type Calendars, calendarsOf } from '../rules/calendars/store.ts';
import { getCurrentRulePack } from '../rules/store.ts';
import type { Services } from '../services.ts';
import { isOpen, setCancelled, setMet, startTimers } from '../timers/apply.ts';
import { listCaseTimers, lockOpenTimers, type TimerRow } from '../timers/store.ts';
import { type DecisionRow, type Identification, listAuthorities, listDecisions } from './decisions/store.ts';
import { waysOf } from './stages.ts';
import { type CaseRow, findCase } from './store.ts';

/**
 * The clocks of a case itself: what its owner owes the person from the beginning, by when an authority decides, and the floors
 * before which nobody may. The case must be locked. Of an authority's deadline it is the authority's that is asked to decide; the
 * floors are the person's, and go on whoever decides and although the case is closed.
 */

const AT_OPENING = ['screening', 'immediate_needs', 'authority_notification'] as const;
const CLOCK_OF = {
  reasonable_grounds: 'reasonable_grounds_decision',
  conclusive_grounds: 'conclusive_decision',
} as const satisfies Record<OwedDecision, string>;
const OF_AUTHORITY = Object.values(CLOCK_OF);
/** Over when the case is closed. */
const UNTIL_CLOSED: readonly string[] = [...AT_OPENING, ...OF_AUTHORITY, 'stay_review'];
const WINDOW = 'reconsideration_window';

type CaseFacts = Pick<CaseRow, 'id' | 'owner_agency_id' | 'jurisdiction' | 'region' | 'stage'>;

interface Rules {
  pack: PackInForce;
  calendars: Calendars;
}

interface Start {
  now: Date;
  started_at?: Date;
  /** Whose duty it is, where it is an authority's. */
  authority_id?: string;
  /** The timers of the case that may still change, locked. */
  open?: TimerRow[];
}

const rulesOf = async (services: Services, tx: Tx, { jurisdiction, region }: CaseFacts): Promise<Rules> => ({
  pack: await getCurrentRulePack(services, tx, jurisdiction, region),
  calendars: calendarsOf(services),
});

/** A case has no urgency of its own. Runs as the router. @returns when the last of them falls due */
async function start(
  tx: Tx,
  { pack, calendars }: Rules,
  found: CaseFacts,
  names: readonly string[],
  { now, started_at = now, authority_id, open = [] }: Start,
): Promise<Date | null> {
  const [authority] = authority_id === undefined ? [] : await listAgencyFacts(tx, [authority_id]);
  const context = {
    pack,
    calendars,
    now,
    started_at,
    open,
    case_id: found.id,
    referral_id: null,
    offer_id: null,
    owner_agency_id: found.owner_agency_id,
    sender_agency_id: null,
    receiver_agency_id: authority_id ?? null,
    receiver_kind: authority?.kind,
    coordinator_agency_id: null,
    location_protected: false,
    jurisdiction: found.jurisdiction,
    urgency: 'routine' as const,
    stage: found.stage,
  };
  return startTimers(tx, context, names);
}

const named = (open: readonly TimerRow[], names: readonly string[]): TimerRow[] =>
  open.filter(timer => names.includes(timer.name) && isOpen(timer));

/** What the owner owes the person as soon as there is a case. */
export const startAtOpening = (services: Services, tx: Tx, found: CaseFacts, now: Date): Promise<unknown> =>
  asSystem(tx, 'router', async tx => start(tx, await rulesOf(services, tx, found), found, AT_OPENING, { now }));

export const meetScreening = (tx: Tx, case_id: string, now: Date): Promise<void> =>
  asSystem(tx, 'router', async tx => {
    for (const timer of named(await lockOpenTimers(tx, { case_id }), ['screening'])) setMet(tx, timer, now);
  });

export const endAtClose = (tx: Tx, case_id: string): Promise<void> =>
  asSystem(tx, 'router', async tx => {
    for (const timer of named(await lockOpenTimers(tx, { case_id }), UNTIL_CLOSED)) setCancelled(tx, timer);
  });

/** What ended when the case was closed begins anew; what was done by then does not. */
export const startAtReopening = (services: Services, tx: Tx, found: CaseFacts, now: Date): Promise<void> =>
  asSystem(tx, 'router', async tx => {
    const rules = await rulesOf(services, tx, found);
    const known = await listCaseTimers(tx, found.id);
    const is_owed = (name: string) => {
      const all = known.filter(timer => timer.name === name);
      return all.some(({ state }) => state === 'cancelled') && !all.some(timer => isOpen(timer));
    };
    const undone = AT_OPENING.filter(name => is_owed(name) && !known.some(timer => timer.name === name && timer.state === 'met'));
    await start(tx, rules, found, undone, { now });
    if (found.stage === 'identified' && is_owed('stay_review')) await start(tx, rules, found, ['stay_review'], { now });
    await settle(tx, rules, found, now);
  });

/** The next review of an identified person's stay, unless the case is closed. Runs as the router or the clock. */
export const startAgain = async (services: Services, tx: Tx, found: CaseFacts, name: string, now: Date): Promise<void> => {
  if (found.stage !== 'closed') await start(tx, await rulesOf(services, tx, found), found, [name], { now });
};

/**
 * What a decision meets, ends and starts.
 * @param found with the stage to which it led
 */
export const startDecided = (
  services: Services,
  tx: Tx,
  found: CaseFacts,
  { kind, grants, decided_at, agency_id }: { kind: DecisionKind; grants: Granted | null; decided_at: Date; agency_id: string },
  now: Date,
): Promise<void> =>
  asSystem(tx, 'router', async tx => {
    const rules = await rulesOf(services, tx, found);
    const open = await lockOpenTimers(tx, { case_id: found.id });
    const owed = owedBy(rules, found.stage, false);
    const over = OF_AUTHORITY.filter(name => !owed.includes(name));
    for (const timer of named(open, over)) setMet(tx, timer, now);
    if (kind === 'reconsideration' && grants) for (const timer of named(open, [WINDOW])) setCancelled(tx, timer);
    if (grants === 'reasonable_grounds') {
      const names = ['recovery_period', ...owed.filter(name => named(open, [name]).length === 0)];
      await start(tx, rules, found, names, { now, started_at: decided_at, authority_id: agency_id, open });
    }
    if (grants === 'conclusive_grounds') await start(tx, rules, found, ['stay_review'], { now, open });
    await settle(tx, rules, found, now);
  });

/** The days after a negative decision begin when the person was told. @returns when they are over; null where none are kept */
export const startServed = (
  services: Services,
  tx: Tx,
  found: CaseFacts,
  { outcome }: Pick<DecisionRow, 'outcome'>,
  started_at: Date,
  now: Date,
): Promise<Date | null> =>
  asSystem(tx, 'router', async tx =>
    outcome === 'negative' ? start(tx, await rulesOf(services, tx, found), found, [WINDOW], { now, started_at }) : null,
  );

/** Brings the authorities' deadlines to who is asked to decide now. Runs as the router. */
export async function settleAuthorities(tx: Tx, rules: Rules, case_id: string, now: Date): Promise<void> {
  await settle(tx, rules, (await findCase(tx, case_id))!, now);
}

async function settle(tx: Tx, rules: Rules, found: CaseFacts, now: Date): Promise<void> {
  const [authorities, decisions, open] = [
    await listAuthorities(tx, [found.id]),
    await listDecisions(tx, { case_id: found.id }),
    await lockOpenTimers(tx, { case_id: found.id }),
  ];
  for (const timer of named(open, OF_AUTHORITY))
    if (!authorities.some(({ agency_id }) => agency_id === timer.responsible_agency_id)) setCancelled(tx, timer);
  const [authority] = authorities;
  if (!authority) return;
  for (const name of owedBy(rules, found.stage, decisions.length === 0)) {
    if (named(open, [name]).length > 0) continue;
    const started_at = owedSince(name, authority, decisions);
    await start(tx, rules, found, [name], { now, started_at, authority_id: authority.agency_id, open });
  }
}

/** The clocks of what an authority has to decide. */
const owedBy = ({ pack }: Rules, stage: Stage, is_first: boolean) =>
  owedDecisions(stage, waysOf(pack), is_first).map(decision => CLOCK_OF[decision]);

/** From when its time counts: that it was asked; or what was granted since, where it has to decide anew, or what comes next. */
function owedSince(name: string, { asked_at }: Identification, decisions: readonly DecisionRow[]): Date {
  const granted = decisions.find(
    ({ kind, outcome }) => outcome === 'positive' && (name === CLOCK_OF.conclusive_grounds || kind === 'reconsideration'),
  );
  return granted?.decided_at ?? asked_at;
}

/** The floors of a case, the last one to end first; also those that are over, but for those that the person asked to be ended. */
export const listFloors = (tx: Tx, case_id: string): Promise<TimerRow[]> =>
  asSystem(tx, 'router', async tx =>
    (await listCaseTimers(tx, case_id)).filter(({ kind, state }) => kind === 'floor' && state !== 'cancelled'),
  );

/**
 * Holds back what ends because of a negative decision, until the person was told of it and had the days in which to ask again.
 * @throws Problem `too_early`, with `due_at` once they have begun
 */
export async function requireServed(tx: Tx, case_id: string, act: GuardedAct | undefined, now: Date): Promise<void> {
  if (!act) return;
  const [latest] = await asSystem(tx, 'router', tx => listDecisions(tx, { case_id }, undefined, 1));
  if (latest?.outcome === 'negative' && latest.served_at === null)
    throw new Problem('too_early', { detail: 'the person was not told of the decision yet: it has to be served first' });
  requireReached(act, await listFloors(tx, case_id), now);
}
