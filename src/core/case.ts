import type { Category, DangerFlag, ProtectionStatus, Service, Sex } from './codes.ts';

/**
 * What a case holds of a person, by category; what may be shown of it before anybody accepted; and what an amendment changes.
 * The category of a field decides who may ever see it, so this is the one place that assigns fields to categories.
 */

export interface SafeContact {
  safe_to_call?: boolean;
  method?: string;
  value?: string;
  window?: string;
  time_zone?: string;
  code_word?: string;
  do_not_use?: string[];
  shared_device?: boolean;
  message_allowed?: boolean;
  verified_at?: string;
}

/** A case as a first responder writes it down: the body of `POST /v1/cases`. */
export interface CaseDocument {
  intake: { channel: string; received_at: string; complainant?: boolean; narrative?: string };
  person?: {
    given_name?: string;
    family_name?: string;
    date_of_birth?: string;
    estimated_age?: number;
    sex?: Sex;
    nationalities?: string[];
    languages?: string[];
    protection_status?: ProtectionStatus;
    safe_contact?: SafeContact;
  };
  dependants?: { age?: number; sex?: Sex }[];
  danger_flags?: DangerFlag[];
  needs?: Service[];
  exploitation?: { forms?: string[]; sectors?: string[]; from?: string; to?: string };
  /** Of having taken part in the exploitation. */
  suspected?: boolean;
}

export type CaseData = Partial<Record<Category, Record<string, unknown>>>;

/** The fields of each category; `criminal_justice` is filled by later acts. */
export function toCategories(document: CaseDocument): CaseData {
  const { intake, person = {}, dependants, danger_flags, needs, exploitation, suspected } = document;
  const {
    given_name,
    family_name,
    date_of_birth,
    nationalities,
    estimated_age,
    sex,
    languages,
    protection_status,
    safe_contact,
  } = person;
  return compact({
    identity: { given_name, family_name, date_of_birth, nationalities },
    contact: { safe_contact: safe_contact && contactInUtc(safe_contact) },
    demographics: { estimated_age, sex, languages },
    narrative: { narrative: intake.narrative },
    health: { needs, danger_flags },
    protection_status: { protection_status },
    labour: { exploitation },
    family: { dependants },
    // Like who complained: never told to whoever helps the person, nor to the next owner.
    source: { intake: sourceOf(intake), suspected },
  });
}

/** Nothing where the source is withheld from whoever amends: an owner to which the case went over. */
const sourceOf = ({ channel, received_at, complainant }: Partial<CaseDocument['intake']>) =>
  channel === undefined && received_at === undefined
    ? undefined
    : {
        channel,
        received_at: received_at === undefined ? undefined : inUtc(received_at),
        ...(complainant === undefined ? {} : { complainant }),
      };

const inUtc = (instant: string): string => new Date(instant).toISOString();

const contactInUtc = (contact: SafeContact): SafeContact =>
  contact.verified_at === undefined ? contact : { ...contact, verified_at: inUtc(contact.verified_at) };

/** The inverse of {@link toCategories}. */
export function toDocument(data: CaseData): CaseDocument {
  const { identity, contact, demographics, narrative, health, protection_status, labour, family, source } = data;
  return {
    ...health,
    ...labour,
    ...family,
    ...(source?.suspected === undefined ? {} : { suspected: source.suspected as boolean }),
    intake: { ...(source?.intake as CaseDocument['intake']), ...narrative },
    person: { ...identity, ...contact, ...demographics, ...protection_status },
  };
}

function compact(data: CaseData): CaseData {
  const known = Object.entries(data).map(
    ([category, fields]) =>
      [category, Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))] as const,
  );
  return Object.fromEntries(known.filter(([, fields]) => Object.keys(fields).length > 0));
}

/** RFC 7396: members of `patch` replace, null removes, objects merge, arrays are replaced whole. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged: Record<string, unknown> = { ...(isObject(target) ? target : {}) };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else merged[name] = mergePatch(merged[name], value);
  }
  return merged;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The categories of the document in which two states of a case differ; what later acts fill is not an amendment's to change. */
