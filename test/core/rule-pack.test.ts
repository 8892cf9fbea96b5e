import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Calendar } from '../../src/core/calendar.ts';
import { URGENCIES } from '../../src/core/codes.ts';
import { CASE_TIMERS, findPolicy, type Policy, REFERRAL_TIMERS } from '../../src/core/policy.ts';
import { checkRulePack, inForce, type RulePack } from '../../src/core/rule-pack.ts';
import { calendar } from '../support/calendars.ts';
import { SHIPPED, shipped, withPolicy } from '../support/rule-packs.ts';

const XA = shipped('XA');
const GB = shipped('GB');
const [own] = XA.calendars as [Calendar];
const OTHER = 'cal_01m81yca3jft0a311ybja33agz';

const placeOf = (pack: RulePack, name: string): number => pack.policies.findIndex(policy => policy.name === name);
const withCalendar = (more: Partial<Calendar>): RulePack => ({ ...XA, calendars: [{ ...own, ...more }] });
const withPolicies = (...policies: Partial<Policy>[]): RulePack => ({
  ...XA,
  policies: [...XA.policies, ...policies.map(it => ({ ...XA.policies[0]!, on_breach: [], ...it }))],
});
const added = (name: string) => name.replace('NEW', String(XA.policies.length)).replace('NEXT', String(XA.policies.length + 1));
/** `/policies/review/clock`: that of the first policy called review. */
const placed = (pack: RulePack, pointer: string) =>
  added(pointer).replace(/^\/policies\/([a-z_]+)/, (_, name: string) => `/policies/${placeOf(pack, name)}`);

