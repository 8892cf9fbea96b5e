import { type Static, Type } from 'typebox';
import { CategoryData, MOST_MEMBERS, ProfileView } from '../cases/schema.ts';
import {
  CANCEL_REASONS,
  CATEGORIES,
  CHANNELS,
  DECLINE_REASONS,
  FAIL_REASONS,
  LAWFUL_GROUNDS,
  OFFER_STATUSES,
  OUTCOMES,
  REFERRAL_STATUSES,
  SERVICES,
  URGENCIES,
} from '../core/codes.ts';
import { REFERENCE_PATTERN } from '../core/ids.ts';
import { SPECIALITY_PATTERN } from '../core/routing.ts';
import {
  Closed,
  Code,
  Codes,
  Id,
  Instant,
  Language,
  Named,
  Nullable,
  Region,
  StaffCode,
  Text,
} from '../platform/http/openapi.ts';
import { TimerView } from '../timers/schema.ts';

const Optional = Type.Optional;
const Speciality = () => Type.String({ pattern: SPECIALITY_PATTERN, maxLength: 60 });
const Note = () => Text(4_000);
const Sentences = () => Type.Array(Text(2_000, 1), { minItems: 1, maxItems: 20 });

const LawfulGround = Closed({
  code: Code(LAWFUL_GROUNDS),
  legal_basis: Optional(Text(500)),
  person_informed: Optional(
    Type.Boolean({ description: 'Whether the person was told; may be left out only in imminent danger to life' }),
  ),
});

const NewReferral = {
  service: Code(SERVICES),
  urgency: Code(URGENCIES),
  routing: Code(['direct', 'automatic']),
  recipient_agency_id: Optional(Id('agy')),
  fallback: Optional(Type.Boolean({ description: 'Whether the router goes on when the named agency does not take it' })),
  categories: Codes(CATEGORIES),
  note: Optional(Note()),
  requirements: Optional(
    Closed({
      languages: Optional(Type.Array(Language(), { maxItems: 20 })),
      accessible: Optional(Type.Boolean()),
      accompanied: Optional(Type.Boolean()),
      transport: Optional(Type.Boolean()),
      specialities: Optional(
        Type.Array(Speciality(), { maxItems: 20, uniqueItems: true, description: 'What the place should be good at' }),
      ),
      separate_from: Optional(Type.Array(Id('cas'), { maxItems: 50 })),
    }),
  ),
  excluded_agencies: Optional(Type.Array(Id('agy'), { maxItems: 100, uniqueItems: true })),
  lawful_ground: Optional(LawfulGround),
};
export const ReferralBody = Named('NewReferral', NewReferral);
export type ReferralBody = Static<typeof ReferralBody>;

export const GroupReferralBody = Named('NewGroupReferrals', {
  ...NewReferral,
  members: Optional(
    Type.Array(Id('cas'), {
      minItems: 1,
      maxItems: MOST_MEMBERS,
      uniqueItems: true,
      description: 'Only these; without it, all whose cases are open',
    }),
  ),
  together: Optional(
    Type.Boolean({
      description:
        'Whether all are asked for at one agency first, where one can take them. Left out: families are; `false`: nobody is',
    }),
  ),
});
export type GroupReferralBody = Static<typeof GroupReferralBody>;

export const Placed = Closed(
  { region: Nullable(Region()), duty_contact: Nullable(Type.String()) },
  { description: 'In place of the agency id where the place is protected' },
);

const OfferView = Named('Offer', {
  id: Id('off'),
  status: Code(OFFER_STATUSES),
  agency_id: Optional(Id('agy')),
  placed: Optional(Placed),
  places: Type.Integer(),
  offered_at: Instant(),
  accepted_at: Nullable(Instant()),
  ended_at: Nullable(Instant()),
  reason_code: Nullable(Type.String()),
  questions: Optional(
    Type.Array(
      Closed({
        asked_at: Instant(),
        questions: Type.Array(Type.String()),
        answered_at: Optional(Instant()),
        answers: Optional(Type.Array(Type.String())),
      }),
    ),
  ),
  notes: Optional(Type.Array(Closed({ at: Instant(), action: Type.String(), note: Type.String() }))),
  handover: Optional(Closed({ arrived_at: Instant(), accompanied_by: Optional(Type.String()) })),
  told: Optional(
    Type.Array(
      Closed({
        action: Type.String(),
        recorded_at: Instant(),
        recorded_by: Code(['sender', 'coordinator']),
        channel: Code(CHANNELS),
        at: Instant(),
        staff_code: StaffCode(),
      }),
      { description: 'What was recorded for the receiver, who said it by telephone' },
    ),
  ),
  contestable_until: Optional(Instant()),
});
export type OfferView = Static<typeof OfferView>;

