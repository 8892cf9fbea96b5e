import { type DecisionKind, type DecisionOutcome, STAGES, type Stage } from './codes.ts';
import { Problem } from './problem.ts';

/**
 * The stages of a case: the table of the domain contract ("Case stages"), row by row. Every change of a stage in the whole service
 * is chosen here and nowhere else. Pure. `withdrawn` is a stage of the contract that no row leads to.
 */

/** Who acts: the owner's screener and supervisor, and the competent authority that decides. */
export type StageParty = 'screener' | 'authority' | 'supervisor';

interface Rule {
  by: StageParty;
  from: readonly Stage[];
  /** Stages that it passes, the farthest last: the case comes to the farthest that its jurisdiction uses. */
  leads_to: readonly Stage[];
  /** Where it uses none of them; and where not this one either, the case stays. */
  or_to?: Stage;
}

const UNDECIDED = ['reported', 'presumed'] as const satisfies Stage[];

const RULES = {
  /** A screening that a named screener recorded as presumed. */
  presume: { by: 'screener', from: ['reported'], leads_to: ['presumed'] },
  initial: { by: 'authority', from: UNDECIDED, leads_to: ['presumed'] },
  // Where neither is used, what it finds is that the person is presumed to be a victim.
  reasonable_grounds: { by: 'authority', from: UNDECIDED, leads_to: ['reasonable_grounds', 'recovery'], or_to: 'presumed' },
  // See `comesFrom`.
  conclusive_grounds: { by: 'authority', from: [], leads_to: ['identified'] },
  // To where the decision that it overturns would have led.
  reconsideration: { by: 'authority', from: ['not_identified'], leads_to: [] },
  close: { by: 'supervisor', from: STAGES.filter(stage => stage !== 'closed'), leads_to: ['closed'] },
  // To the stage before.
  reopen: { by: 'supervisor', from: ['closed'], leads_to: [] },
} as const satisfies Record<DecisionKind | 'presume' | 'close' | 'reopen', Rule>;

export type StageAct = keyof typeof RULES;

/** A jurisdiction names these in its own words, and leaves none of them out. */
const ALWAYS_USED: readonly Stage[] = ['reported', 'identified', 'not_identified', 'closed'];

/** What of a jurisdiction's rules the stages depend on. */
export interface Ways {
  /** Stages that it uses. */
  stages: readonly Stage[];
  /** What its authorities decide. */
  decision_kinds: readonly DecisionKind[];
}

/** What a positive decision may grant: a reconsideration grants what was asked for before. */
export type Granted = Exclude<DecisionKind, 'reconsideration'>;

export interface CaseState {
  stage: Stage;
  /** Of a case that is closed. */
  stage_before_close: Stage | null;
  /** What the decision was whose reconsideration somebody asked for; null: nobody did since it was made. */
  reconsiders: Granted | null;
}

export interface StageStep {
  from: Stage;
  /** Stages that the act passes on its way. */
  passes: Stage[];
  to: Stage;
  /** What a positive decision grants: its kind, or that of the decision which it overturns. */
  grants: Granted | null;
}

const uses = ({ stages }: Ways, stage: Stage): boolean => ALWAYS_USED.includes(stage) || stages.includes(stage);

/** Where the case has to stand. */
function comesFrom(act: StageAct, ways: Ways): readonly Stage[] {
  if (act !== 'conclusive_grounds') return RULES[act].from;
  if (uses(ways, 'recovery')) return ['recovery'];
  const granted = (['presumed', 'reasonable_grounds'] as const).filter(stage => uses(ways, stage));
  // A case that came to recovery while its jurisdiction still used that stage goes on from there.
  return [...(granted.length > 0 ? granted : (['reported'] as const)), 'recovery'];
}

function allows(act: StageAct, state: CaseState, ways: Ways): boolean {
  if (!comesFrom(act, ways).includes(state.stage)) return false;
  if (act === 'reopen') return state.stage_before_close !== null;
  if (act === 'reconsideration') return state.reconsiders !== null;
  return RULES[act].by !== 'authority' || ways.decision_kinds.includes(act as DecisionKind);
}

/** What `party` may do to the stage now, in the order of the table; what a `wrong_state` problem lists. */
export const allowedStageActs = (party: StageParty, state: CaseState, ways: Ways): StageAct[] =>
  (Object.keys(RULES) as StageAct[]).filter(act => RULES[act].by === party && allows(act, state, ways));

/**
 * Where `act` leads.
 * @param outcome of a decision
 * @throws Problem `wrong_state` where the table has no such step, with `state` and what is allowed instead
 */
export function nextStage(act: StageAct, state: CaseState, ways: Ways, outcome: DecisionOutcome = 'positive'): StageStep {
  const { stage: from } = state;
  if (!allows(act, state, ways)) {
    const members = { state: from, allowed_actions: allowedStageActs(RULES[act].by, state, ways) };
    throw new Problem('wrong_state', { members });
  }
  if (act === 'reopen') return { from, passes: [], to: state.stage_before_close!, grants: null };
  if (outcome === 'negative') return { from, passes: [], to: 'not_identified', grants: null };
  const { leads_to, or_to }: Rule = act === 'reconsideration' ? RULES[state.reconsiders!] : RULES[act];
  const way = leads_to.filter(stage => uses(ways, stage));
  const grants = act === 'reconsideration' ? state.reconsiders : isGranted(act) ? act : null;
  return { from, passes: way.slice(0, -1), to: way.at(-1) ?? (or_to && uses(ways, or_to) ? or_to : from), grants };
}

/** A decision by which a jurisdiction keeps a clock of the authority that is asked for it. */
export type OwedDecision = 'reasonable_grounds' | 'conclusive_grounds';

/**
 * What an authority that is asked has still to decide. Where a jurisdiction decides nothing on reasonable grounds, its first
 * decision of any kind stands for that, and the conclusive one is owed from the beginning.
 * @param is_first nothing was decided of the case yet
 */
export function owedDecisions(stage: Stage, ways: Ways, is_first: boolean): OwedDecision[] {
  if (stage === 'reasonable_grounds' || stage === 'recovery') return ['conclusive_grounds'];
  if (!UNDECIDED.some(it => it === stage)) return [];
  const decides = (kind: OwedDecision) => ways.decision_kinds.includes(kind);
  const leads_on = RULES.reasonable_grounds.leads_to.some(to => uses(ways, to));
  if (decides('reasonable_grounds') && (is_first || leads_on)) return ['reasonable_grounds'];
  return [
    ...(is_first ? (['reasonable_grounds'] as const) : []),
    ...(decides('conclusive_grounds') ? (['conclusive_grounds'] as const) : []),
  ];
}

const isGranted = (act: StageAct): act is Granted =>
  act === 'initial' || act === 'reasonable_grounds' || act === 'conclusive_grounds';