t.test('each fault is told with its place', async t => {
  const working = { clock: 'working_days', duration: 'P1D' } as const;
  const floor = { kind: 'floor', warn_at: [], escalate: [] } as const;
  const rows: [name: string, pack: RulePack, ...pointers: string[]][] = [
    ['an unknown time zone', withCalendar({ time_zone: 'Nowhere/Never' }), '/calendars/0/time_zone'],
    [
      'hours that overlap',
      withCalendar({
        weeks: [
          {
            valid_from: '2026-01-01',
            days: {
              mon: [
                ['08:00', '12:00'],
                ['11:00', '15:00'],
              ],
            },
          },
        ],
      }),
      '/calendars/0/weeks/0/days/mon/1',
    ],
    [
      'a holiday twice',
      withCalendar({
        holidays: [
          { date: '2026-01-07', name: 'A', hours: [], status: 'fixed' },
          { date: '2026-01-07', name: 'B', hours: [], status: 'estimated' },
          { date: '2026-01-07', name: 'A', hours: [], status: 'fixed' },
        ],
      }),
      '/calendars/0/holidays/2/date',
    ],
    ['never open', withCalendar({ weeks: [] }), '/calendars/0'],
    ['a calendar twice', { ...XA, calendars: [own, own] }, '/calendars/1/id'],
    ['a calendar without a source', { ...XA, calendar_sources: [] }, '/calendars/0'],
    ['no such calendar', { ...XA, calendar_id: OTHER }, '/calendar_id'],
    [
      'the source of no such calendar',
      { ...XA, calendar_sources: [...XA.calendar_sources, { calendar_id: OTHER, source: 'illustrative' }] },
      '/calendar_sources/1/calendar_id',
    ],

    ['an emergency by working days', withPolicy(XA, 'acknowledge', working), '/policies/acknowledge/clock'],
    [
      'an emergency by calendar days',
      withPolicy(XA, 'review', { clock: 'calendar_days', duration: 'P1D' }),
      '/policies/review/clock',
    ],
    ['safety by working time', withPolicy(XA, 'safety_ack', { clock: 'working_time' }), '/policies/safety_ack/clock'],
    [
      'somebody missing by calendar days, though not in an emergency',
      withPolicies({
        name: 'missing_person_check',
        applies_to: { urgency: 'routine' },
        clock: 'calendar_days',
        duration: 'P1D',
        on_breach: [],
        escalate: [{ after: '0%', to: 'responsible' }],
      }),
      '/policies/NEW/clock',
    ],
    [
      'a case clock of emergencies',
      withPolicy(XA, 'screening', { applies_to: { urgency: 'emergency' } }),
      '/policies/screening/applies_to/urgency',
      '/policies/screening/clock',
    ],

    [
      'a case clock of one service',
      withPolicy(XA, 'stay_review', { applies_to: { service: 'medical', urgency: 'routine' } }),
      '/policies/stay_review/applies_to/service',
      '/policies/stay_review/applies_to/urgency',
    ],

    ['no time at all', withPolicy(XA, 'handover', { duration: 'PT0S' }), '/policies/handover/duration'],
    ['no duration', withPolicy(XA, 'handover', { duration: 'soon' }), '/policies/handover/duration'],
    [
      'hours of a day clock',
      withPolicy(XA, 'handover', { duration: 'PT24H' }, 2),
      `/policies/${placeOf(XA, 'handover') + 2}/duration`,
    ],
    ['months of an elapsed clock', withPolicy(XA, 'handover', { duration: 'P1M' }), '/policies/handover/duration'],
    ['days of months', withPolicy(XA, 'stay_review', { duration: 'P30D' }), '/policies/stay_review/duration'],
    ['no days', withPolicy(XA, 'conclusive_decision', { duration: 'P0D' }), '/policies/conclusive_decision/duration'],
    ['more than a hundred years', withPolicy(XA, 'handover', { duration: 'P40000D' }), '/policies/handover/duration'],

    [
      'a floor that guards nothing',
      withPolicy(XA, 'reconsideration_window', { guards: [] }),
      '/policies/reconsideration_window/guards',
    ],
    [
      'a floor that warns',
      withPolicy(XA, 'reconsideration_window', { warn_at: ['50%'] }),
      '/policies/reconsideration_window/warn_at',
    ],
    [
      'a floor that escalates and is breached',
      withPolicy(XA, 'reconsideration_window', { escalate: [{ after: '0%', to: 'responsible' }], on_breach: ['expire_offer'] }),
      '/policies/reconsideration_window/escalate',
      '/policies/reconsideration_window/on_breach',
    ],
    [
      'a window for asking again that guards something else',
      withPolicy(XA, 'reconsideration_window', { guards: ['close_case'] }),
      '/policies/reconsideration_window/guards',
    ],
    [
      'the same as a deadline',
      withPolicy(XA, 'reconsideration_window', { kind: 'deadline', guards: [] }),
      '/policies/reconsideration_window/kind',
    ],
    ['safety that nobody is called for', withPolicy(XA, 'safety_ack', { escalate: [] }), '/policies/safety_ack/escalate'],
    ['a warning twice', withPolicy(XA, 'handover', { warn_at: ['50%', '80%', '50.0%'] }), '/policies/handover/warn_at/2'],
    ['a deadline that guards', withPolicy(XA, 'screening', { guards: ['close_case'] }), '/policies/screening/guards'],
    ['a referral by a floor', withPolicy(XA, 'handover', { ...floor, guards: ['close_case'] }), '/policies/handover/kind'],
    ['two effects', withPolicy(XA, 'inform', { on_breach: ['expire_offer', 'resume_respond'] }), '/policies/inform/on_breach'],
    ['an effect on nothing', withPolicy(XA, 'handover', { on_breach: ['expire_offer'] }), '/policies/handover/on_breach/0'],
    [
      'percentages that are none',
      withPolicy(XA, 'handover', { warn_at: ['50', '101%', '-1%'], escalate: [{ after: 'later', to: 'responsible' }] }),
      '/policies/handover/warn_at/0',
      '/policies/handover/warn_at/1',
      '/policies/handover/warn_at/2',
      '/policies/handover/escalate/0/after',
    ],
    ['no such timer', withPolicies({ name: 'tea_break' }), '/policies/NEW/name'],
    [
      'a stage that the pack leaves out',
      {
        ...GB,
        policies: [...GB.policies, { ...GB.policies.at(-1)!, name: 'screening', applies_to: { stage: 'recovery' } }],
        stages: GB.stages.filter(({ stage }) => stage !== 'recovery'),
      },
      `/policies/${GB.policies.length}/applies_to/stage`,
    ],
    [
      'the same policy twice',
      withPolicies({ ...XA.policies.find(({ name }) => name === 'welfare_check') }),
      '/policies/NEW/applies_to',
    ],
    ['two that may fit the same', withPolicies({ applies_to: { service: 'medical' } }), '/policies/NEW/applies_to'],
    [
      'no clock for an urgency',
      { ...XA, policies: XA.policies.filter(({ name, applies_to }) => name !== 'review' || applies_to.urgency !== 'urgent') },
      '/policies',
    ],
    [
      'a clock for one service only',
      withPolicy(XA, 'welfare_check', { applies_to: { service: 'medical' } }),
      '/policies',
      '/policies',
      '/policies',
    ],

    ['a stage twice', { ...XA, stages: [...XA.stages, XA.stages[0]!] }, `/stages/${XA.stages.length}/stage`],
    ['no beginning', { ...XA, stages: XA.stages.filter(({ stage }) => stage !== 'reported') }, '/stages'],
    ['no end', { ...XA, stages: XA.stages.filter(({ stage }) => stage !== 'closed') }, '/stages'],
    [
      'nobody is found',
      { ...XA, stages: XA.stages.filter(({ stage }) => stage !== 'presumed' && stage !== 'identified') },
      '/stages',
    ],
    ['a decision twice', { ...XA, decision_kinds: [...XA.decision_kinds, XA.decision_kinds[0]!] }, '/decision_kinds/4/kind'],
    ['a course twice', { ...XA, certifications: [...XA.certifications, XA.certifications[0]!] }, '/certifications/1/course'],
    [
      'a recovery to which no decision leads',
      { ...XA, decision_kinds: XA.decision_kinds.filter(({ kind }) => kind !== 'reasonable_grounds') },
      '/decision_kinds',
    ],
    [
      'a recovery without its period',
      { ...XA, policies: XA.policies.filter(({ name }) => name !== 'recovery_period') },
      '/policies',
    ],
    [
      'a recovery that does not hold off the decision',
      withPolicy(XA, 'recovery_period', { guards: ['close_case'] }),
      '/policies/recovery_period/guards',
    ],
    ['a recovery of 29 days', withPolicy(GB, 'recovery_period', { duration: 'P29D' }), '/policies/recovery_period/duration'],
    [
      'a recovery of a month, which may be February',
      withPolicy(GB, 'recovery_period', { clock: 'calendar_months', duration: 'P1M', count_first_day: false }),
      '/policies/recovery_period/duration',
    ],
    ['a number without a source', withPolicy(XA, 'handover', { source: ' ' }), '/policies/handover/source'],
    [
      'an age without a source',
      { ...XA, consent: { ...XA.consent, adult_age: { years: 18, source: '' } } },
      '/consent/adult_age/source',
    ],
    [
      'a child above the age of adults',
      { ...XA, consent: { ...XA.consent, child_assent_from_age: { years: 19, source: 'illustrative' } } },
      '/consent/child_assent_from_age/years',
    ],
    [
      'no notice',
      { ...XA, consent: { ...XA.consent, expiring_notice: { duration: 'PT0S', source: 'illustrative' } } },
      '/consent/expiring_notice/duration',
    ],
    [
      'no longest duration',
      { ...XA, consent: { ...XA.consent, longest_duration: { duration: 'for ever', source: 'illustrative' } } },
      '/consent/longest_duration/duration',
    ],
    [
      'a grace, a notice and a grant for longer than can be told',
      {
        ...XA,
        outage_grace: { duration: `P${'9'.repeat(30)}D`, source: 'illustrative' },
        consent: {
          ...XA.consent,
          expiring_notice: { duration: 'P36526D', source: 'illustrative' },
          longest_duration: { duration: 'P101Y', source: 'illustrative' },
        },
      },
      '/consent/expiring_notice/duration',
      '/consent/longest_duration/duration',
      '/outage_grace/duration',
    ],
    ['no such grace', { ...XA, outage_grace: { duration: 'soon', source: 'illustrative' } }, '/outage_grace/duration'],
    [
      'a stage without a name',
      { ...XA, stages: XA.stages.map((it, i) => (i === 2 ? { ...it, names: {} } : it)) },
      '/stages/2/names',
    ],
    [
      'a name in no language',
      { ...XA, minimum_standards: [{ code: 'a', names: { 'e-': 'A' }, source: 'illustrative' }] },
      '/minimum_standards/0/names',
    ],
    [
      'a route in no stage',
      {
        ...GB,
        stages: GB.stages.filter(({ stage }) => stage !== 'withdrawn'),
        routes: [{ ...GB.routes[0]!, when: { stage: 'withdrawn' } }],
      },
      '/routes/0/when/stage',
    ],
  ];
  for (const [name, pack, ...pointers] of rows) {
    const faults = checkRulePack(pack);
    t.strictSame(
      faults.map(({ pointer }) => pointer),
      pointers.map(pointer => placed(pack, pointer)),
      `${name}: ${faults.map(({ detail }) => detail).join('; ')}`,
    );
  }
});

