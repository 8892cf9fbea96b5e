import { act } from '../audit/act.ts';
import { read } from '../audit/read.ts';
import { record } from '../audit/record.ts';
import { type AgencyActor, authorise, expectVersion, type Relation } from '../core/access.ts';
import { isLanguageTag, type SpokenLanguage } from '../core/experts.ts';
import { checkSchedules, type Schedule } from '../core/opening.ts';
import { type Fault, Problem, raise } from '../core/problem.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import { pageById } from '../platform/http/paging.ts';
import { newId } from '../platform/ids.ts';
import type { Services } from '../services.ts';
import { endAsked } from './progress.ts';
import type { ExpertPatch, ExpertView, NewExpert } from './schema.ts';
import {
  type ExpertRow,
  findContact,
  findExpert,
  insertExpert,
  listExperts as listRows,
  lockExpert,
  putContact,
  saveExpert,
} from './store.ts';
import { contactPlace, openTies, sealTies } from './ties.ts';

/**
 * The experts whom an agency keeps on its roster: its supervisors keep them, its caseworkers, who answer for them, may read them.
 * Nobody else finds them here; others look for whom they need (matching.ts). The contact is shown one expert at a time.
 */

type Contact = NonNullable<ExpertView['contact']>;

export const createExpert = (services: Services, actor: AgencyActor, body: NewExpert) =>
  act(services, actor, 'expert.create', viewExpert(services, actor), async (tx, now) => {
    authorise(actor, 'expert.manage', ['self']);
    const { contact, conflicts = {}, languages = [], availability = [], unavailable = [], certifications = [], ...stated } = body;
    requireSense({ languages, availability, unavailable, jurisdictions: stated.jurisdictions, regions: stated.regions ?? [] });
    const id = newId('xpt');
    await insertExpert(tx, {
      id,
      agency_id: actor.agency_id,
      status: 'active',
      regions: [],
      remote: false,
      ...stated,
      languages: JSON.stringify(languages),
      availability: JSON.stringify(availability),
      unavailable: JSON.stringify(unavailable),
      certifications: JSON.stringify(certifications),
      employer_agency_ids: conflicts.agency_ids ?? [],
      ties: sealTies(services.vault, id, conflicts.relations ?? []),
      created_at: now,
      updated_at: now,
    });
    await saveContact(services, tx, id, actor.agency_id, { phone: null, email: null, ...contact });
    const receipt = await record(services, tx, actor, {
      action: 'expert.create',
      resource_type: 'expert',
      subjects: [{ subject_id: id }],
    });
    return { id, receipt };
  });

/**
 * Changes an expert (merge patch). Where what is declared stands against a request that is open, that request ends.
 * @throws Problem `not_found`, `forbidden`, `unprocessable`, `precondition_required`, `precondition_failed`
 */
export const changeExpert = (services: Services, actor: AgencyActor, id: string, patch: ExpertPatch) =>
  act(services, actor, 'expert.change', viewExpert(services, actor), async (tx, now) => {
    const expert = (await lockExpert(tx, id, 'update')) ?? raise('not_found');
    authorise(actor, 'expert.manage', expertRelations(actor, expert));
    const { contact, conflicts, languages, availability, unavailable, certifications, ...stated } = patch;
    requireSense({ ...expert, ...patch });
    expectVersion(actor, expert.version, { required: true });

    await saveExpert(
      tx,
      id,
      {
        ...stated,
        ...asJson({ languages, availability, unavailable, certifications }),
        ...(conflicts?.agency_ids ? { employer_agency_ids: conflicts.agency_ids } : {}),
        ...(conflicts?.relations ? { ties: sealTies(services.vault, id, conflicts.relations) } : {}),
      },
      now,
    );
    if (contact) {
      const before = await openContact(services, tx, id);
      await saveContact(services, tx, id, actor.agency_id, { ...before!, ...contact });
    }
    if (conflicts) await asSystem(tx, 'matcher', tx => endAsked(services, tx, id, now));
    const receipt = await record(services, tx, actor, {
      action: 'expert.change',
      resource_type: 'expert',
      subjects: [{ subject_id: id, changed: Object.keys(patch), ...(stated.status ? { status: stated.status } : {}) }],
    });
    return { id, receipt };
  });

