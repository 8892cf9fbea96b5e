import { type Static, type TProperties, Type } from 'typebox';
import { AGE_BANDS } from '../core/case.ts';
import {
  AGENCY_KINDS,
  CATEGORIES,
  CHANNELS,
  CLOSE_REASONS,
  CONTACT_METHODS,
  DANGER_FLAGS,
  LAWFUL_GROUNDS,
  PROTECTION_STATUSES,
  PURPOSES,
  RISKS,
  SERVICES,
  SEXES,
  STAGES,
  TRACKS,
} from '../core/codes.ts';
import { EVENT_TYPES } from '../core/events.ts';
import { REFERENCE_PATTERN } from '../core/ids.ts';
import { WHY_UNMET } from '../core/unmet.ts';
import {
  Closed,
  Code,
  Codes,
  Day,
  Id,
  Instant,
  Jurisdiction,
  Language,
  Named,
  Nullable,
  Region,
  StaffCode,
  Text,
} from '../platform/http/openapi.ts';

const Optional = Type.Optional;
const Name = () => Text(200);
const Country = () => Type.String({ pattern: '^[A-Z]{2}$', description: 'ISO 3166-1 alpha-2' });
const Years = () => Type.Integer({ minimum: 0, maximum: 120 });

const SafeContact = Closed({
  safe_to_call: Optional(Type.Boolean()),
  method: Optional(Code(CONTACT_METHODS)),
  value: Optional(Text(300)),
  window: Optional(Text(200)),
  time_zone: Optional(Text(60)),
  code_word: Optional(Text(100)),
  do_not_use: Optional(Type.Array(Text(300), { maxItems: 20 })),
  shared_device: Optional(Type.Boolean()),
  message_allowed: Optional(Type.Boolean()),
  verified_at: Optional(Instant()),
});
const Dependants = Type.Array(Closed({ age: Optional(Years()), sex: Optional(Code(SEXES)) }), { maxItems: 20 });
const Exploitation = Closed({
  forms: Optional(Type.Array(Text(100), { maxItems: 20 })),
  sectors: Optional(Type.Array(Text(100), { maxItems: 20 })),
  from: Optional(Day()),
  to: Optional(Day()),
});

const person = {
  given_name: Name(),
  family_name: Name(),
  date_of_birth: Day(),
  estimated_age: Years(),
  sex: Code(SEXES),
  nationalities: Type.Array(Country(), { maxItems: 10 }),
  languages: Type.Array(Language(), { maxItems: 20 }),
  protection_status: Code(PROTECTION_STATUSES),
  safe_contact: SafeContact,
};
const content = { dependants: Dependants, danger_flags: Codes(DANGER_FLAGS), needs: Codes(SERVICES), exploitation: Exploitation };
const Complainant = () =>
  Type.Boolean({
    description: 'Whether the person is who complained of what was found: never told, and some agencies never receive them',
  });
const Suspected = () =>
  Type.Boolean({
    description: 'Whether the person is suspected of having taken part: never told, and kept apart from the rest of the family',
  });
const GroupId = () => Id('grp');
export const MOST_MEMBERS = 100;
const Family = () =>
  Type.Integer({
    minimum: 1,
    maximum: MOST_MEMBERS,
    description: 'Of the group: those with the same number are one family, and stay together',
  });

const optional = <T extends TProperties>(fields: T) => Type.Partial(Type.Object(fields)).properties;
/** For a merge patch: each field may be set, or removed by null. */
const removable = (fields: TProperties): TProperties =>
  Object.fromEntries(Object.entries(fields).map(([name, schema]) => [name, Optional(Nullable(schema))]));

const NewCase = {
  track: Code(TRACKS),
  jurisdiction: Jurisdiction(),
  region: Optional(Region()),
  risk: Code(RISKS),
  intake: Closed({
    channel: Code(CHANNELS),
    received_at: Instant(),
    complainant: Optional(Complainant()),
    narrative: Optional(Text(20_000)),
  }),
  person: Optional(Closed(optional(person))),
  ...optional(content),
  suspected: Optional(Suspected()),
};
export const CaseBody = Named('NewCase', { ...NewCase, group_id: Optional(GroupId()), family: Optional(Family()) });
export type CaseBody = Static<typeof CaseBody>;

/** One of a group that is opened with its members. */
export const MemberBody = Named('NewGroupMember', NewCase);
export type MemberBody = Static<typeof MemberBody>;

