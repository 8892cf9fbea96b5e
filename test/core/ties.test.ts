import fc from 'fast-check';
import t from 'tap';
import { declaredAs, isTied, type NamedPerson, namePartsOf, soughtAs } from '../../src/core/ties.ts';

const tied = (one: NamedPerson, other: NamedPerson) => isTied(declaredAs(one), soughtAs(other));
const person = (given_name: string, family_name: string, date_of_birth?: string): NamedPerson => ({
  given_name,
  family_name,
  ...(date_of_birth ? { date_of_birth } : {}),
});

t.test('one name, written in many ways', async t => {
  const rows: [NamedPerson, NamedPerson][] = [
    [person('José', 'Müller'), person('JOSE', 'muller')],
    [person('Testname', 'Al-Placeholder'), person('placeholder', 'Testname')],
    [person('أحمد', 'عليّ'), person('احمد', 'علي')],
    [person('إيمان', 'مصطفى'), person('ايمان', 'مصطفي')],
    [person('محـــمد', 'الحسيني'), person('محمد', 'حسيني')],
    [person('فاطمة', 'رؤوف'), person('فاطمه', 'روف')],
    [person('كريم', 'یوسف'), person('کریم', 'يوسف')],
    [person('İlker', 'Yıldız'), person('ilker', 'yildiz')],
    [person('Mohammed', 'Hassan'), person('Mohamed', 'Hasan')],
    [person('Ali', 'Hassan Omar'), person('Ali Hassan', 'Omar')],
    [person('Ali', 'Omar'), person('Ali Hassan', 'Omar', '1980-01-01')],
    [person("Sa'id", 'O’Neil'), person('Said', 'ONeil')],
    [person('عبد الله', 'كريم'), person('عبدالله', 'كريم')],
    [person('Łukasz', 'Größe'), person('lukasz', 'grosse')],
  ];
  for (const [one, other] of rows) {
    t.ok(tied(one, other), `${one.given_name} ${one.family_name} – ${other.given_name} ${other.family_name}`);
    t.ok(tied(other, one), 'and the other way round');
  }
});

t.test('a date of birth and one part of the name are enough, whatever the rest says', async t => {
  t.ok(tied(person('Karim', 'Zaki', '1970-03-02'), person('Karim', 'Zakkee', '1970-03-02')));
  t.notOk(tied(person('Karim', 'Zaki', '1970-03-02'), person('Karim', 'Zakkee', '1970-03-03')));
  t.notOk(tied(person('Karim', 'Zaki', '1970-03-02'), person('Karim', 'Zakkee')));
  t.notOk(tied(person('Karim', 'Zaki', '1970-03-02'), person('Salim', 'Nasr', '1970-03-02')));
});

t.test('a single name says too little', async t => {
  t.notOk(tied({ given_name: 'Karim' }, person('Karim', 'Zaki')));
  t.ok(tied({ given_name: 'Karim' }, { given_name: 'KARIM' }));
  t.ok(tied({ given_name: 'Karim', date_of_birth: '1970-03-02' }, person('Karim', 'Zaki', '1970-03-02')));
  for (const compared of [declaredAs, soughtAs]) {
    t.strictSame(compared({}), []);
    t.strictSame(compared(person('—', '12')), []);
  }
});

t.test('across scripts one date of birth is enough', async t => {
  const names: [string, string][] = [
    ['كريم', 'زكي'],
    ['Salim', 'Nasr'],
    ['Карим', 'Заки'],
    ['ካሪም', 'ዛኪ'],
    ['ܟܪܝܡ', 'ܙܟܝ'],
  ];
  const BORN = '1970-03-02';
  for (const [i, one] of names.entries())
    for (const [j, other] of names.entries()) {
      const what = `${one.join(' ')} – ${other.join(' ')}`;
      t.ok(tied(person(...one, BORN), person(...other, BORN)), what);
      if (i === j) continue;
      t.notOk(tied(person(...one, BORN), person(...other, '1970-03-03')), `${what}, another date`);
      t.notOk(tied(person(...one, BORN), person(...other)), `${what}, no date`);
    }
  t.notOk(tied(person('سالم', 'نصر', BORN), person('كريم', 'زكي', BORN)), 'in one script names are compared');
  t.ok(tied(person('Salim', 'نصر', BORN), person('Karim', 'Zaki', BORN)), 'a part in the one may be what is in the other');
  t.ok(tied(person('Karim', 'Zaki', BORN), { date_of_birth: BORN }), 'nothing but the date is known');
});

const letters = fc.string({
  unit: fc.constantFrom(...'abdefghikmnorstuyzéüñşأإآاةىيبحدرسعمنهوکك'),
  minLength: 3,
  maxLength: 9,
});

t.test('spellings of one name always agree', async () => {
  const misspelt = (text: string, how: number) =>
    [
      text,
      text.toUpperCase(),
      text.normalize('NFD'),
      [...text].join('\u0640'),
      text.replaceAll('أ', 'ا').replaceAll('ة', 'ه'),
      `\u200f ${text} `,
      text.replaceAll('é', 'e'),
    ][how % 7]!;
  fc.assert(
    fc.property(letters, letters, fc.nat(), fc.nat(), fc.boolean(), (given, family, a, b, swapped) => {
      const one = person(given, family);
      const [first, second] = [misspelt(given, a), misspelt(family, b)];
      const other = swapped ? person(second, first) : person(first, second);
      const parts = namePartsOf(one);
      // What is left of a name may be nothing, or one part twice.
      return parts.length === 0 || tied(one, other);
    }),
  );
});

t.test('what is compared of one person is bounded, however long the name', async t => {
  const long = {
    given_name: 'a b c d e f g h i j k l m n o p q r s t u v w x y z',
    family_name: 'Suspect',
    date_of_birth: '1980-05-06',
  };
  t.ok(declaredAs(long).length < 100);
  t.ok(soughtAs(long).length < 100);
  t.ok(isTied(declaredAs(long), soughtAs({ family_name: 'suspect', date_of_birth: '1980-05-06' })), 'the longest parts count');
});
