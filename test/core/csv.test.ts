import fc from 'fast-check';
import t from 'tap';
import { csvRow, parseCsv } from '../../src/core/csv.ts';

t.test('a row is RFC 4180', async t => {
  t.equal(csvRow(['a', 1, null, '']), 'a,1,,\r\n');
  t.equal(csvRow(['a,b', 'say "no"', 'two\nlines', 'مريم']), '"a,b","say ""no""","two\nlines",مريم\r\n');
});

t.test('no cell is a formula', async t => {
  for (const text of ['=1+1', '+49', '-1', '@SUM(A1)', '\tx', '=cmd|x'])
    t.equal(csvRow([text, 'next']), `'${text},next\r\n`, JSON.stringify(text));
  t.equal(csvRow(['\r=1']), '"\'\r=1"\r\n');
  t.equal(csvRow(['=A1,"x"']), '"\'=A1,""x"""\r\n', 'also where it is quoted');
  t.equal(csvRow(['a;=1;b\t-1']), "a;'=1;b\t'-1\r\n", 'nor behind what is a separator elsewhere');
  t.equal(csvRow(["'=1", 'a=1', ' =1']), "'=1,a=1, =1\r\n", 'and no other is touched');
  t.equal(csvRow([0, 7]), '0,7\r\n');
});

t.test('rows are read as they were written', async t => {
  t.strictSame(parseCsv('\ufeffid,name\r\n1,"a, ""b""\nc"\r\n\r\n2,\n'), [
    ['id', 'name'],
    ['1', 'a, "b"\nc'],
    ['2', ''],
  ]);
  t.strictSame(parseCsv('a;"b;c"', ';'), [['a', 'b;c']]);
  t.strictSame(parseCsv(''), []);
  t.throws(() => parseCsv('a,b\n"c'), /line 2: .* not closed/);
  t.throws(() => parseCsv('a\n"b"c'), /line 2: text behind/);
  const cell = fc.string().filter(text => !/[=+\-@\t\r]/.test(text));
  fc.assert(
    fc.property(fc.array(fc.array(cell, { minLength: 2, maxLength: 4 }), { maxLength: 5 }), rows => {
      t.strictSame(parseCsv(rows.map(csvRow).join('')), rows);
    }),
  );
});