export const CasePatch = Closed(
  {
    track: Optional(Code(TRACKS)),
    region: Optional(Nullable(Region())),
    risk: Optional(Code(RISKS)),
    intake: Optional(
      Closed({
        channel: Optional(Code(CHANNELS)),
        received_at: Optional(Instant()),
        complainant: Optional(Nullable(Complainant())),
        narrative: Optional(Nullable(Text(20_000))),
      }),
    ),
    person: Optional(Nullable(Closed(removable({ ...person, safe_contact: Closed(removable(SafeContact.properties)) })))),
    ...removable({ ...content, exploitation: Closed(removable(Exploitation.properties)), suspected: Suspected() }),
    group_id: Optional(Nullable(GroupId())),
    family: Optional(Nullable(Family())),
  },
  { minProperties: 1 },
);
export type CasePatch = Record<string, unknown> & {
  track?: string;
  region?: string | null;
  risk?: string;
  group_id?: string | null;
  family?: number | null;
};

/** `{category: {fields}}`, as case reads and disclosures show it. */
export const CategoryData = Named('CategoryData', {
  identity: Optional(
    Closed(
      optional({
        given_name: person.given_name,
        family_name: person.family_name,
        date_of_birth: person.date_of_birth,
        nationalities: person.nationalities,
      }),
    ),
  ),
  contact: Optional(Closed({ safe_contact: Optional(SafeContact) })),
  demographics: Optional(Closed(optional({ estimated_age: person.estimated_age, sex: person.sex, languages: person.languages }))),
  narrative: Optional(Closed({ narrative: Optional(Text(20_000)) })),
  health: Optional(Closed(optional({ needs: content.needs, danger_flags: content.danger_flags }))),
  protection_status: Optional(Closed({ protection_status: Optional(Code(PROTECTION_STATUSES)) })),
  labour: Optional(Closed({ exploitation: Optional(Exploitation) })),
  family: Optional(Closed({ dependants: Optional(Dependants) })),
  criminal_justice: Optional(Closed({})),
  source: Optional(
    Closed({
      intake: Optional(Closed({ channel: Code(CHANNELS), received_at: Instant(), complainant: Optional(Complainant()) })),
      suspected: Optional(Suspected()),
    }),
  ),
});

export const ProfileView = Named('Profile', {
  sex: Code(SEXES),
  age_band: Code([...AGE_BANDS, 'unknown']),
  dependants: Type.Integer(),
  languages: Type.Array(Language()),
  needs: Codes(SERVICES),
  danger_flags: Codes(DANGER_FLAGS),
});

/** What an owner reads whole, a holder with `data` of its categories, a former holder as a stub, a coordinator masked. */
export const CaseView = Named('Case', {
  id: Id('cas'),
  reference: Optional(Type.String({ pattern: REFERENCE_PATTERN })),
  stage: Optional(Code(STAGES)),
  track: Optional(Code(TRACKS)),
  risk: Optional(Code(RISKS)),
  jurisdiction: Optional(Jurisdiction()),
  region: Optional(Nullable(Region())),
  owner_agency_id: Optional(Id('agy')),
  group_id: Optional(Nullable(GroupId())),
  family: Optional(Nullable(Family())),
  opened_at: Optional(Instant()),
  closed_at: Optional(Nullable(Instant())),
  close_reason: Optional(Nullable(Code(CLOSE_REASONS))),
  reopenings: Optional(
    Type.Array(Closed({ reopened_at: Instant(), reason: Text(1000) }), {
      description: 'For the owner: when, and in its own words why',
    }),
  ),
  version: Type.Integer(),
  updated_at: Optional(Instant()),
  unmet: Optional(
    Type.Array(
      Closed({
        service: Code(SERVICES),
        since: Instant(),
        why: Type.String({
          ...Code(WHY_UNMET),
          description: '`asked`: by a referral that nobody has taken; `law`: the rules demand it; `need`: the case has it',
        }),
      }),
      {
        description: 'For owner and coordinator: services without a live one. The coordinator is told those that were asked for',
      },
    ),
  ),
  data: Optional(CategoryData),
  withheld: Optional(Codes(CATEGORIES, { description: 'Categories without a grant, whether they hold anything or not' })),
  categories_held: Optional(Codes(CATEGORIES, { description: 'Of a party whose offer has ended: what it has to delete' })),
  deletion_due_at: Optional(Nullable(Instant())),
});
export type CaseView = Static<typeof CaseView>;

export const CaseQuery = {
  stage: Optional(Code(STAGES)),
  risk: Optional(Code(RISKS)),
  reference: Optional(Text(40)),
  status: Optional(Code(['open', 'closed'])),
  unmet: Optional(
    Type.Boolean({
      description: 'Whether a service was asked for that nobody provides; other needs are sealed, and not looked for',
    }),
  ),
  group_id: Optional(GroupId()),
};

export const CloseBody = Closed({ reason_code: Code(CLOSE_REASONS) });

export const ReopenBody = Closed({ reason: Text(1000, 1) });

