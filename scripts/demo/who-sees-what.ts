import { isDeepStrictEqual } from 'node:util';
import { type Agency, type Answer, must } from './agency.ts';
import { expect, expectThat } from './expect.ts';
import type { Night } from './night.ts';
import { ANSWER, QUESTION } from './scenes/first-call.ts';
import { BY_LAW, FOR_THE_PROSECUTION } from './scenes/labour-inspection.ts';
import { FOR_A_DOCTOR } from './scenes/no-show.ts';
import { NOTE } from './scenes/telephone.ts';
import type { Matter, Stage } from './stage.ts';
import { CONSENTED, FIRST_CALLER, FOUND_MAN, FOUND_WOMAN, privateWords, SECOND_CALLER, THIRD_CALLER } from './story.ts';
import type { Refusal } from './trail.ts';

/**
 * What an agency may see of a case or of a referral: `nothing`, as if it did not exist; `stub`, that it once had to do with it;
 * `masked`, the queue without the person; `profile`, what it needs to say yes or no; the categories that were agreed; or the `whole`.
 */
type Sight = 'nothing' | 'stub' | 'masked' | 'profile' | 'whole' | readonly string[];

interface Line {
  of: Matter;
  /** The referral; the case itself where there is none. */
  referral?: string;
  /** Everybody else sees nothing. */
  seen_by: [Agency, Sight][];
}

/** The law of the night, line by line. */
function table({ cast }: Stage, { call, found, contested, missed }: Night): Line[] {
  const { helpline, inspection, prosecution, clinic, association, committee } = cast;
  const hers: [Agency, Sight][] = [
    [helpline, 'whole'],
    [committee, 'masked'],
  ];
  const theirs: [Agency, Sight][] = [
    [inspection, 'whole'],
    [committee, 'masked'],
  ];
  // biome-ignore format: a table
  return [
    // She withdrew her consent: the shelter goes on caring for her, and reads nothing any more. The silent one never knew of a case.
    { of: call.matter,      seen_by: [...hers, [call.second, []]] },
    { of: call.matter,      referral: call.referral, seen_by: [...hers, [call.second, []], [call.first, 'stub']] },
    { of: contested.matter, seen_by: [...hers, [contested.taker, CONSENTED], [contested.contester, 'stub']] },
    { of: contested.matter, referral: contested.referral, seen_by: [...hers, [contested.taker, CONSENTED], [contested.contester, 'stub']] },
    // The shelter knows nothing of the doctor, the doctor nothing of the shelter, and who has not said yes only that she is there.
    { of: missed.matter,    seen_by: [...hers, [missed.taker, CONSENTED], [missed.waiter, 'stub'], [clinic, FOR_A_DOCTOR]] },
    { of: missed.matter,    referral: missed.referral, seen_by: [...hers, [missed.taker, CONSENTED], [missed.waiter, 'stub']] },
    { of: missed.matter,    referral: missed.to_the_clinic, seen_by: [...hers, [clinic, FOR_A_DOCTOR]] },
    { of: missed.matter,    referral: missed.for_legal_aid, seen_by: [...hers, [association, 'profile']] },
    { of: found.man,        seen_by: [...theirs, [prosecution, FOR_THE_PROSECUTION]] },
    { of: found.man,        referral: found.his_referral, seen_by: [...theirs, [prosecution, FOR_THE_PROSECUTION]] },
    // She said no.
    { of: found.woman,      seen_by: theirs },
    { of: found.nameless,   seen_by: [...theirs, [prosecution, BY_LAW]] },
    { of: found.nameless,   referral: found.report, seen_by: [...theirs, [prosecution, BY_LAW]] },
  ];
}

