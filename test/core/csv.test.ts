import t from 'tap';
import { csvRow } from '../../src/core/csv.ts';

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
