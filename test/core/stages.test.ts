import fc from 'fast-check';
import t from 'tap';
import { DECISION_KINDS, type DecisionKind, STAGES, type Stage } from '../../src/core/codes.ts';
import { Problem } from '../../src/core/problem.ts';
import {
  allowedStageActs,
  type CaseState,
  type Granted,
  nextStage,
  owedDecisions,
  type StageAct,
  type StageParty,
  type StageStep,
  type Ways,
} from '../../src/core/stages.ts';

/**
 * The table "Case stages" of the domain contract, written down from the page. What the code does is held against this, never
 * against itself. `withdrawn` stands in no row of the page, so nothing leads there.
 */
interface Row {
  by: StageParty;
  from: Stage[];
  /** By a positive decision, or by what is none. */
  to: Stage;
  passes?: Stage[];
  /** By a negative decision. */
  negative?: Stage;
}

const EVERYTHING: Ways = { stages: STAGES, decision_kinds: DECISION_KINDS };
const WITHOUT_RECOVERY: Ways = { ...EVERYTHING, stages: STAGES.filter(stage => stage !== 'recovery') };

const COMMON: Record<string, Row> = {
  presume: { by: 'screener', from: ['reported'], to: 'presumed' },
  initial: { by: 'authority', from: ['reported', 'presumed'], to: 'presumed', negative: 'not_identified' },
  close: {
    by: 'supervisor',
    from: ['reported', 'presumed', 'reasonable_grounds', 'recovery', 'identified', 'not_identified', 'withdrawn'],
    to: 'closed',
  },
};
const PAGE: Record<string, Row> = {
  ...COMMON,
  reasonable_grounds: {
    by: 'authority',
    from: ['reported', 'presumed'],
    to: 'recovery',
    passes: ['reasonable_grounds'],
    negative: 'not_identified',
  },
  conclusive_grounds: { by: 'authority', from: ['recovery'], to: 'identified', negative: 'not_identified' },
};
const PAGE_WITHOUT_RECOVERY: Record<string, Row> = {
  ...COMMON,
  reasonable_grounds: {
    by: 'authority',
    from: ['reported', 'presumed'],
    to: 'reasonable_grounds',
    negative: 'not_identified',
  },
  conclusive_grounds: {
    by: 'authority',
    // The page names `recovery` whatever the pack: a case may have come there under an earlier one.
    from: ['reasonable_grounds', 'presumed', 'recovery'],
    to: 'identified',
    negative: 'not_identified',
  },
};

const at = (stage: Stage, more: Partial<CaseState> = {}): CaseState => ({
  stage,
  stage_before_close: null,
  reconsiders: null,
  ...more,
});