/** Whose ears were meant for which words. */
function confidences({ cast }: Stage, { call, contested, missed }: Night): [string[], Agency[]][] {
  const { helpline, inspection, prosecution } = cast;
  return [
    [
      [...privateWords(FIRST_CALLER), QUESTION, ANSWER],
      [helpline, call.second],
    ],
    // A yes was recorded for the one that contested it; until then it could read her story.
    [privateWords(SECOND_CALLER), [helpline, contested.contester, contested.taker]],
    [[NOTE], [helpline, contested.contester]],
    [privateWords(THIRD_CALLER), [helpline, missed.waiter, missed.taker]],
    [privateWords(FOUND_MAN), [inspection, prosecution]],
    [[FOUND_MAN.person.protection_status], [inspection]],
    [privateWords(FOUND_WOMAN), [inspection]],
  ];
}

/** Every agency looks at everything. @returns where it was refused, for the trail to show */
export async function walkRound(stage: Stage, night: Night): Promise<Refusal[]> {
  const { cast, timeline } = stage;
  const lines = table(stage, night);
  const refusals: Refusal[] = [];
  const sees = async (agency: Agency): Promise<void> => {
    for (const line of lines) {
      const { of, referral } = line;
      const path = referral === undefined ? `/v1/cases/${of.case_id}` : `/v1/referrals/${referral}`;
      const answer = await agency.worker.get(path);
      const sight = referral === undefined ? sightOfCase(answer) : sightOfReferral(answer);
      const what = `what ${agency.name} sees of ${referral === undefined ? 'the case' : 'a referral'} of ${of.called}`;
      expect(what, sight, inOrder(sightFor(agency, line)));
      if (sight === 'nothing')
        refusals.push({ who: agency, case_id: of.case_id, action: referral === undefined ? 'case.read' : 'referral.read' });
    }
    await lookIntoTheInbox(cast, agency, lines);
  };
  await Promise.all(Object.values(cast).map(sees));
  for (const agency of Object.values(cast)) for (const words of inWords(agency, lines)) timeline.step(agency.name, words);
  return refusals;
}

const sightFor = (agency: Agency, { seen_by }: Line): Sight => seen_by.find(([who]) => who === agency)?.[1] ?? 'nothing';

const inOrder = (sight: Sight): Sight => (typeof sight === 'string' ? sight : [...sight].sort());

/** What an answer amounts to; `undefined` where it is none of these things, or more than one. */
function sightOfCase({ status, body }: Answer): Sight | undefined {
  if (status === 404) return 'nothing';
  if (status !== 200) return undefined;
  const fields = Object.keys(body);
  if (fields.includes('categories_held'))
    return hasOnly(fields, ['id', 'version', 'categories_held', 'deletion_due_at']) ? 'stub' : undefined;
  if (!fields.includes('data')) return fields.includes('withheld') || fields.includes('group_id') ? undefined : 'masked';
  if (fields.includes('group_id')) return body.withheld.length === 0 && body.data.source ? 'whole' : undefined;
  const shown = Object.keys(body.data).sort();
  return shown.some(category => body.withheld.includes(category)) ? undefined : shown;
}

function sightOfReferral({ status, body }: Answer): Sight | undefined {
  if (status === 404) return 'nothing';
  if (status !== 200) return undefined;
  const { profile, disclosure, offers } = body;
  if (offers !== undefined && disclosure?.data === undefined) return profile ? 'whole' : disclosure ? undefined : 'masked';
  if (disclosure !== undefined) {
    const shown = Object.keys(disclosure.data).sort();
    return isDeepStrictEqual(shown, [...disclosure.categories].sort()) ? shown : undefined;
  }
  if (profile !== undefined) return body.case_id === undefined ? 'profile' : undefined;
  return ENDED.includes(body.status) ? 'stub' : undefined;
}

const ENDED = ['expired', 'declined', 'failed'];

const hasOnly = (fields: readonly string[], allowed: readonly string[]): boolean =>
  fields.every(field => allowed.includes(field));

