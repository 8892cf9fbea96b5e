import fc from 'fast-check';
import t from 'tap';
import { canTake, type Expert, isLanguageTag, matchExperts, speaks, type Wanted } from '../../src/core/experts.ts';
import { declaredAs, soughtAs } from '../../src/core/ties.ts';

const expert = (more: Partial<Expert> = {}): Expert => ({
  id: 'xpt_1',
  agency_id: 'agy_1',
  agency_status: 'active',
  operating_mode: 'open',
  status: 'active',
  skills: ['interpretation'],
  languages: [{ tag: 'ku-Arab', level: 'fluent', modes: ['spoken', 'written'] }],
  sex: 'female',
  jurisdictions: ['XA'],
  regions: ['XA-1'],
  remote: false,
  availability: [],
  unavailable: [],
  held: [],
  pending: 0,
  certifications: [],
  employer_agency_ids: [],
  ties: [],
  ...more,
});
const wanted = (more: Partial<Wanted> = {}): Wanted => ({
  skill: 'interpretation',
  languages: [],
  modes: [],
  jurisdiction: 'XA',
  region: 'XA-1',
  remote_ok: false,
  from: new Date('2026-11-24T09:00:00Z'),
  to: new Date('2026-11-24T10:00:00Z'),
  agency_ids: [],
  against: [],
  ...more,
});
const span = (from: string, to: string) => ({ from: new Date(`2026-11-24T${from}Z`), to: new Date(`2026-11-24T${to}Z`) });

t.test('a language is spoken in any script, and written in its own', async t => {
  const knows = (tag: string, modes: ('spoken' | 'written' | 'sign')[]) => ({ tag, level: 'native' as const, modes });
  const rows: [string, string, ('spoken' | 'written' | 'sign')[], boolean][] = [
    ['ku-Latn', 'ku-Arab', ['spoken'], true],
    ['ku-Latn', 'ku-Arab', ['written'], false],
    ['ku-Latn', 'ku-Arab', ['spoken', 'written'], false],
    ['ku-Arab', 'ku-Arab', ['written'], true],
    ['ar', 'ar-Arab', ['written'], true],
    ['ar-EG', 'ar', ['spoken'], true],
    ['ku', 'ckb', ['spoken'], false],
    ['ase', 'ase', ['sign'], false],
    ['en', 'ase', [], false],
  ];
  for (const [known, asked, modes, is] of rows)
    t.equal(speaks(knows(known, ['spoken', 'written']), asked, modes), is, `${known} for ${asked} ${modes}`);
  t.ok(speaks(knows('ase', ['sign']), 'ase', ['sign']), 'a sign language is signed');
  t.notOk(speaks(knows('ase', ['sign']), 'bfi', ['sign']), 'and is a language of its own');
  t.notOk(isLanguageTag('ab-cd-ef'));
  t.ok(isLanguageTag('sr-Latn-RS'));
});

t.test('what stands against an expert', async t => {
  t.ok(canTake(expert(), wanted()));
  const rows: [string, Partial<Expert>, Partial<Wanted>][] = [
    ['suspended', { status: 'suspended' }, {}],
    ['of a suspended agency', { agency_status: 'suspended' }, {}],
    ['of a closed agency', { operating_mode: 'closed' }, {}],
    ['another skill', {}, { skill: 'psychology' }],
    ['one of two languages', {}, { languages: ['ku-Arab', 'ar'] }],
    ['another script', {}, { languages: ['ku-Latn'], modes: ['written'] }],
    ['another sex', {}, { sex: 'male' }],
    ['another country', {}, { jurisdiction: 'XB', region: null }],
    ['another region', {}, { region: 'XA-2' }],
    ['another region, and not from afar', {}, { region: 'XA-2', remote_ok: true }],
    ['in person, and only from afar', { remote: true }, { region: 'XA-2', mode: 'in_person' }],
    ['by telephone, and only in person', {}, { mode: 'phone' }],
    ['away', { unavailable: [span('09:59', '12:00')] }, {}],
    ['taken', { held: [span('08:00', '09:01')] }, {}],
    [
      'closed for a part of it',
      { availability: [{ freq: 'WEEKLY', byday: 'TU', opens_at: '09:30', closes_at: '12:00', timezone: 'UTC' }] },
      {},
    ],
    ['works for one of the sides', { employer_agency_ids: ['agy_7'] }, { agency_ids: ['agy_6', 'agy_7'] }],
  ];
  for (const [why, about, asked] of rows) t.notOk(canTake(expert(about), wanted(asked)), why);
  t.ok(canTake(expert({ held: [span('08:00', '09:00'), span('10:00', '11:00')] }), wanted()), 'one after another');
  t.ok(canTake(expert({ remote: true }), wanted({ region: 'XA-2', remote_ok: true })), 'from afar');
  t.ok(canTake(expert({ operating_mode: 'reduced' }), wanted()), 'of an agency that does less');
  t.ok(canTake(expert({ regions: [] }), wanted({ region: 'XA-2' })), 'everywhere');
});