const attempt = (...args: Parameters<typeof nextStage>): StageStep | Problem => {
  try {
    return nextStage(...args);
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
};

for (const [name, ways, page] of [
  ['with every stage', EVERYTHING, PAGE],
  ['without recovery', WITHOUT_RECOVERY, PAGE_WITHOUT_RECOVERY],
] as const) {
  t.test(`every cell of the table, ${name}`, async t => {
    for (const [act, { by, from, to, passes = [], negative }] of Object.entries(page)) {
      for (const stage of STAGES) {
        const state = at(stage);
        const positive = attempt(act as StageAct, state, ways);
        const refused = attempt(act as StageAct, state, ways, 'negative');
        const is_decision = (DECISION_KINDS as readonly string[]).includes(act);
        if (from.includes(stage)) {
          t.strictSame(positive, { from: stage, passes, to, grants: is_decision ? act : null }, `${act} at ${stage}`);
          if (negative) t.strictSame(refused, { from: stage, passes: [], to: negative, grants: null }, `no ${act} at ${stage}`);
        } else {
          const allowed = Object.keys(page).filter(other => page[other]!.by === by && page[other]!.from.includes(stage));
          // Reopening asks for the stage before.
          for (const told of [positive, refused]) {
            t.match(told, { code: 'wrong_state', extras: { members: { state: stage } } }, `${act} at ${stage}`);
            t.strictSame((told as Problem).extras.members!.allowed_actions, allowed, `instead of ${act} at ${stage}`);
          }
        }
      }
    }
  });
}

t.test('a reconsideration leads to where the decision would have led that it overturns', async t => {
  const cells: [Granted, Ways, Stage, Stage[]][] = [
    ['initial', EVERYTHING, 'presumed', []],
    ['reasonable_grounds', EVERYTHING, 'recovery', ['reasonable_grounds']],
    ['reasonable_grounds', WITHOUT_RECOVERY, 'reasonable_grounds', []],
    ['conclusive_grounds', EVERYTHING, 'identified', []],
  ];
  for (const [reconsiders, ways, to, passes] of cells) {
    const state = at('not_identified', { reconsiders });
    t.strictSame(nextStage('reconsideration', state, ways), { from: 'not_identified', passes, to, grants: reconsiders });
    t.strictSame(nextStage('reconsideration', state, ways, 'negative'), {
      from: 'not_identified',
      passes: [],
      to: 'not_identified',
      grants: null,
    });
    t.strictSame(allowedStageActs('authority', state, ways), ['reconsideration']);
  }
  t.match(attempt('reconsideration', at('not_identified'), EVERYTHING), { code: 'wrong_state' }, 'nobody asked for it');
  for (const stage of STAGES.filter(it => it !== 'not_identified'))
    t.match(attempt('reconsideration', at(stage, { reconsiders: 'initial' }), EVERYTHING), { code: 'wrong_state' }, stage);
});

t.test('reopening leads to the stage before', async t => {
  for (const stage_before_close of STAGES.filter(stage => stage !== 'closed')) {
    const state = at('closed', { stage_before_close });
    t.strictSame(nextStage('reopen', state, EVERYTHING), { from: 'closed', passes: [], to: stage_before_close, grants: null });
    t.strictSame(allowedStageActs('supervisor', state, EVERYTHING), ['reopen']);
  }
  for (const stage of STAGES) t.match(attempt('reopen', at(stage), EVERYTHING), { code: 'wrong_state' }, stage);
});

t.test('what a jurisdiction does not use', async t => {
  const without = (...stages: Stage[]): Ways => ({ ...EVERYTHING, stages: STAGES.filter(stage => !stages.includes(stage)) });
  const to = (...args: Parameters<typeof nextStage>) => nextStage(...args).to;
  const neither = without('reasonable_grounds', 'recovery');
  t.equal(to('reasonable_grounds', at('reported'), neither), 'presumed', 'found to be presumed');
  t.equal(to('reasonable_grounds', at('presumed'), neither), 'presumed');
  t.equal(to('conclusive_grounds', at('presumed'), neither), 'identified');
  const recovery_alone = without('reasonable_grounds');
  t.strictSame(nextStage('reasonable_grounds', at('reported'), recovery_alone), {
    from: 'reported',
    passes: [],
    to: 'recovery',
    grants: 'reasonable_grounds',
  });
  const nothing = without('presumed', 'reasonable_grounds', 'recovery');
  for (const act of ['presume', 'initial', 'reasonable_grounds'] as const)
    t.equal(to(act, at('reported'), nothing), 'reported', act);
  t.equal(to('conclusive_grounds', at('reported'), nothing), 'identified');
  t.match(attempt('conclusive_grounds', at('reported'), neither), { code: 'wrong_state' });
  t.equal(to('initial', at('reported'), { ...nothing, stages: [] }, 'negative'), 'not_identified', 'always there');

  const kinds: DecisionKind[] = ['conclusive_grounds'];
  t.strictSame(allowedStageActs('authority', at('reported'), { ...EVERYTHING, decision_kinds: kinds }), []);
  t.strictSame(allowedStageActs('authority', at('recovery'), { ...EVERYTHING, decision_kinds: kinds }), kinds);
});

t.test('what an authority that is asked still owes', async t => {
  const kinds = (...decision_kinds: DecisionKind[]): Ways => ({ ...EVERYTHING, decision_kinds });
  const two = { ...kinds('initial', 'conclusive_grounds'), stages: ['presumed', 'identified'] as Stage[] };
  const unstaged = { ...EVERYTHING, stages: two.stages };
  const cells: [Ways, Stage, first: string[], later: string[]][] = [
    [EVERYTHING, 'reported', ['reasonable_grounds'], ['reasonable_grounds']],
    [EVERYTHING, 'presumed', ['reasonable_grounds'], ['reasonable_grounds']],
    [EVERYTHING, 'reasonable_grounds', ['conclusive_grounds'], ['conclusive_grounds']],
    [EVERYTHING, 'recovery', ['conclusive_grounds'], ['conclusive_grounds']],
    [two, 'reported', ['reasonable_grounds', 'conclusive_grounds'], ['conclusive_grounds']],
    [two, 'presumed', ['reasonable_grounds', 'conclusive_grounds'], ['conclusive_grounds']],
    [unstaged, 'presumed', ['reasonable_grounds'], ['conclusive_grounds']],
    [kinds('initial'), 'presumed', ['reasonable_grounds'], []],
    ...(['identified', 'not_identified', 'withdrawn', 'closed'] as const).map(
      stage => [EVERYTHING, stage, [], []] as [Ways, Stage, string[], string[]],
    ),
  ];
  for (const [ways, stage, first, later] of cells)
    t.strictSame([owedDecisions(stage, ways, true), owedDecisions(stage, ways, false)], [first, later], stage);
});

t.test('whatever happens in whatever jurisdiction, a case stands where the jurisdiction knows it to stand', async () => {
  const ways = fc.record({ stages: fc.subarray([...STAGES]), decision_kinds: fc.subarray([...DECISION_KINDS]) });
  const acts = fc.array(
    fc.record({
      act: fc.constantFrom<StageAct>('presume', ...DECISION_KINDS, 'close', 'reopen'),
      outcome: fc.constantFrom('positive' as const, 'negative' as const),
    }),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(ways, acts, (ways, acts) => {
      let state = at('reported');
      for (const { act, outcome } of acts) {
        const step = attempt(act, state, ways, outcome);
        if (step instanceof Problem) continue;
        const known = ['reported', 'identified', 'not_identified', 'closed', ...ways.stages];
        if (!known.includes(step.to) || step.to === 'withdrawn' || step.from !== state.stage) return false;
        state = {
          stage: step.to,
          stage_before_close: act === 'close' ? step.from : null,
          reconsiders: outcome === 'negative' ? 'reasonable_grounds' : null,
        };
      }
      return true;
    }),
  );
});