export const changedCategories = (before: CaseData, after: CaseData): Category[] =>
  ([...new Set([...Object.keys(before), ...Object.keys(after)])] as Category[]).filter(
    category =>
      category !== 'criminal_justice' && JSON.stringify(sorted(before[category])) !== JSON.stringify(sorted(after[category])),
  );

const sorted = (fields: Record<string, unknown> | undefined) =>
  fields && Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1));

/** What an offer shows before it is accepted: enough to say yes or no, nothing that names. */
export interface Profile {
  sex: Sex;
  age_band: (typeof AGE_BANDS)[number] | 'unknown';
  dependants: number;
  languages: string[];
  needs: Service[];
  danger_flags: DangerFlag[];
}

/** The profile and what the router looks at beside it. Kept sealed; only {@link shownProfile} of it is shown. */
export interface RoutingProfile extends Omit<Profile, 'age_band'> {
  date_of_birth: string | null;
  estimated_age: { years: number; at: string } | null;
  protection_status: ProtectionStatus;
  /** Whether the person complained of what was found. */
  complainant: boolean;
  /** Whether the person is suspected of having taken part in the exploitation. */
  suspected: boolean;
}

export const AGE_BANDS = ['0-11', '12-17', '18-24', '25-59', '60+'] as const;

/** @param earlier what it is made anew from: an estimate of age that stands goes on from the day on which it was made */
export function routingProfile(
  { intake, person = {}, dependants = [], needs = [], danger_flags = [], suspected = false }: CaseDocument,
  now: Date,
  earlier?: Pick<RoutingProfile, 'estimated_age'>,
): RoutingProfile {
  const { estimated_age: years } = person;
  const estimated_age =
    years === undefined
      ? null
      : earlier?.estimated_age?.years === years
        ? earlier.estimated_age
        : { years, at: now.toISOString().slice(0, 10) };
  return {
    sex: person.sex ?? 'unknown',
    date_of_birth: person.date_of_birth ?? null,
    estimated_age,
    dependants: dependants.length,
    languages: person.languages ?? [],
    needs,
    danger_flags,
    protection_status: person.protection_status ?? 'unknown',
    complainant: intake.complainant ?? false,
    suspected,
  };
}

/** Years of age at `now`, by date of birth where it is known. */
export function ageAt(profile: Pick<RoutingProfile, 'date_of_birth' | 'estimated_age'>, now: Date): number | null {
  const { date_of_birth, estimated_age } = profile;
  if (date_of_birth) return yearsBetween(date_of_birth, now);
  return estimated_age ? estimated_age.years + yearsBetween(estimated_age.at, now) : null;
}

function yearsBetween(day: string, now: Date): number {
  const [year = 0, month = 0, date = 0] = day.split('-').map(Number);
  const before_anniversary = now.getUTCMonth() + 1 < month || (now.getUTCMonth() + 1 === month && now.getUTCDate() < date);
  return Math.max(0, now.getUTCFullYear() - year - (before_anniversary ? 1 : 0));
}

const ageBand = (age: number | null): Profile['age_band'] => (age === null ? 'unknown' : bandOf(age));

/** @param age in years */
export const bandOf = (age: number): (typeof AGE_BANDS)[number] =>
  age < 12 ? '0-11' : age < 18 ? '12-17' : age < 25 ? '18-24' : age < 60 ? '25-59' : '60+';

export const shownProfile = (profile: RoutingProfile, now: Date): Profile => ({
  sex: profile.sex,
  age_band: ageBand(ageAt(profile, now)),
  dependants: profile.dependants,
  languages: profile.languages,
  needs: profile.needs,
  danger_flags: profile.danger_flags,
});

/** Fields whose change is told at once to everybody who holds the case: where and how it is safe to reach the person. */
export const touchesSafety = (before: CaseData, after: CaseData, risk_changed: boolean): boolean =>
  risk_changed ||
  changedCategories({ contact: before.contact }, { contact: after.contact }).length > 0 ||
  JSON.stringify(before.health?.danger_flags ?? []) !== JSON.stringify(after.health?.danger_flags ?? []);