t.test('who knows the language better, is certified and near comes first', async t => {
  const better = expert({
    id: 'xpt_2',
    languages: [{ tag: 'ku', level: 'native', modes: ['spoken'] }],
    certifications: [{ expires_on: '2026-11-24' }],
  });
  const late = expert({ id: 'xpt_3', certifications: [{ expires_on: '2026-11-23' }], pending: 1 });
  const matches = matchExperts([late, expert(), better], wanted({ languages: ['ku'], modes: ['spoken'] }), 'key');
  t.strictSame(
    matches.map(match => match.expert.id),
    ['xpt_2', 'xpt_1', 'xpt_3'],
  );
  t.ok(matches.every(({ score, reasons }) => score === reasons.reduce((sum, { points }) => sum + points, 0)));
});

const ids = fc.uniqueArray(fc.integer({ min: 1, max: 999 }), { minLength: 1, maxLength: 8 });

t.test('the order does not hang on the order in which they were found', async () => {
  fc.assert(
    fc.property(ids, fc.nat(), (numbers, turn) => {
      const experts = numbers.map(n => expert({ id: `xpt_${n}`, pending: n % 3 }));
      const by = turn % experts.length;
      const turned = [...experts.slice(by), ...experts.slice(0, by)];
      const told = (of: Expert[]) => matchExperts(of, wanted(), 'key').map(match => match.expert.id);
      return told(experts).join() === told(turned).join();
    }),
  );
});

t.test('who of those that rank alike comes first hangs on the key, and nobody always does', async t => {
  const experts = [1, 2, 3, 4].map(n => expert({ id: `xpt_${n}` }));
  const firsts = Array.from({ length: 200 }, (_, n) => matchExperts(experts, wanted(), `key ${n}`)[0]!.expert.id);
  for (const { id } of experts) t.ok(firsts.filter(first => first === id).length > 20, id);
});

t.test('nobody who is tied is ever matched, whatever speaks for them', async () => {
  const name = fc.constantFrom('Karim', 'ZAKI', 'Yusuf', 'زكي', 'كريم', 'José', 'Amina');
  const person = fc.record({
    given_name: name,
    family_name: name,
    date_of_birth: fc.constantFrom(undefined, '1970-03-02', '1981-01-01'),
  });
  fc.assert(
    fc.property(fc.array(person, { maxLength: 3 }), fc.array(person, { maxLength: 3 }), (declared, against) => {
      const ties = declared.flatMap(declaredAs);
      const found = matchExperts([expert({ ties })], wanted({ against: against.flatMap(soughtAs) }), 'key');
      const same = declared.some(one =>
        against.some(
          other =>
            (one.given_name === other.given_name &&
              one.family_name === other.family_name &&
              one.given_name !== one.family_name) ||
            (one.date_of_birth !== undefined &&
              one.date_of_birth === other.date_of_birth &&
              one.given_name === other.family_name),
        ),
      );
      return !same || found.length === 0;
    }),
  );
});
