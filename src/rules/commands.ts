import { act, type Outcome } from '../audit/act.ts';
import { type Read, read } from '../audit/read.ts';
import { record } from '../audit/record.ts';
import { type AgencyActor, authorise, expectFirstOrVersion } from '../core/access.ts';
import type { Calendar } from '../core/calendar.ts';
import { canonicalJson } from '../core/canonical.ts';
import { type Fault, Problem } from '../core/problem.ts';
import { checkRulePack, type RulePack } from '../core/rule-pack.ts';
import type { Tx } from '../platform/database.ts';
import { requestRouting } from '../referrals/store.ts';
import type { Services } from '../services.ts';
import { type CalendarRow, listCalendarsNamed } from './calendars/store.ts';
import { wholePack } from './packs.ts';
import type { RulePackBody } from './schema.ts';
import { findNewestPack, ILLUSTRATIVE_VERSION, insertRulePack, readRulePack } from './store.ts';

/**
 * Rule packs: everybody may look, administrators put them. A pack is put whole and holds at once for whatever starts; timers that
 * run keep the version that they were started under.
 */

type RulePackView = RulePack & { version: number; created_at: string | null };

const viewRulePack = async (tx: Tx, jurisdiction: string): Promise<RulePackView> => {
  const newest = await findNewestPack(tx, jurisdiction);
  const { calendar_ids, ...pack } = await readRulePack(tx, jurisdiction, newest?.version ?? null);
  const calendars = await listCalendarsNamed(tx, calendar_ids);
  return {
    ...pack,
    calendars: calendars.map(({ calendar }) => calendar),
    created_at: newest?.created_at.toISOString() ?? null,
  };
};

/** The pack in force: the jurisdiction's own, or the illustrative one. Its calendars are told as they now stand. */
export const getRulePackOf = (services: Services, actor: AgencyActor, jurisdiction: string): Promise<Read<RulePackView>> =>
  read(services, actor, 'rule_pack.read', { subject_id: jurisdiction }, tx => viewRulePack(tx, jurisdiction));

/**
 * Says what holds in a jurisdiction, whole: a first time, or in place of what was said before. Calendars of the pack that do not
 * exist yet are made.
 * @throws Problem `forbidden`, `unprocessable` with each fault, `precondition_required`, `precondition_failed`
 */
export async function putRulePack(
  services: Services,
  actor: AgencyActor,
  jurisdiction: string,
  { version: version_read, created_at: created_at_read, ...body }: RulePackBody,
): Promise<Outcome<RulePackView> & { created: boolean }> {
  const pack = wholePack(body);
  let created = false;
  const outcome = await act(services, actor, 'rule_pack.put', viewRulePack, async (tx, now) => {
    authorise(actor, 'rule_pack.put', ['reader', ...(actor.scopes.has('admin') ? (['admin'] as const) : [])]);
    const before = await findNewestPack(tx, jurisdiction, { lock: true });
    const standing = await listStanding(tx, pack);
    const known = standing.map(({ calendar }) => calendar);
    refuse([...faultsOfPlace(pack, jurisdiction, standing), ...checkRulePack(pack, known, now)]);
    expectFirstOrVersion(actor, before ?? readAsIllustrative(actor));
    refuse(faultsOfReading({ version: version_read, created_at: created_at_read }, before));

    created = !before;
    const version = (before?.version ?? ILLUSTRATIVE_VERSION) + 1;
    await insertRulePack(tx, pack, version, now, known);
    requestRouting(tx, { jurisdiction });
    const receipt = await record(services, tx, actor, {
      action: 'rule_pack.put',
      resource_type: 'rule_pack',
      subjects: [{ subject_id: jurisdiction, rule_pack_version: String(version) }],
    });
    return { id: jurisdiction, receipt };
  });
  return { ...outcome, created };
}

function refuse(errors: Fault[]): void {
  if (errors.length > 0) throw new Problem('unprocessable', { errors });
}

/** The calendars that exist of those that the pack holds or names. */
function listStanding(tx: Tx, { calendar_id, calendars, calendar_sources }: RulePack): Promise<CalendarRow[]> {
  const ids = new Set([calendar_id, ...calendars.map(({ id }) => id), ...calendar_sources.map(it => it.calendar_id)]);
  return listCalendarsNamed(tx, [...ids]);
}

/** A pack says of which jurisdiction it is, and changes no calendar by the way. */
function faultsOfPlace(pack: RulePack, jurisdiction: string, standing: readonly CalendarRow[]): Fault[] {
  const differing = pack.calendars.flatMap((calendar, i) => {
    const row = standing.find(({ id }) => id === calendar.id);
    if (!row || isSame(row.calendar, calendar)) return [];
    const detail = `differs from version ${row.version}; change it at /v1/calendars/${row.id}`;
    return [{ pointer: `/calendars/${i}`, detail }];
  });
  if (pack.jurisdiction === jurisdiction) return differing;
  return [{ pointer: '/jurisdiction', detail: 'is not the one that the path names' }, ...differing];
}

const isSame = (a: Calendar, b: Calendar): boolean => canonicalJson({ ...a }) === canonicalJson({ ...b });

/** Whoever read the illustrative pack may name its version, which nobody has put. */
function readAsIllustrative({ request: { if_match } }: AgencyActor): { version: number } | undefined {
  const was_read = if_match !== undefined && if_match !== 'any' && if_match.includes(ILLUSTRATIVE_VERSION);
  return was_read ? { version: ILLUSTRATIVE_VERSION } : undefined;
}

/** What the service counts may be sent back as it was read, and not otherwise. */
function faultsOfReading(
  { version, created_at }: Pick<RulePackBody, 'version' | 'created_at'>,
  before: { version: number; created_at: Date } | undefined,
): Fault[] {
  const detail = 'is not what was read: the service keeps it';
  const was_made = before?.created_at.getTime() ?? null;
  return [
    ...(version === undefined || version === (before?.version ?? ILLUSTRATIVE_VERSION) ? [] : [{ pointer: '/version', detail }]),
    ...(created_at === undefined || (created_at === null ? null : Date.parse(created_at)) === was_made
      ? []
      : [{ pointer: '/created_at', detail }]),
  ];
}