t.test('a clock of working hours that ends today may not end later', async t => {
  const ending = withCalendar({ weeks: [{ ...own.weeks[0]!, valid_to: '2030-12-31' }] });
  const faults = checkRulePack(ending);
  t.ok(faults.length > 0);
  for (const { pointer, detail } of faults) {
    t.match(ending.policies[Number(/^\/policies\/(\d+)\/duration$/.exec(pointer)?.[1])]?.clock, /^working_/);
    t.match(detail, 'from 2031-01-01 on');
  }
  const season = { name: 'Closed', from: '2027-01-01', to: '2040-01-01', days: {} };
  t.match(checkRulePack(withCalendar({ seasons: [season] }))[0]?.detail, 'from 2027-01-01 on');
});

t.test('a calendar that ended before anybody used it is told where a pack is to hold', async t => {
  const now = new Date('2026-11-22T12:00:00Z');
  const [week] = own.weeks;
  const rows: [more: Partial<Calendar>, pointer: string, detail: string][] = [
    [{ weeks: [{ ...week!, valid_to: '2020-12-31' }] }, '/weeks/0/valid_to', '2026-11-22'],
    [{ weeks: [{ ...week!, valid_from: '2040-01-01' }] }, '/weeks', '2026-11-22'],
    [
      {
        weeks: [
          { ...week!, valid_to: '2020-12-31' },
          { ...week!, valid_from: '2036-01-01', valid_to: '2036-02-01' },
        ],
      },
      '/weeks/1/valid_to',
      '2036-02-02',
    ],
  ];
  for (const [more, pointer, from] of rows) {
    const faults = checkRulePack(withCalendar(more), [], now).filter(it => it.pointer.startsWith('/calendars'));
    t.strictSame(faults, [{ pointer: `/calendars/0${pointer}`, detail: `is closed for ten years from ${from} on` }]);
  }
  const weeks = [
    { ...week!, valid_to: '2026-12-31' },
    { ...week!, valid_from: '2036-01-01' },
  ];
  t.strictSame(checkRulePack(withCalendar({ weeks }), [], now), [], 'nine years are not for ever');
  for (const jurisdiction of SHIPPED.keys()) t.strictSame(checkRulePack(shipped(jurisdiction), [], now), [], jurisdiction);
});