/** One expert of the caller's own roster, with the contact. @throws Problem `not_found`, `forbidden` */
export const getExpert = (services: Services, actor: AgencyActor, id: string) =>
  read(services, actor, 'expert.read', { subject_id: id }, async tx => {
    const view = await viewExpert(services, actor)(tx, id);
    authorise(actor, 'expert.read', ['self']);
    return view;
  });

/** The caller's own roster, newest first, without contacts. @throws Problem `forbidden` */
export const listExperts = (
  services: Services,
  actor: AgencyActor,
  query: { status?: ExpertRow['status']; skill?: ExpertRow['skills'][number]; limit?: number; cursor?: string },
) =>
  read(services, actor, 'expert.list', null, async tx => {
    authorise(actor, 'expert.read', ['self']);
    return pageById(
      query,
      (before_id, limit) => listRows(tx, { ...query, agency_id: actor.agency_id }, before_id, limit),
      async rows => rows.map(row => expertView(services, row)),
    );
  });

/** Whoever keeps the expert, and nobody else. */
const expertRelations = (actor: AgencyActor, { agency_id }: ExpertRow): Relation[] =>
  agency_id === actor.agency_id ? ['self'] : [];

/** @throws Problem `not_found` also of what another agency keeps */
const viewExpert =
  (services: Services, actor: AgencyActor) =>
  async (tx: Tx, id: string): Promise<ExpertView> => {
    const expert = (await findExpert(tx, id)) ?? raise('not_found');
    if (expertRelations(actor, expert).length === 0) throw new Problem('not_found');
    return { ...expertView(services, expert), contact: await openContact(services, tx, id) };
  };

function expertView(services: Services, expert: ExpertRow): ExpertView {
  const { ties, employer_agency_ids, created_at, updated_at, ...view } = expert;
  return {
    ...view,
    conflicts: {
      relations: openTies(services.vault, expert).map(({ as }) => ({ kind: as })),
      agency_ids: employer_agency_ids,
    },
    created_at: created_at.toISOString(),
    updated_at: updated_at.toISOString(),
  };
}

/** How to reach the expert; undefined where the second wall says no. */
export async function openContact({ vault }: Services, tx: Tx, id: string): Promise<Contact | undefined> {
  const found = await findContact(tx, id);
  return found && (JSON.parse(vault.openOwn(contactPlace(id), found.sealed)) as Contact);
}

const saveContact = ({ vault }: Services, tx: Tx, expert_id: string, agency_id: string, contact: Contact): Promise<void> =>
  putContact(tx, { expert_id, agency_id, sealed: vault.sealOwn(contactPlace(expert_id), JSON.stringify(contact)) });

const asJson = <K extends string>(lists: Record<K, unknown>): Partial<Record<K, string>> =>
  Object.fromEntries(
    Object.entries(lists)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, JSON.stringify(value)]),
  ) as Partial<Record<K, string>>;

interface Stated {
  languages: readonly Pick<SpokenLanguage, 'tag'>[];
  availability: readonly Schedule[];
  unavailable: readonly { from: string; to: string }[];
  jurisdictions: readonly string[];
  regions: readonly string[];
}

/** @throws Problem `unprocessable` */
function requireSense({ languages, availability, unavailable, jurisdictions, regions }: Stated): void {
  const countries = jurisdictions.map(place => place.slice(0, 2));
  const errors: Fault[] = [
    ...languages.flatMap(({ tag }, i) =>
      isLanguageTag(tag) ? [] : [{ pointer: `/languages/${i}/tag`, detail: 'is not a BCP 47 tag' }],
    ),
    ...checkSchedules(availability, '/availability'),
    ...unavailable.flatMap(({ from, to }, i) =>
      Date.parse(from) < Date.parse(to) ? [] : [{ pointer: `/unavailable/${i}/to`, detail: 'does not lie after from' }],
    ),
    ...regions.flatMap((region, i) =>
      countries.includes(region.slice(0, 2)) ? [] : [{ pointer: `/regions/${i}`, detail: 'lies outside the jurisdictions' }],
    ),
  ];
  if (errors.length > 0) throw new Problem('unprocessable', { errors });
}
