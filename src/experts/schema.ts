import { type Static, Type } from 'typebox';
import { Schedule } from '../agencies/schema.ts';
import {
  AGAINST_ROLES,
  DECLINE_REASONS,
  EXPERT_CANCEL_REASONS,
  EXPERT_MODES,
  EXPERT_REQUEST_STATUSES,
  EXPERT_RULES,
  LANGUAGE_LEVELS,
  LANGUAGE_MODES,
  SEXES,
  SKILLS,
  TIE_KINDS,
  URGENCIES,
} from '../core/codes.ts';
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
  Text,
} from '../platform/http/openapi.ts';

const Optional = Type.Optional;
const STATUSES = ['active', 'suspended'] as const;
const MOST_PERSONS = 50;

const Languages = Type.Array(
  Closed({
    tag: {
      ...Language(),
      description: 'BCP 47, with the script where it matters: `ku-Arab`; sign languages have codes of their own: `ase`',
    },
    level: Code(LANGUAGE_LEVELS),
    modes: Codes(LANGUAGE_MODES, { minItems: 1 }),
  }),
  { maxItems: 50 },
);
const Certifications = Type.Array(Closed({ course: Text(200, 1), completed_on: Day(), expires_on: Nullable(Day()) }), {
  maxItems: 50,
});

const expert = {
  status: Code(STATUSES),
  skills: Codes(SKILLS, { minItems: 1 }),
  languages: Languages,
  sex: Code(SEXES),
  jurisdictions: Type.Array(Jurisdiction(), { minItems: 1, maxItems: 20, uniqueItems: true }),
  regions: Type.Array(Region(), { maxItems: 100, uniqueItems: true, description: 'Empty: all of the jurisdictions' }),
  remote: Type.Boolean({ description: 'Also helps by telephone or from afar' }),
  availability: Type.Array(Schedule, { maxItems: 30, description: 'Working hours, in the words of HSDS 3; empty: not known' }),
  unavailable: Type.Array(Closed({ from: Instant(), to: Instant() }), { maxItems: 200 }),
  certifications: Certifications,
};

const contact = { name: Text(200, 1), phone: Nullable(Text(100, 1)), email: Nullable(Text(200, 1)) };
const Contact = Named('ExpertContact', contact, { description: 'Never in lists' });

const person = { given_name: Text(200, 1), family_name: Text(200, 1), date_of_birth: Optional(Day()) };
const agency_ids = Type.Array(Id('agy'), { maxItems: 50, uniqueItems: true, description: 'Agencies for which the expert works' });
const Conflicts = Closed({
  relations: Optional(
    Type.Array(Closed({ kind: Code(TIE_KINDS), ...person }), {
      maxItems: MOST_PERSONS,
      description:
        'Whom the expert must not meet at work, whole. Give each spelling and each script that is known. Names are kept as keyed hashes alone, and come back in no answer',
    }),
  ),
  agency_ids: Optional(agency_ids),
});

export const NewExpert = Closed({
  ...Type.Partial(Type.Object(expert)).properties,
  skills: expert.skills,
  sex: expert.sex,
  jurisdictions: expert.jurisdictions,
  contact: Closed({ name: contact.name, phone: Optional(contact.phone), email: Optional(contact.email) }),
  conflicts: Optional(Conflicts),
});
export type NewExpert = Static<typeof NewExpert>;

export const ExpertPatch = Closed({
  ...Type.Partial(Type.Object(expert)).properties,
  contact: Optional(Closed(Type.Partial(Type.Object(contact)).properties)),
  conflicts: Optional(Conflicts),
});
export type ExpertPatch = Static<typeof ExpertPatch>;

export const ExpertParams = Closed({ id: Id('xpt') });

export const ExpertView = Named('Expert', {
  id: Id('xpt'),
  agency_id: Id('agy'),
  ...expert,
  conflicts: Closed({ relations: Type.Array(Closed({ kind: Code(TIE_KINDS) })), agency_ids }),
  contact: Optional(Contact),
  version: Type.Integer(),
  created_at: Instant(),
  updated_at: Instant(),
});
export type ExpertView = Static<typeof ExpertView>;

export const ExpertFilters = { status: Optional(Code(STATUSES)), skill: Optional(Code(SKILLS)) };

