import { read } from '../audit/read.ts';
import { requireAssigned } from '../cases/assignments.ts';
import { type CaseRow, lockVisibleCase } from '../cases/store.ts';
import { caseRelations } from '../cases/view.ts';
import { type Action, type AgencyActor, authorise } from '../core/access.ts';
import { type Crisis, modeUnder } from '../core/crisis.ts';
import { type Expert, isLanguageTag, matchExperts as rank, type Wanted } from '../core/experts.ts';
import { type Fault, Problem } from '../core/problem.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import { getCurrentRulePack } from '../rules/store.ts';
import type { Services } from '../services.ts';
import type { Against } from './details.ts';
import type { Match, MatchBody } from './schema.ts';
import { personOf, sidesOf } from './sides.ts';
import { listRoster, type RosterRow } from './store.ts';
import { hashesIn, openTies, sought } from './ties.ts';

/** Which experts could help, for any agency: without name or contact, and without a word of who was left out, or why. */

/** @throws Problem `not_found`, `forbidden`, `access_reason_required`, `unprocessable` */
export const matchExperts = (services: Services, actor: AgencyActor, body: MatchBody) =>
  read(services, actor, 'expert.match', body.case_id === undefined ? null : { subject_id: body.case_id }, async tx => {
    await requireCase(services, tx, actor, 'expert.match', body.case_id);
    const { skill, languages = [], modes = [], sex, jurisdiction, region = null, remote_ok = false } = body;
    const span = requireTime(body, services.now());
    requireTags(languages.map((tag, i) => [`/languages/${i}`, tag]));
    const wanted: Wanted = {
      ...{ skill, languages, modes, sex, jurisdiction, region, remote_ok },
      ...span,
      agency_ids: await sidesOf(tx, actor.agency_id, body.case_id ?? null),
      against: hashesIn(await againstOf(services, tx, body)),
    };
    const experts = await asSystem(tx, 'matcher', tx => listRoster(tx, { skill, jurisdiction }));
    // Another order for another time, so that nobody on the roster is always first.
    const tie_key = services.vault.subjectIndex(`experts ${skill} ${span.from.toISOString()}`).toString('hex');
    const { crisis } = await getCurrentRulePack(services, tx, jurisdiction, region);
    const known = experts.map(row => expertOf(services, row, crisis));
    return { data: rank(known, wanted, tie_key).map(viewMatch) };
  });

const viewMatch = ({ expert, score, reasons }: ReturnType<typeof rank>[number]): Match => {
  const { id, agency_id, skills, languages, sex, regions, remote } = expert;
  return { id, agency_id, skills: [...skills], languages: [...languages], sex, regions: [...regions], remote, score, reasons };
};

/**
 * The case that it is for, which the caller owns or holds; none: anybody's need.
 * @throws Problem `not_found`, `forbidden`, `access_reason_required`
 */
export async function requireCase(
  services: Services,
  tx: Tx,
  actor: AgencyActor,
  action: Action,
  case_id: string | undefined,
): Promise<CaseRow | undefined> {
  if (case_id === undefined) {
    authorise(actor, action, ['self']);
    return undefined;
  }
  const found = await lockVisibleCase(tx, case_id, 'share');
  authorise(actor, action, await caseRelations(tx, actor, found));
  await requireAssigned(services, tx, actor, case_id);
  return found;
}

/** Whom the expert must not know: whoever is named, and the person of the case. */
export async function againstOf(
  services: Services,
  tx: Tx,
  { against = [], case_id }: Pick<MatchBody, 'against' | 'case_id'>,
): Promise<Against[]> {
  const named = against.map(({ role, ...person }) => sought(services.vault, role, person));
  return case_id === undefined ? named : [...named, ...(await personOf(services, tx, case_id))];
}

/** An expert as the rules see it, while this crisis lasts. */
export const expertOf = (
  { vault }: Services,
  { open, ties, agency_kind, ...row }: RosterRow,
  crisis: Crisis | undefined,
): Expert => {
  const spans = open.map(({ from, to, status }) => ({ from: new Date(from), to: new Date(to), status }));
  return {
    ...row,
    operating_mode: modeUnder(row.operating_mode, agency_kind, crisis),
    unavailable: row.unavailable.map(({ from, to }) => ({ from: new Date(from), to: new Date(to) })),
    held: spans.filter(({ status }) => status === 'confirmed'),
    pending: spans.filter(({ status }) => status === 'requested').length,
    ties: hashesIn(openTies(vault, { id: row.id, ties })),
  };
};

const LONGEST_MS = 31 * 86_400_000;
const LATEST_MS = 2 * 365 * 86_400_000;

/** From when to when somebody is needed. @throws Problem `unprocessable` */
export function requireTime({ from, to }: { from: string; to: string }, now: Date): { from: Date; to: Date } {
  const span = { from: new Date(from), to: new Date(to) };
  const errors: Fault[] = [];
  const length = span.to.getTime() - span.from.getTime();
  if (length <= 0) errors.push({ pointer: '/to', detail: 'does not lie after from' });
  else if (span.to <= now) errors.push({ pointer: '/to', detail: 'is over already' });
  else if (length > LONGEST_MS) errors.push({ pointer: '/to', detail: 'lies more than 31 days after from' });
  if (span.from.getTime() > now.getTime() + LATEST_MS)
    errors.push({ pointer: '/from', detail: 'lies more than two years ahead' });
  if (errors.length > 0) throw new Problem('unprocessable', { errors });
  return span;
}

/** @throws Problem `unprocessable` */
export function requireTags(tags: readonly (readonly [pointer: string, tag: string])[]): void {
  const errors = tags.flatMap(([pointer, tag]) => (isLanguageTag(tag) ? [] : [{ pointer, detail: 'is not a BCP 47 tag' }]));
  if (errors.length > 0) throw new Problem('unprocessable', { errors });
}