t.test('what one fault of a calendar hides is told next', async t => {
  const pack = withPolicy(withCalendar({ weeks: [] }), 'handover', { duration: 'PT0S' });
  t.strictSame(
    checkRulePack(pack).map(({ pointer }) => pointer),
    ['/calendars/0', placed(XA, '/policies/handover/duration')],
  );
});

t.test('a calendar that exists may be named without being held', async t => {
  const pack = { ...XA, calendar_id: OTHER };
  t.strictSame(checkRulePack(pack, [calendar({ id: OTHER })]), []);
});

t.test('a third policy settles what two leave open', async t => {
  const by_service = { applies_to: { service: 'medical' } } as const;
  const both = URGENCIES.map(urgency => ({ ...by_service, applies_to: { service: 'medical', urgency } as const }));
  t.strictSame(checkRulePack(withPolicies(by_service, ...both)), []);
});

t.test('a recovery of thirty days and more is held to its law', async t => {
  for (const [clock, duration] of [
    ['calendar_days', 'P30D'],
    ['calendar_months', 'P3M'],
    ['working_days', 'P45D'],
    ['elapsed', 'P30D'],
  ] as const)
    t.strictSame(checkRulePack(withPolicy(GB, 'recovery_period', { clock, duration })), [], `${clock} ${duration}`);
  const short = { clock: 'elapsed', duration: 'PT6S' } as const;
  t.strictSame(checkRulePack(withPolicy(XA, 'recovery_period', short)), [], 'no law of a country that is none');
});