const Against = Type.Array(Closed({ ...person, role: Code(AGAINST_ROLES) }), {
  maxItems: MOST_PERSONS,
  description:
    'Whom the expert must not know: the suspect, the employer. Give each spelling and each script that is known. Kept as hashes alone',
});
const CaseOf = Optional(
  Type.String({ ...Id('cas'), description: 'Then the expert must not know the person of the case either' }),
);

export const MatchBody = Closed({
  skill: Code(SKILLS),
  languages: Optional(Type.Array(Language(), { maxItems: 10, uniqueItems: true, description: 'All of these' })),
  modes: Optional(Codes(LANGUAGE_MODES, { description: 'Each language in all of these; empty: in any' })),
  sex: Optional(Code(SEXES)),
  jurisdiction: Jurisdiction(),
  region: Optional(Region()),
  remote_ok: Optional(Type.Boolean()),
  from: Instant(),
  to: Instant(),
  case_id: CaseOf,
  against: Optional(Against),
});
export type MatchBody = Static<typeof MatchBody>;

export const Match = Named('ExpertMatch', {
  id: Id('xpt'),
  agency_id: Id('agy'),
  skills: expert.skills,
  languages: Languages,
  sex: expert.sex,
  regions: expert.regions,
  remote: expert.remote,
  score: Type.Integer(),
  reasons: Type.Array(Closed({ rule: Code(EXPERT_RULES), points: Type.Integer(), text: Type.String() })),
});
export type Match = Static<typeof Match>;
export const Matches = Closed({ data: Type.Array(Match, { description: 'Best first' }) });

export const NewExpertRequest = Closed({
  expert_id: Id('xpt'),
  case_id: CaseOf,
  skill: Code(SKILLS),
  language: Optional(Language()),
  jurisdiction: Optional(Type.String({ ...Jurisdiction(), description: "Left out: the case's" })),
  region: Optional(Type.String({ ...Region(), description: "Left out: the case's" })),
  from: Instant(),
  to: Instant(),
  mode: Code(EXPERT_MODES),
  urgency: Code(URGENCIES),
  against: Optional(Against),
  note: Optional({ ...Text(2_000, 1), description: "For the requester's own people: whoever keeps the expert is not shown it" }),
});
export type NewExpertRequest = Static<typeof NewExpertRequest>;

export const ExpertRequestParams = Closed({ id: Id('xrq') });
export const NoBody = Closed({});
export const DeclineBody = Closed({ reason_code: Code(DECLINE_REASONS) });
export const CancelBody = Closed({ reason_code: Code(EXPERT_CANCEL_REASONS) });

const FOR_REQUESTER = 'For whoever asked';
const request = {
  id: Id('xrq'),
  expert_id: Id('xpt'),
  agency_id: Type.String({ ...Id('agy'), description: 'That keeps the expert on its roster, and answers' }),
  requester_agency_id: Id('agy'),
  skill: Code(SKILLS),
  language: Nullable(Language()),
  jurisdiction: Jurisdiction(),
  region: Nullable(Region()),
  from: Instant(),
  to: Instant(),
  mode: Code(EXPERT_MODES),
  urgency: Code(URGENCIES),
  status: Code(EXPERT_REQUEST_STATUSES),
  reason_code: Nullable(Code([...new Set([...DECLINE_REASONS, ...EXPERT_CANCEL_REASONS])])),
  due_at: Type.Union([Instant(), Type.Null()], { description: 'Until when an answer is waited for' }),
  allowed_actions: Type.Array(Code(['confirm', 'decline', 'cancel', 'complete'])),
  version: Type.Integer(),
  created_at: Instant(),
  updated_at: Instant(),
};
export const ExpertRequestRow = Named('ExpertRequestRow', request);
export type ExpertRequestRow = Static<typeof ExpertRequestRow>;
export const ExpertRequestView = Named('ExpertRequest', {
  ...request,
  case_id: Optional(Type.String({ ...Id('cas'), description: FOR_REQUESTER })),
  against: Optional(
    Codes(AGAINST_ROLES, { description: `${FOR_REQUESTER}, until it is over: as what persons were named, and not who they are` }),
  ),
  note: Optional(Type.String({ description: `${FOR_REQUESTER}, until it is over` })),
  contact: Optional({ ...Contact, description: `${FOR_REQUESTER}, while it is confirmed and until 24 hours after its end` }),
});
export type ExpertRequestView = Static<typeof ExpertRequestView>;

export const ExpertRequestQuery = {
  box: Optional(Code(['incoming', 'outgoing'])),
  status: Optional(Code(EXPERT_REQUEST_STATUSES)),
};
