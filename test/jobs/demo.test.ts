import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { PRIVATE } from '../../scripts/demo/story.ts';
import type { DemoAgency, DemoAgencyKey } from '../../src/demo.ts';
import { type Program, ready, run, serve, temporaryDataDir } from '../support/process.ts';

/** `npm run demo`, as somebody runs it: everything that it promises, it has looked at itself. */

// Clocks run in seconds of their own here, on an embedded database that is made first.
t.setTimeout(300_000);

const demo = (t: Parameters<typeof run>[0], env: Record<string, string>): Program => run(t, ['scripts/demo.ts'], env);

const KEY_LINES = [
  /✓ signature verified {2}webhook to (Cedar|Olive) House: referral\.offered {2}position \d+, sequence 1\n/,
  /✓ signature verified {2}webhook to (Cedar|Olive) House: referral\.expired/,
  /✓ signature verified {2}webhook to Daybreak Helpline: referral\.accepted/,
  /✓ signature verified {2}webhook to (Cedar|Olive) House: consent\.withdrawn/,
  /(Cedar|Olive) House +is refused \(409\)/,
  /Labour Inspection Office +is told what it would be told of numbers that do not exist \(404\)/,
  // Two workers are found together.
  /✓ signature verified {2}webhook to Public Prosecution Office: referral\.offered/,
  /Public Prosecution Office +decides to take his case/,
  /Labour Inspection Office +is refused \(409\): she did not consent/,
  /Labour Inspection Office +has it looked at by the supervisor, who upholds it/,
  // A yes on the telephone is contested.
  /✓ signature verified {2}webhook to National Coordination Committee: referral\.contested/,
  /(Cedar|Olive) House +contests: nobody there said yes/,
  /(Cedar|Olive) House +is asked next, says yes in its own system, and takes her in/,
  // Somebody does not arrive.
  /✓ signature verified {2}webhook to National Coordination Committee: referral\.no_show/,
  /(Cedar|Olive) House +is asked by the service itself, for the need stays open/,
  /Daybreak Helpline +is told that she is safe; the clock has stopped/,
  // Who may see what.
  /Daybreak Helpline +reads everything in its own cases: the first caller, the second caller, and the third caller\n/,
  /Open Line +sees nothing: for it, none of these cases exists\n/,
  /(Cedar|Olive) House +reads nothing any more: the first caller\n/,
  /Public Prosecution Office +reads name, safe contact, story, working conditions, and no more: the man from the site\n/,
  /City Clinic +reads age and languages, health, and no more: the third caller\n/,
  /Lantern Association +sees a profile without a name: the third caller\n/,
  /National Coordination Committee +sees where each of them stands, and of nobody who it is: all of them\n/,
  // 4 before everybody looked up everything, and 15 then.
  /Office of the Ombudsperson +reads \d+ entries: \d+ acts of agencies, \d+ reads, 19 refusals/,
  /Office of the Ombudsperson +finds who wrote down the yes on the telephone/,
  /Office of the Ombudsperson +finds \d+ receipts of Daybreak Helpline/,
  /\nAs told: \d+ steps, \d+ webhooks with verified signatures, \d+ expectations, in [\d.]+ s\.\n$/,
];

/** What was told is printed; secrets, the story and colours are not. */
function asTold(t: Parameters<typeof run>[0], { output }: Program): void {
  for (const line of KEY_LINES) t.match(output.stdout, line);
  t.equal(output.stderr, '');
  t.notMatch(output.stdout, /whsec_|eyJ|passport|Placeholder/);
  t.same(
    PRIVATE.filter(words => output.stdout.includes(words)),
    [],
    'nobody in it is to be recognised',
  );
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

interface Credentials {
  agencies: Record<DemoAgencyKey, DemoAgency>;
}

/** Every endpoint is deleted, every place given back, every referral over and every case closed. */
async function leftNothing(t: Test, base_url: string, agencies: Credentials['agencies'], when: string): Promise<void> {
  for (const [key, { id, client_id, client_secret, caseworkers }] of Object.entries(agencies)) {
    const login = await fetch(`${base_url}/oauth/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${client_id}:${client_secret}`)}` },
      body: new URLSearchParams({ grant_type: 'client_credentials' }),
    });
    const { access_token } = (await login.json()) as { access_token: string };
    const headers = { authorization: `Bearer ${access_token}`, 'acting-caseworker': caseworkers[1].staff_code };
    const look = async (path: string) => {
      const answer = await fetch(`${base_url}${path}`, { headers });
      t.equal(answer.status, 200, `${key}: ${path}`);
      return (await answer.json()) as { held: number; data: { status: string; stage: string }[] };
    };
    t.same((await look('/v1/webhook-endpoints')).data, [], `${when}: the endpoints of ${key} are deleted`);
    if (key.startsWith('shelter')) {
      const { held } = await look(`/v1/agencies/${id}/services/shelter_accommodation/capacity`);
      t.equal(held, 0, `${when}: the places of ${key} are given back`);
    }
    const over = /^(completed|cancelled|expired|declined|failed|withdrawn)$/;
    const referrals = await look('/v1/referrals?box=all&limit=200');
    for (const { status } of referrals.data) t.match(status, over, `${when}: nothing waits for ${key}`);
    if (key === 'committee') continue;
    for (const { stage } of (await look('/v1/cases?limit=200')).data)
      t.equal(stage, 'closed', `${when}: ${key} has closed its cases`);
  }
}

t.test('against a service that runs', async t => {
  const dir = await temporaryDataDir(t);
  const service = serve(t, { DATA_DIR: dir });
  const base_url = await ready(service);
  const { agencies } = JSON.parse(await readFile(join(dir, 'demo-credentials.json'), 'utf8')) as Credentials;

  // While the first shelter is asked; and late, while there is something to end of every kind.
  for (const pattern of [/is asked first/, /puts her on its waiting list/]) {
    const broken_off = demo(t, { DATA_DIR: dir });
    await broken_off.said(pattern, 120_000);
    t.equal((await broken_off.end('SIGINT')).code, 130);
    t.match(broken_off.output.stdout, `using the service that runs at ${base_url}`);
    for (const { client_secret } of Object.values(agencies)) t.notMatch(broken_off.output.stdout, client_secret);
    t.match(broken_off.output.stdout, /SIGINT/);
    t.notMatch(broken_off.output.stdout, 'As told');
    await leftNothing(t, base_url, agencies, `broken off where ${pattern}`);
  }
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
