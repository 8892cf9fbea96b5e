import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { DemoAgency } from '../../src/demo.ts';
import { type Program, ready, run, serve, temporaryDataDir } from '../support/process.ts';

/** `npm run demo`, as somebody runs it: everything that it promises, it has looked at itself. */

// Clocks run in seconds of their own here, on an embedded database that is made first.
t.setTimeout(180_000);

const demo = (t: Parameters<typeof run>[0], env: Record<string, string>): Program => run(t, ['scripts/demo.ts'], env);

const KEY_LINES = [
  /✓ signature verified {2}webhook to (Cedar|Olive) House: referral\.offered {2}position \d+, sequence 1\n/,
  /✓ signature verified {2}webhook to (Cedar|Olive) House: referral\.expired/,
  /✓ signature verified {2}webhook to Daybreak Helpline: referral\.accepted/,
  /✓ signature verified {2}webhook to (Cedar|Olive) House: consent\.withdrawn/,
  /(Cedar|Olive) House +is refused \(409\)/,
  /Labour Inspection Office +is told what it would be told of numbers that do not exist \(404\)/,
  /Office of the Ombudsperson +reads \d+ entries: \d+ acts of agencies, \d+ reads, 4 refusals/,
  /Office of the Ombudsperson +finds \d+ receipts of Daybreak Helpline/,
  /\nAs told: \d+ steps, \d+ webhooks with verified signatures, \d+ expectations, in [\d.]+ s\.\n$/,
];

/** What was told is printed; secrets, the story and colours are not. */
function asTold(t: Parameters<typeof run>[0], { output }: Program): void {
  for (const line of KEY_LINES) t.match(output.stdout, line);
  t.equal(output.stderr, '');
  t.notMatch(output.stdout, /whsec_|eyJ|passport|Placeholder/);
  t.notOk(output.stdout.includes('\u001b'), 'no colours but on a terminal');
}

const ownFolder = (program: Program): string => /on data of its own in (\S+),/.exec(program.output.stdout)![1]!;

t.test('without a service it starts one of its own, and leaves nothing behind', async t => {
  const dir = await temporaryDataDir(t);
  const program = demo(t, { DATA_DIR: dir, DATABASE_URL: 'postgres://nobody@127.0.0.1:1/not-looked-at' });
  t.equal(await program.ended, 0, program.output.stdout);
  asTold(t, program);
  t.same(await readdir(dir), [], 'nothing in DATA_DIR');
  t.notOk((await readdir(tmpdir())).includes(ownFolder(program).split('/').at(-1)!), 'its own folder is gone');
});

t.test('against a service that runs', async t => {
  const dir = await temporaryDataDir(t);
  const service = serve(t, { DATA_DIR: dir });
  const base_url = await ready(service);
  const first = demo(t, { DATA_DIR: dir });
  t.equal(await first.ended, 0, first.output.stdout);
  t.match(first.output.stdout, `using the service that runs at ${base_url}`);
  asTold(t, first);

  const { agencies } = JSON.parse(await readFile(join(dir, 'demo-credentials.json'), 'utf8'));
  const { id, client_id, client_secret, caseworkers } = agencies.shelter_b as DemoAgency;
  t.notMatch(first.output.stdout, client_secret);
  const login = await fetch(`${base_url}/oauth/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${client_id}:${client_secret}`)}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  const { access_token } = (await login.json()) as { access_token: string };
  const look = async (path: string) => {
    const headers = { authorization: `Bearer ${access_token}`, 'acting-caseworker': caseworkers[1].staff_code };
    return (await fetch(`${base_url}${path}`, { headers })).json() as Promise<{ data: { status: string }[] }>;
  };
  const capacity = `/v1/agencies/${id}/services/shelter_accommodation/capacity`;

  // Broken off in the middle of the night, while the second shelter holds nothing yet and the first one is asked.
  const broken_off = demo(t, { DATA_DIR: dir });
  await broken_off.said(/is asked first/);
  t.equal((await broken_off.end('SIGINT')).code, 130);
  t.match(broken_off.output.stdout, /SIGINT/);
  t.notMatch(broken_off.output.stdout, 'As told');

  t.same(await look('/v1/webhook-endpoints'), { data: [], next_cursor: null }, 'its endpoints are deleted');
  t.match(await look(capacity), { held: 0, available: 6 }, 'its place is given back');
  for (const { status } of (await look('/v1/referrals?box=incoming')).data) t.match(status, /^(completed|cancelled|expired)$/);
  t.equal((await service.end('SIGINT')).code, 0);
});

t.test('interrupted before its own service is ready', async t => {
  const dir = await temporaryDataDir(t);
  const program = demo(t, { DATA_DIR: dir });
  await program.said(/on data of its own/);
  await new Promise(resolve => setTimeout(resolve, 1_500));
  t.equal((await program.end('SIGTERM')).code, 143);
  t.notOk((await readdir(tmpdir())).includes(ownFolder(program).split('/').at(-1)!), 'its folder is gone');
});