t.test('the shipped packs', async t => {
  t.strictSame([...SHIPPED.keys()].sort(), ['EG', 'GB', 'IQ', 'JO', 'LB', 'SA', 'TR', 'XA', 'XB']);
  for (const jurisdiction of SHIPPED.keys()) {
    const pack = shipped(jurisdiction);
    t.equal(pack.jurisdiction, jurisdiction);
    t.strictSame(checkRulePack(pack), [], jurisdiction);
    t.notOk('version' in pack, 'the service counts');
    const kept = inForce(pack, 7);
    t.match(kept, { calendar_ids: [pack.calendar_id], version: 7 });
    t.notOk('calendars' in kept);
    const sourced = [pack.outage_grace, ...Object.values(pack.consent), ...pack.policies, ...pack.calendar_sources];
    for (const { source } of sourced) t.match(source, /illustrative|^[A-Z]{2,3}-[A-Z0-9-]+: |Palermo Protocol/, source);
  }
});

t.test('numbers that are known stand in them', async t => {
  const policyOf = (jurisdiction: string, name: string) => findPolicy(shipped(jurisdiction).policies, name, {})!;
  t.match(policyOf('GB', 'reasonable_grounds_decision'), { clock: 'working_days', duration: 'P5D', source: /^UK-RG/ });
  t.match(policyOf('GB', 'recovery_period'), {
    kind: 'floor',
    clock: 'calendar_days',
    duration: 'P30D',
    count_first_day: true,
    guards: ['conclusive_grounds'],
    source: /^UK-RECOVERY/,
  });
  t.match(policyOf('GB', 'reconsideration_window'), { clock: 'calendar_days', duration: 'P30D', source: /^UK-RECONS/ });
  t.match(policyOf('SA', 'stay_review'), { clock: 'calendar_months', duration: 'P12M', source: /^SA-STAY-REVIEW/ });
  const whole_days = { duration: 'P30D', count_first_day: undefined, source: /^COE-13/ };
  t.match(policyOf('TR', 'recovery_period'), whole_days, 'that the first day counts is law in Britain alone');
  t.equal(shipped('SA').stages.flatMap(({ steps = [] }) => steps).length, 6, 'six stages, named');
  for (const name of [...REFERRAL_TIMERS, ...CASE_TIMERS])
    t.ok(
      XA.policies.some(policy => policy.name === name),
      name,
    );
  t.match(policyOf('XB', 'recovery_period'), { kind: 'floor', clock: 'elapsed', duration: 'PT6S' });
});

t.test('packs are looked at without a service', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'aman-rules-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const check = (...paths: string[]) => {
    const script = fileURLToPath(new URL('../../scripts/check-rules.ts', import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...paths], { encoding: 'utf8' });
    return { status, stdout, stderr };
  };
  const all = check(...SHIPPED.values());
  t.match(all, { status: 0, stderr: '' });
  t.equal(all.stdout.trim().split('\n').length, SHIPPED.size, 'a line each');

  const handover = placeOf(XA, 'handover');
  const broken = file('broken.json', JSON.stringify(withPolicy(XA, 'handover', { duration: 'PT0S', warn_at: ['x%'] })));
  t.match(check(broken, SHIPPED.get('GB')!), {
    status: 1,
    stdout: /sound\n$/,
    stderr: new RegExp(`^${broken}: not sound\n/policies/${handover}/duration: .*\n/policies/${handover}/warn_at/0: .*\n$`),
  });
  const { source: _, ...unsourced } = XA.outage_grace;
  const misshapen = file('misshapen.json', JSON.stringify({ ...XA, colour: 'red', outage_grace: unsourced }));
  t.match(check(misshapen), {
    status: 1,
    stdout: '',
    stderr: /\/colour: is not known here[\s\S]*\/outage_grace\/source: is missing/,
  });
  t.match(check(file('text.json', '{')), { status: 1, stderr: /is not JSON/ });
  t.match(check(join(folder, 'absent.json')), { status: 1, stderr: /cannot be read/ });
  t.match(check(), { status: 1, stderr: /usage/ });
});
