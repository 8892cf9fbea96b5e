import { execFileSync } from 'node:child_process';
import t from 'tap';

const inline = (folder: string) =>
  JSON.parse(execFileSync(process.execPath, ['scripts/datapackage.ts', folder], { encoding: 'utf8' }));

t.test('a folder of tables becomes one document', async t => {
  const tables = { 'organizations.csv': 'id,name\n1,"a, b"\n', 'services.csv': 'id\n', 'notes.txt': 'no table' };
  t.same(inline(t.testdir(tables)), {
    resources: [
      { name: 'organizations', data: 'id,name\n1,"a, b"\n' },
      { name: 'services', data: 'id\n' },
    ],
  });
  const resources = [
    { name: 'organization', path: 'organizations.csv', dialect: { delimiter: ';' } },
    { name: 'program', path: 'programs.csv' },
    { name: 'secret', path: '../../etc/passwd' },
    { name: 'unit', data: [{ id: 'u' }] },
  ];
  const folder = t.testdir({ ...tables, 'datapackage.json': JSON.stringify({ profile: 'data-package', resources }) });
  t.same(inline(folder), {
    profile: 'data-package',
    resources: [
      { name: 'organization', dialect: { delimiter: ';' }, data: 'id,name\n1,"a, b"\n' },
      { name: 'unit', data: [{ id: 'u' }] },
    ],
  });
});