/** In the inbox stands what the agency may see of the night's referrals, and no other of them. */
async function lookIntoTheInbox({ audit_body }: Stage['cast'], agency: Agency, lines: readonly Line[]): Promise<void> {
  const referrals = lines.filter(({ referral }) => referral !== undefined);
  const ours = referrals.map(({ referral }) => referral!).sort();
  const found: string[] = [];
  for (let cursor = ''; ; ) {
    const answer = await agency.worker.get(`/v1/referrals?box=all&limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    if (agency === audit_body) return void must(answer, 403, 'an auditor has a trail, and no inbox');
    const { data, next_cursor } = must(answer, 200, `${agency.name} looks into its inbox`).body;
    const ids: string[] = data.map(({ id }: { id: string }) => id);
    found.push(...ids.filter(id => ours.includes(id)));
    // Newest first: behind the oldest of the night are those of other nights.
    if (next_cursor === null || ids.at(-1)! < ours[0]!) break;
    cursor = next_cursor;
  }
  const may = referrals.filter(line => sightFor(agency, line) !== 'nothing').map(({ referral }) => referral!);
  expect(`the inbox of ${agency.name}`, found.sort(), may.sort());
}

/** What the agency saw, for whoever looks on: the same sight of several people is said once. */
function inWords(agency: Agency, lines: readonly Line[]): string[] {
  const seen = new Map<string, { sight: Sight; called: Set<string> }>();
  for (const line of lines) {
    const sight = sightFor(agency, line);
    const sees_case = lines.some(it => it.of === line.of && !it.referral && sightFor(agency, it) !== 'nothing');
    // A referral says the same as its case, where both are seen.
    if (sight === 'nothing' || (line.referral && sees_case)) continue;
    const alike = seen.getOrInsertComputed(sight.toString(), () => ({ sight, called: new Set() }));
    alike.called.add(line.of.called);
  }
  if (seen.size === 0) return ['sees nothing: for it, none of these cases exists'];
  const all = new Set(lines.map(({ of }) => of.called)).size;
  return [...seen.values()].map(({ sight, called }) => plainly(sight, called.size === all ? 'all of them' : AND.format(called)));
}

const AND = new Intl.ListFormat('en');

function plainly(sight: Sight, them: string): string {
  if (sight === 'whole') return `reads everything in its own cases: ${them}`;
  if (sight === 'masked') return `sees where each of them stands, and of nobody who it is: ${them}`;
  if (sight === 'profile') return `sees a profile without a name: ${them}`;
  if (sight === 'stub') return `was asked once, keeps a number and reads no word: ${them}`;
  if (sight === 'nothing' || sight.length === 0) return `reads nothing any more: ${them}`;
  return `reads ${sight.map(category => PLAIN[category] ?? category).join(', ')}, and no more: ${them}`;
}

const PLAIN: Record<string, string> = {
  identity: 'name',
  contact: 'safe contact',
  demographics: 'age and languages',
  narrative: 'story',
  labour: 'working conditions',
};

/** In all that was said to an agency, in answers and webhooks, is nothing that was not meant for it; and what was meant arrived. */
export function keepConfidences(stage: Stage, night: Night): void {
  const { cast, timeline } = stage;
  const agencies = Object.values(cast);
  const heard = (agency: Agency, what: string) => agency.heard.some(text => text.includes(what));
  for (const [words, ears] of confidences(stage, night)) {
    for (const agency of agencies) {
      const count = words.filter(word => heard(agency, word)).length;
      expect(`how many private words ${agency.name} heard`, count, ears.includes(agency) ? words.length : 0);
    }
  }

  const { audit_body, shelter_a, shelter_b } = cast;
  const knows = (agency: Agency, matter: Matter) =>
    table(stage, night).some(line => line.of === matter && !line.referral && sightFor(agency, line) !== 'nothing');
  // The auditor reads the whole trail, by ids: of cases and of whoever did something.
  for (const agency of agencies.filter(it => it !== audit_body)) {
    for (const matter of stage.matters)
      expectThat(`${agency.name} knows of ${matter.called} or does not`, heard(agency, matter.case_id) === knows(agency, matter));
    for (const shelter of [shelter_a, shelter_b].filter(it => it !== agency))
      expectThat(`no answer or webhook names a protected shelter to ${agency.name}`, !heard(agency, shelter.id));
  }
  timeline.step('Nobody', 'heard a name, a story or a telephone number that was not meant for them, nor which shelter it was');
}