const summary = {
  id: Id('ref'),
  reference: Type.String({ pattern: REFERENCE_PATTERN }),
  case_id: Optional(Id('cas')),
  service: Code(SERVICES),
  urgency: Code(URGENCIES),
  status: Code([...new Set([...REFERRAL_STATUSES, ...OFFER_STATUSES])]),
  region: Nullable(Region()),
  sender_agency_id: Id('agy'),
  version: Type.Integer(),
  created_at: Instant(),
  updated_at: Instant(),
};

const GroundView = Closed({
  code: Code(LAWFUL_GROUNDS),
  person_informed: Type.Boolean(),
  legal_basis: Optional(Text(500)),
  upheld: Nullable(Type.Boolean({ description: 'What its review found; null: it is still to come' })),
  reviewed_at: Nullable(Instant()),
});

export const ReferralView = Named('Referral', {
  ...summary,
  routing: Optional(Code(['direct', 'automatic'])),
  fallback: Optional(Type.Boolean()),
  follows: Optional({ ...Id('ref'), description: 'It goes on with the service of this one, whose receiver leaves' }),
  followed_by: Optional({ ...Id('ref'), description: 'Goes on with the service, for the receiver leaves' }),
  lawful_ground: Optional(GroundView),
  note: Optional(Type.String()),
  requirements: Optional(ReferralBody.properties.requirements),
  offer: Nullable(OfferView),
  offers: Optional(Type.Array(OfferView)),
  profile: Optional(ProfileView),
  disclosure: Optional(Closed({ categories: Codes(CATEGORIES), data: Optional(CategoryData) })),
  categories_held: Optional(Codes(CATEGORIES, { description: 'Of a party whose offer has ended: what it has to delete' })),
  deletion_due_at: Optional(Nullable(Instant())),
  timers: Type.Array(TimerView),
  allowed_actions: Type.Array(Type.String()),
});
export type ReferralView = Static<typeof ReferralView>;

export const GroupReferralsView = Named('GroupReferrals', {
  group_id: Id('grp'),
  referrals: Type.Array(
    Closed({
      case_id: Id('cas'),
      id: Optional(Id('ref')),
      reference: Optional(summary.reference),
      status: Optional(summary.status),
      code: Optional(Type.String({ description: 'Why none was made: the code of a problem, and what it says' })),
      detail: Optional(Type.String()),
      errors: Optional(Type.Array(Closed({ pointer: Type.String(), detail: Type.String() }))),
      categories: Optional(Codes(CATEGORIES)),
      lawful_grounds: Optional(Codes(LAWFUL_GROUNDS)),
      state: Optional(Type.String()),
      allowed_actions: Optional(Type.Array(Type.String())),
    }),
  ),
});
export type GroupReferralsView = Static<typeof GroupReferralsView>;

export const InboxRow = Named('ReferralSummary', {
  ...summary,
  offer_id: Nullable(Id('off')),
  due_at: Nullable(Instant()),
  overdue: Type.Boolean(),
});
export type InboxRow = Static<typeof InboxRow>;

export const InboxQuery = {
  box: Optional(Code(['incoming', 'outgoing', 'all'])),
  status: Optional(Code([...new Set([...REFERRAL_STATUSES, ...OFFER_STATUSES])])),
  service: Optional(Code(SERVICES)),
  urgency: Optional(Code(URGENCIES)),
  overdue: Optional(Type.Boolean()),
  sort: Optional(Code(['due_at'])),
};

export const Empty = Closed({});

const told = {
  told_by: Optional(
    Closed(
      { channel: Code(CHANNELS), at: Instant(), staff_code: StaffCode() },
      { description: 'Sender or coordinator record what the receiver said, and who said it when' },
    ),
  ),
  offer_id: Optional(
    Type.String({ ...Id('off'), description: 'With `told_by`: whose receiver said it; needed where several are being asked' }),
  ),
};
export const ReceiveBody = Closed(told);
export const QuestionsBody = Closed({ questions: Sentences() });
export const AnswersBody = Closed({ answers: Sentences(), offer_id: Optional(Id('off')) });
export const WaitlistBody = Closed({ review_at: Optional(Instant()) });
export const ReviewBody = Closed({ next_review_at: Optional(Instant()) });
export const AcceptBody = Closed({ note: Optional(Note()), over_capacity: Optional(Type.Boolean()), ...told });
export const DeclineBody = Closed({ reason_code: Code(DECLINE_REASONS), note: Optional(Note()), ...told });
export const RerouteBody = Closed({ agency_id: Id('agy'), reason_code: Code(CANCEL_REASONS) });
export const HandoverBody = Closed({
  arrived_at: Instant(),
  accompanied_by: Optional(Text(200)),
  over_capacity: Optional(Type.Boolean()),
  ...told,
});
export const CompleteBody = Closed({ outcome_code: Code(OUTCOMES), note: Optional(Note()) });
export const FailBody = Closed({ reason_code: Code(FAIL_REASONS), note: Optional(Note()) });
export const CancelBody = Closed({ reason_code: Code(CANCEL_REASONS) });
export const ContestBody = Closed({ note: Text(4_000, 1) });
export const ReviewGroundBody = Closed({ upheld: Type.Boolean() });