export const AssigneesBody = Closed({ staff_codes: Type.Array(StaffCode(), { maxItems: 20, uniqueItems: true }) });
export const AssigneesView = Named('Assignees', {
  case_id: Id('cas'),
  agency_id: Id('agy'),
  staff_codes: Type.Array(StaffCode(), { description: "The agency's own; nobody: the case is open to all of them" }),
  version: Type.Integer({ description: '0 until the list is first set' }),
  updated_at: Nullable(Instant()),
});
export type AssigneesView = Static<typeof AssigneesView>;

const Placed = () => Closed({ region: Nullable(Region()), duty_contact: Nullable(Type.String()) });

export const DisclosureView = Named('DisclosureRecord', {
  id: Id('dsc'),
  case_id: Id('cas'),
  agency_id: Optional(Id('agy')),
  placed: Optional(Placed()),
  referral_id: Optional(Id('ref')),
  offer_id: Optional(Id('off')),
  inquiry_id: Optional({
    ...Id('inq'),
    description: 'In place of a referral and its offer: told to an inquiry of the audit body',
  }),
  purpose: Code([...SERVICES, 'audit']),
  categories: Codes(CATEGORIES, { description: 'Open now' }),
  categories_held: Codes(CATEGORIES, { description: 'Held, and not confirmed to be deleted while it goes on' }),
  ground: Code(['consent', 'ownership', 'inquiry', ...LAWFUL_GROUNDS]),
  started_at: Instant(),
  ended_at: Nullable(Instant()),
  deletion_due_at: Nullable(Instant()),
  deletion_confirmed_at: Nullable(Instant()),
});
export type DisclosureView = Static<typeof DisclosureView>;

export const TimelineItem = Named('TimelineItem', {
  at: Instant(),
  action: Type.String({ description: 'Noun and verb, as in the trail: `referral.accept`' }),
  type: Optional(Code(EVENT_TYPES)),
  by: Optional(Code(['system', 'duty_roster'])),
  agency_id: Optional(Id('agy')),
  placed: Optional(Placed()),
  staff_code: Optional(StaffCode()),
  referral_id: Optional(Id('ref')),
  referral_ids: Optional(Type.Array(Id('ref'), { description: 'What it meant something for' })),
  offer_id: Optional(Id('off')),
  consent_id: Optional(Id('cns')),
  resource_id: Optional(Type.String()),
  timer: Optional(Type.String({ description: 'Its name' })),
  code: Optional(Type.String()),
});
export type TimelineItem = Static<typeof TimelineItem>;

const Recipient = Type.Union([Closed({ agency_id: Id('agy') }), Closed({ agency_kind: Code(AGENCY_KINDS) })]);
const Guardian = Closed({
  relation: Text(100, 1),
  conflict: Code(['none', 'alleged', 'unassessed']),
  best_interest_decision: Optional(
    Closed(
      { decided_by_agency_id: Id('agy'), decided_at: Instant() },
      { description: 'Of the child authority: stands in where the guardian’s interests conflict, or may' },
    ),
  ),
});

export const ConsentBody = Named('NewConsent', {
  given_by: Code(['person', 'guardian']),
  guardian: Optional(Guardian),
  child_assent: Optional(Type.Boolean()),
  recipient: Recipient,
  purposes: Codes(PURPOSES, { minItems: 1 }),
  categories: Codes(CATEGORIES),
  expires_at: Optional(Instant()),
  interview_language: Language(),
  explained_by: StaffCode(),
  spoken_in_private: Type.Boolean(),
});
export type ConsentBody = Static<typeof ConsentBody>;

export const WithdrawBody = Closed({
  categories: Optional(Codes(CATEGORIES, { minItems: 1, description: 'Only these; without it, the whole grant' })),
  stop_service: Optional(Type.Boolean()),
  spoken_in_private: Type.Boolean(),
});
export type WithdrawBody = Static<typeof WithdrawBody>;

export const ConsentView = Named('Consent', {
  id: Id('cns'),
  case_id: Id('cas'),
  status: Code(['live', 'expired', 'withdrawn']),
  given_by: Code(['person', 'guardian']),
  guardian: Optional(Guardian),
  child_assent: Optional(Type.Boolean()),
  recipient: Recipient,
  purposes: Codes(PURPOSES),
  categories: Codes(CATEGORIES),
  expires_at: Nullable(Instant()),
  withdrawn_at: Nullable(Instant()),
  interview_language: Language(),
  explained_by: StaffCode(),
  spoken_in_private: Type.Boolean(),
  version: Type.Integer(),
  created_at: Instant(),
  updated_at: Instant(),
});
export type ConsentView = Static<typeof ConsentView>;
