import type { ColumnType, Generated, GeneratedAlways } from 'kysely';
import type { Calendar } from '../core/calendar.ts';
import type { AssertionAlgorithm } from '../core/client-assertion.ts';
import type { TimerStep } from '../core/clock.ts';
import type {
  AgencyKind,
  Category,
  CrisisKind,
  CrisisPhase,
  DecisionKind,
  DecisionOutcome,
  ExpertMode,
  ExpertRequestStatus,
  LawfulGround,
  OfferStatus,
  OperatingMode,
  PauseCode,
  ProtectionStatus,
  Purpose,
  ReferralStatus,
  Role,
  Scope,
  Service,
  Sex,
  Skill,
  Stage,
  Urgency,
} from '../core/codes.ts';
import type { GapLine } from '../core/coverage.ts';
import type { DutyEntry } from '../core/duty-roster.ts';
import type { EventType } from '../core/events.ts';
import type { SpokenLanguage } from '../core/experts.ts';
import type { Schedule } from '../core/opening.ts';
import type { BreachEffect, GuardedAct } from '../core/policy.ts';
import type { ClockRule } from '../core/reckoning.ts';
import type { DeliveryFailure } from './delivery-failure.ts';
import type { TlsSummary } from './tls-settings.ts';

/** The tables as Kysely sees them; `migrations/` makes them, `migrations/schema.sql` shows them whole. */
export interface Tables {
  deployment: DeploymentTable;
  agencies: AgencyTable;
  caseworkers: CaseworkerTable;
  clients: ClientTable;
  client_secrets: ClientSecretTable;
  client_keys: ClientKeyTable;
  client_assertions: ClientAssertionTable;
  services: ServiceTable;
  capacities: CapacityTable;
  crisis_modes: CrisisModeTable;
  directory_sources: DirectorySourceTable;
  directory_imports: DirectoryImportTable;
  idempotency_keys: IdempotencyKeyTable;
  rule_packs: RulePackTable;
  cases: CaseTable;
  masked_cases: MaskedCaseView;
  case_keys: CaseKeyTable;
  case_data: CaseDataTable;
  case_data_history: CaseDataHistoryTable;
  case_reopenings: CaseReopeningTable;
  case_assignees: CaseAssigneesTable;
  groups: GroupTable;
  case_separations: CaseSeparationTable;
  batches: BatchTable;
  screenings: ScreeningTable;
  decisions: DecisionTable;
  decision_reasons: DecisionReasonsTable;
  reconsiderations: ReconsiderationTable;
  consents: ConsentTable;
  referrals: ReferralTable;
  offers: OfferTable;
  routing_requests: RoutingRequestTable;
  disclosures: DisclosureTable;
  messages: MessageTable;
  experts: ExpertTable;
  expert_contacts: ExpertContactTable;
  expert_requests: ExpertRequestTable;
  expert_request_details: ExpertRequestDetailTable;
  timers: TimerTable;
  duty_rosters: DutyRosterTable;
  calendars: CalendarTable;
  calendar_versions: CalendarVersionTable;
  calendar_moves: CalendarMoveTable;
  heartbeats: HeartbeatTable;
  events: EventTable;
  event_positions: EventPositionTable;
  event_sequences: EventSequenceTable;
  event_pulls: EventPullTable;
  unreachable_agencies: UnreachableAgencyTable;
  undelivered: UndeliveredTable;
  digests: DigestTable;
  coverage_states: CoverageStateTable;
  webhook_endpoints: WebhookEndpointTable;
  deliveries: DeliveryTable;
  delivery_attempts: DeliveryAttemptTable;
  /** Both `audit_pending` and `audit_log`. */
  audit_records: AuditRecordView;
  audit_subjects: AuditSubjectTable;
  audit_subject_referrals: AuditSubjectReferralTable;
  audit_pending: AuditPendingTable;
  audit_log: AuditLogTable;
  audit_kinds: AuditKindTable;
  audit_spans: AuditSpanTable;
  audit_tiles: AuditTileTable;
  audit_head: AuditHeadTable;
  journal: JournalTable;
  audit_inquiries: AuditInquiryTable;
  audit_disclosures: AuditDisclosureTable;
}

interface DeploymentTable {
  name: string;
  value: unknown;
  created_at: Generated<Date>;
}

interface Versioned {
  version: Generated<number>;
  created_at: Date;
  updated_at: Date;
}

export interface AgencyTable extends Versioned {
  id: string;
  name: string;
  kind: AgencyKind;
  jurisdictions: string[];
  regions: string[];
  languages: string[];
  competent_authority: boolean;
  first_responder: boolean;
  /** How to reach whoever is on duty there; shown in place of a protected agency's id. */
  duty_contact: string | null;
  calendar_id: string | null;
  status: 'active' | 'suspended';
  operating_mode: OperatingMode;
}

export interface CaseworkerTable extends Versioned {
  id: string;
  agency_id: string;
  staff_code: string;
  roles: Role[];
  languages: string[];
  /** JSON: `{course, completed_on, expires_on}[]` */
  certifications: unknown;
  status: 'active' | 'inactive' | 'disabled';
}

export interface ClientTable extends Versioned {
  id: string;
  agency_id: string;
  description: string | null;
  scopes: Scope[];
  /** `disabled` until the agency's own supervisor enables a client that somebody else made. */
  status: 'active' | 'disabled' | 'revoked';
}

export interface ClientSecretTable {
  client_id: string;
  /** argon2id, PHC string */
  hash: string;
  /** What tells a guess without the hash; null for a secret that was made before there were any. */
  tag: Buffer | null;
  created_at: Date;
  /** null: until rotated */
  expires_at: Date | null;
}

export interface ClientKeyTable {
  client_id: string;
  kid: string;
  alg: AssertionAlgorithm;
  /** RFC 7638, SHA-256, base64url */
  thumbprint: string;
  /** JSON: the public key's own members and nothing else */
  jwk: unknown;
  created_at: Date;
}

export interface ClientAssertionTable {
  client_id: string;
  /** SHA-256 of the `jti` that was used */
  jti_hash: Buffer;
  /** Until then it would be refused for this alone. */
  expires_at: Date;
}

export interface ServiceTable extends Versioned {
  agency_id: string;
  service: Service;
  /** An empty list, here and in the four below, excludes nobody. */
  regions: string[];
  sexes: Sex[];
  min_age: number | null;
  max_age: number | null;
  accepts_dependants: boolean;
  languages: string[];
  protection_statuses: ProtectionStatus[];
  intake_hours: string | null;
  location_protected: boolean;
  status: 'active' | 'suspended';
  suspended_reason: string | null;
  /** Free codes, the same words as in what is asked of a place. */
  specialities: Generated<string[]>;
  /** ISO 3166-2; of a protected place it is told to nobody but its agency. */
  located_in: Generated<string | null>;
  eligibility: Generated<string | null>;
  schedules: ColumnType<Schedule[], string | undefined, string>;
  /** A multirange: when it is open until `open_hours_until`. Null: nobody knows. */
  open_hours: Generated<string | null>;
  open_hours_until: Generated<Date | null>;
  /** When its agency last said that all this is right. */
  assured_at: Generated<Date>;
  /** How often it was asked lately, and how often it said yes: counted by and by. */
  asked: Generated<number>;
  accepted: Generated<number>;
  /** Since when it is suspended, or its agency suspended or closed: those served there need a follow-on. */
  follow_on_since: Generated<Date | null>;
  /** Whether a directory that was taken over said so last, and not the agency itself. */
  imported: Generated<boolean>;
}

export interface CrisisModeTable {
  id: string;
  jurisdiction: string;
  /** Empty: all of it. */
  regions: string[];
  kind: CrisisKind;
  phase: CrisisPhase;
  reason: string;
  declared_by_agency_id: string;
  staff_code: string;
  started_at: Date;
  expires_at: Date;
  renewed: Generated<number>;
  ended_at: Date | null;
  /** Null: it was not renewed. */
  ended_by_staff_code: string | null;
  version: Generated<number>;
  updated_at: Date;
}

export interface CapacityTable {
  agency_id: string;
  service: Service;
  total: number;
  held_elsewhere: number;
  /** Places taken by accepted offers. */
  held: number;
  assured_at: Date;
  /** How often a place came free here. */
  freed: Generated<number>;
  /** Whether a directory that was taken over said so last, and not the agency itself. */
  imported: Generated<boolean>;
  version: Generated<number>;
}

/** By which id another directory knows an agency of ours. */
interface DirectorySourceTable {
  source: string;
  foreign_id: string;
  agency_id: string;
}

interface DirectoryImportTable {
  id: string;
  source: string;
  jurisdiction: string;
  report: ColumnType<unknown, string, never>;
  created_at: Date;
}

export interface IdempotencyKeyTable {
  client_id: string;
  key: string;
  agency_id: string;
  fingerprint: Buffer;
  resource_id: string;
  holds_secret: boolean;
  created_at: Date;
}

export interface RulePackTable {
  jurisdiction: string;
  version: number;
  document: unknown;
  created_at: Date;
}

export interface CaseTable {
  id: string;
  reference: string;
  owner_agency_id: string;
  /** Which took the report, whose `source` stays there; null: the owner. */
  opened_by_agency_id: string | null;
  /** When it changed hands; null: it has not. */
  owned_since: Date | null;
  /** By which `case_management` referral. */
  owned_by_referral_id: string | null;
  /** What an owner that did not open the case does not see of it. */
  owner_withheld: Generated<Category[]>;
  jurisdiction: string;
  region: string | null;
  track: string;
  risk: string;
  stage: Stage;
  stage_before_close: Stage | null;
  close_reason: string | null;
  group_id: string | null;
  /** Under which crisis it was opened. */
  crisis_mode_id: Generated<string | null>;
  /** Of the group: those with the same number are one family. */
  family: number | null;
  opened_at: Date;
  closed_at: Date | null;
  version: Generated<number>;
  updated_at: Date;
}

type MaskedCaseView = Omit<CaseTable, 'stage_before_close' | 'close_reason' | 'group_id' | 'family' | 'crisis_mode_id'>;

/** People who were found together: one inspection, one house. */
export interface GroupTable {
  id: string;
  opened_by_agency_id: string;
  /** Where they were found. */
  region: string | null;
  opened_at: Date;
}

/** That two persons are kept apart, said from the side of the one and holding for both. */
export interface CaseSeparationTable {
  id: string;
  case_id: string;
  from_case_id: string;
  /** Who owned `case_id` then. */
  said_by_agency_id: string;
  /** null: it is proposed, and keeps nobody apart. */
  agreed_at: Date | null;
  /** null: until it is lifted. */
  until: Date | null;
  created_at: Date;
}

/** What one call for many came to, one by one: sealed, for whoever asks again with the same key. */
export interface BatchTable {
  id: string;
  agency_id: string;
  group_id: string;
  sealed: Buffer;
  created_at: Date;
}

export interface CaseKeyTable {
  case_id: string;
  kek_id: string;
  wrapped: Buffer;
}

/** `profile` is what an offer may show before acceptance: derived from the other categories, never more than they hold. */
export type SealedCategory = Category | 'profile';

export interface CaseDataTable {
  case_id: string;
  category: SealedCategory;
  version: number;
  sealed: Buffer;
  updated_at: Date;
}

export interface CaseDataHistoryTable {
  case_id: string;
  category: SealedCategory;
  version: number;
  sealed: Buffer;
  replaced_at: Date;
}

export interface ConsentTable extends Versioned {
  id: string;
  case_id: string;
  recipient_agency_id: string | null;
  recipient_agency_kind: AgencyKind | null;
  purposes: Purpose[];
  categories: Category[];
  /** Who gave it and how: under the case's key. */
  sealed: Buffer;
  expires_at: Date | null;
  /** When the service saw that it had expired, and drew the consequences. */
  expired_at: Date | null;
  withdrawn_at: Date | null;
  /** When the owner was told that it ends soon. */
  expiry_warned_at: Date | null;
}

/** Why a case was reopened, in words, under its key; `version` is the case's from then on. */
export interface CaseReopeningTable {
  case_id: string;
  version: number;
  sealed: Buffer;
  reopened_at: Date;
}

/** Whom an agency assigned to a case: staff codes of its own. */
export interface CaseAssigneesTable {
  case_id: string;
  agency_id: string;
  staff_codes: string[];
  version: number;
  updated_at: Date;
}

/** What a named screener found. */
export interface ScreeningTable {
  id: string;
  case_id: string;
  /** The case's owner then. */
  agency_id: string;
  staff_code: string;
  presumed: boolean;
  /** How it was spoken, and why they found so: under the case's key. */
  sealed: Buffer;
  created_at: Date;
}

/** What a competent authority found. */
export interface DecisionTable extends Versioned {
  id: string;
  case_id: string;
  agency_id: string;
  jurisdiction: string;
  kind: DecisionKind;
  outcome: DecisionOutcome;
  decided_at: Date;
  /** When the person was told; null: not yet. */
  served_at: Date | null;
  staff_code: string;
}

/** Why, coded and in words, under the case's key: not for everybody who may know that there is a decision. */
export interface DecisionReasonsTable {
  decision_id: string;
  case_id: string;
  agency_id: string;
  sealed: Buffer;
}

/** That somebody asked for a decision to be looked at again. */
export interface ReconsiderationTable {
  decision_id: string;
  case_id: string;
  agency_id: string;
  by_owner: boolean;
  staff_code: string;
  /** Why, in words, under the case's key. */
  sealed: Buffer;
  requested_at: Date;
}

export interface ReferralTable extends Versioned {
  id: string;
  reference: string;
  case_id: string;
  owner_agency_id: string;
  sender_agency_id: string;
  jurisdiction: string;
  region: string | null;
  service: Service;
  urgency: Urgency;
  routing: 'direct' | 'automatic';
  recipient_agency_id: string | null;
  fallback: boolean;
  categories: Category[];
  excluded_agencies: string[];
  /** JSON */
  lawful_ground: InvokedGround | null;
  /** Note and requirements, under the case's key. */
  sealed: Buffer;
  /** What it takes of a capacity: 1 + dependants. */
  places: number;
  status: ReferralStatus;
  /** How it ended, once an act ended it. */
  ended: 'completed' | 'cancelled' | 'withdrawn' | null;
  /** The sender's caseworker. */
  staff_code: string;
  /** When the router shall look at it again. */
  /** Under which crisis it was made. */
  crisis_mode_id: Generated<string | null>;
  router_due_at: Date | null;
  /** It goes on with the service of this one, whose receiver leaves. */
  follows_referral_id: string | null;
}

export interface InvokedGround {
  code: LawfulGround;
  person_informed: boolean;
  /** Whose caseworker named it. */
  staff_code: string;
  /** What the review within 24 hours found; without `upheld`, it is still to come. */
  upheld?: boolean;
  reviewed_at?: string;
  reviewed_by?: { agency_id: string; staff_code: string };
}

export interface OfferTable {
  id: string;
  referral_id: string;
  case_id: string;
  owner_agency_id: string;
  sender_agency_id: string;
  agency_id: string;
  jurisdiction: string;
  service: Service;
  /** 1, 2, …: in the order in which agencies were asked. */
  ordinal: number;
  status: OfferStatus;
  places: number;
  places_held: number;
  /** Nobody but the receiver is told who it is: a protected place, and no grant names the agency. */
  location_protected: boolean;
  reason_code: string | null;
  /** The receiver's caseworker who last acted on it. */
  staff_code: string | null;
  /** Questions, answers and notes, under the case's key. */
  sealed: Buffer | null;
  offered_at: Date;
  accepted_at: Date | null;
  ended_at: Date | null;
  /** Until when the receiver may contest what was recorded for it by telephone. */
  contestable_until: Date | null;
  /** The newest offer of this referral to this agency. */
  latest: Generated<boolean>;
  /** When the receiver confirmed that it deleted what it knew: from then on it does not know of this offer. */
  forgotten_at: Date | null;
  /** How often a place had come free at the service when it was declined or expired. */
  freed_before: number | null;
}

/** A change that could help: whom of those that wait, as far as it says. */
export interface RoutingRequestTable {
  number: Generated<number>;
  agency_id: string | null;
  service: Service | null;
  jurisdiction: string | null;
  case_id: string | null;
  referral_id: string | null;
}

export interface DisclosureTable {
  id: string;
  case_id: string;
  referral_id: string;
  offer_id: string;
  agency_id: string;
  /** What is open now. */
  categories: Category[];
  /** What was ever open. */
  categories_held: Category[];
  /** `ownership`: it owned the case, and somebody else does now. */
  ground: 'consent' | 'ownership' | LawfulGround;
  started_at: Date;
  ended_at: Date | null;
  deletion_due_at: Date | null;
  deletion_confirmed_at: Date | null;
  /** When its holder, after the end, confirmed the deletion: from then on it does not know of this. */
  forgotten_at: Date | null;
}

/** What sender and accepted receiver wrote to each other. */
export interface MessageTable {
  id: string;
  referral_id: string;
  case_id: string;
  /** The offer that was accepted when it was written. */
  offer_id: string;
  author_agency_id: string;
  staff_code: string;
  /** Its text, under the case's key. */
  sealed: Buffer;
  created_at: Date;
}

export interface ExpertTable extends Versioned {
  id: string;
  /** On whose roster. */
  agency_id: string;
  status: 'active' | 'suspended';
  skills: Skill[];
  /** JSON, like the four below. */
  languages: ColumnType<SpokenLanguage[], string, string>;
  sex: Sex;
  jurisdictions: string[];
  /** Empty: all of the jurisdictions. */
  regions: string[];
  remote: boolean;
  availability: ColumnType<Schedule[], string, string>;
  unavailable: ColumnType<{ from: string; to: string }[], string, string>;
  certifications: ColumnType<Certification[], string, string>;
  /** Agencies for which the expert works. */
  employer_agency_ids: string[];
  /** Whom the expert must not meet: hashes, under the deployment's key (experts/ties.ts). */
  ties: Buffer;
}

interface Certification {
  course: string;
  completed_on: string;
  expires_on: string | null;
}

export interface ExpertContactTable {
  expert_id: string;
  agency_id: string;
  /** Name and how to reach the expert, under the deployment's key. */
  sealed: Buffer;
}

export interface ExpertRequestTable extends Versioned {
  id: string;
  expert_id: string;
  /** That keeps the expert on its roster, and answers. */
  agency_id: string;
  requester_agency_id: string;
  /** Who asked. */
  staff_code: string;
  skill: Skill;
  language: string | null;
  jurisdiction: string;
  region: string | null;
  from: Date;
  to: Date;
  mode: ExpertMode;
  urgency: Urgency;
  status: ExpertRequestStatus;
  reason_code: string | null;
}

export interface ExpertRequestDetailTable {
  request_id: string;
  requester_agency_id: string;
  case_id: string | null;
  /**
   * Whom it is against, as hashes, and a note: under the case's key, or the deployment's where there is no case. Null once the request
   * is over.
   */
  sealed: Buffer | null;
}

export interface TimerTable {
  id: string;
  name: string;
  kind: 'deadline' | 'floor';
  clock: ClockRule['clock'];
  subject_type: 'case' | 'referral' | 'offer' | 'expert_request';
  subject_id: string;
  /** Null of a request for an expert, whose keeper knows of no case. */
  case_id: string | null;
  expert_request_id: string | null;
  referral_id: string | null;
  offer_id: string | null;
  owner_agency_id: string;
  sender_agency_id: string | null;
  receiver_agency_id: string | null;
  responsible_agency_id: string;
  /** Nobody but the receiver is told who it is. */
  location_protected: boolean;
  jurisdiction: string;
  urgency: Urgency;
  started_at: Date;
  due_at: Date;
  state: 'running' | 'paused' | 'met' | 'breached' | 'cancelled';
  paused_at: Date | null;
  warned_at: Date | null;
  breached_at: Date | null;
  met_at: Date | null;
  /** Of a floor: when the person's wish to have it ended sooner was recorded. */
  waived_at: Date | null;
  escalation_level: Generated<number>;
  on_breach: BreachEffect | null;
  /** JSON: what is still to happen, earliest first. */
  steps: TimerStep[];
  /** The instant of the first of `steps`; null when nothing is to happen. */
  next_step_at: Date | null;
  /** JSON: `{pack, version, source}` */
  rule: { pack: string; version: number; source: string };
  /** ISO 8601; null where somebody named the instant. */
  duration: string | null;
  count_first_day: boolean;
  /** JSON: the pauses that are over, in order. */
  pauses: { from: string; to: string }[];
  /** Along which it is reckoned, and in which version; null for a clock that looks at none. */
  calendar_id: string | null;
  calendar_version: number | null;
  /** Of a floor: what may not be done before it is due. */
  guards: GuardedAct[] | null;
  pause_reason: PauseCode | null;
  paused_by_agency_id: string | null;
  version: Generated<number>;
  /** Of an offer that its receiver no longer knows of. */
  forgotten: Generated<boolean>;
  /** How often somebody on duty was called. */
  calls: Generated<number>;
  called_at: Date | null;
  /** The person who was called last; null where the coordination committees were told, for nobody was on duty. */
  called_agency_id: string | null;
  called_staff_code: string | null;
  /**
   * Those that may see it because one of their people was called, and once somebody has acknowledged it, the agency of that one.
   * Null before the first call, and when the timer is over.
   */
  called_agency_ids: string[] | null;
  acknowledged_at: Date | null;
  acknowledged_by_agency_id: string | null;
  acknowledged_by_staff_code: string | null;
}

/** Of a jurisdiction: who is called at night. */
export interface DutyRosterTable extends Versioned {
  jurisdiction: string;
  /** JSON: in turn. */
  entries: ColumnType<DutyEntry[], string, string>;
}

export interface CalendarTable {
  id: string;
  /** The one in force. */
  version: number;
  created_at: Date;
  updated_at: Date;
}

export interface CalendarVersionTable {
  calendar_id: string;
  version: number;
  /** JSON: the calendar without its id. */
  document: ColumnType<Omit<Calendar, 'id'>, string, never>;
  created_at: Date;
}

/** How many timers of an agency a version of a calendar moved. */
export interface CalendarMoveTable {
  calendar_id: string;
  version: number;
  agency_id: string;
  moved: number;
  /** Of what moved: the earliest and the latest new instant. */
  first_due_at: Date;
  last_due_at: Date;
  /** When the agency was told of them. */
  told_at: Date | null;
}

export interface HeartbeatTable {
  role: string;
  beat_at: Date;
  /** Since when it has beaten without too long a silence. */
  running_since: Date;
}

export interface EventTable {
  number: Generated<number>;
  id: string;
  agency_id: string;
  type: EventType;
  /** What the sequence counts along: the referral, or the case. */
  subject_id: string;
  referral_id: string | null;
  case_id: string | null;
  /** An emergency's, or one that never waits. */
  urgent: boolean;
  /** Ends or changes the recipient's duties: delivered even when its access has ended. */
  reaches_always: boolean;
  body: Record<string, unknown>;
  occurred_at: Date;
  position: number | null;
  sequence: number | null;
  /** When it was found that somebody had heard it; looked for of urgent ones alone. */
  heard_at: Generated<Date | null>;
}

export interface EventPositionTable {
  agency_id: string;
  last: number;
}

export interface EventSequenceTable extends EventPositionTable {
  subject_id: string;
}

/** When an agency last pulled offers, to the minute, and up to where it has pulled. */
export interface EventPullTable {
  agency_id: string;
  pulled_at: Date;
  position: number;
}

/** Agencies whose systems take no offers now, once it was told. */
export interface UnreachableAgencyTable {
  agency_id: string;
  since: Date;
}

/** Agencies that did not hear of emergencies in time, and who was called because of it. */
export interface UndeliveredTable {
  agency_id: string;
  /** By which those who are called name it: the agency's id, or where that has to stay hidden one of its own. */
  handle: string;
  jurisdiction: string;
  /** How many events it did not hear, and since when, as of the last call. */
  events: number;
  since: Date;
  calls: number;
  called_at: Date;
  called_agency_id: string | null;
  called_staff_code: string | null;
  /** Everybody's who was called; after it was acknowledged, whose it was. */
  called_agency_ids: string[];
  acknowledged_at: Date | null;
  acknowledged_by_agency_id: string | null;
  acknowledged_by_staff_code: string | null;
  version: number;
}

/** Digests that were told, by the day on which they were. */
export interface DigestTable {
  agency_id: string;
  jurisdiction: string;
  day: ColumnType<string, string, never>;
  told_at: Date;
}

/** What was found of a jurisdiction's coverage when its directory or its rules last changed. */
export interface CoverageStateTable {
  jurisdiction: string;
  /** Versions of the directory and the rule pack; null: it was never looked at. */
  seen: string | null;
  /** Every region that was ever named there. */
  regions: string[];
  /** Profiles for which nobody is there at all. */
  gaps: ColumnType<GapLine[], string, string>;
  looked_at: Date;
}

export interface WebhookEndpointTable extends Versioned {
  id: string;
  agency_id: string;
  url: string;
  event_types: string[];
  description: string | null;
  signature: string[];
  status: 'active' | 'paused' | 'disabled';
  secret: Buffer;
  previous_secret: Buffer | null;
  previous_secret_until: Date | null;
  /** `whpk_…`, where `signature` names `v1a`; the private half is sealed. */
  public_key: string | null;
  private_key: Buffer | null;
  previous_public_key: string | null;
  previous_private_key: Buffer | null;
  /** Who at the agency looks after it. */
  contact_staff_code: string | null;
  failing_since: Date | null;
  deleted_at: Date | null;
  /** How often sending to it was stopped. */
  stops: Generated<number>;
  /** What is sent to it in a second at most; emergencies are not counted. */
  max_per_second: Generated<number>;
  /** Until when what was sent to it would have lasted at that rate. */
  paced_until: Date | null;
  /** Whose turn it is to send it what is ordinary, unless that is over. */
  turn_of: string | null;
  turn_until: Date | null;
  /** Its TLS settings, sealed. */
  tls: Buffer | null;
  tls_summary: TlsSummary | null;
}

export interface DeliveryTable {
  id: string;
  endpoint_id: string;
  agency_id: string;
  event_number: number;
  event_id: string;
  event_type: string;
  subject_id: string;
  sequence: number;
  /** The event's; null for one that an earlier version made while this one was being installed. */
  position: number | null;
  urgent: boolean;
  /** Waits for its predecessor of the same endpoint and subject. */
  waits: boolean;
  state: 'pending' | 'parked' | 'delivered' | 'withheld' | 'exhausted';
  attempts: Generated<number>;
  /** Of these, what was made before it was last asked for; the schedule counts from there. */
  attempts_before: Generated<number>;
  /** The endpoint's `stops` when it was asked for again: until the next stop it is sent although the endpoint is off. */
  asked_after_stop: number | null;
  next_attempt_at: Date | null;
  claimed_until: Date | null;
  last_status: number | null;
  last_error: DeliveryFailure | null;
  created_at: Date;
  delivered_at: Date | null;
}

export interface DeliveryAttemptTable {
  delivery_id: string;
  attempt: number;
  agency_id: string;
  started_at: Date;
  duration_ms: number;
  status: number | null;
  error: DeliveryFailure | null;
}

interface AuditRecord {
  entry_id: Buffer;
  entry: Buffer;
  /** The bytes that were committed to (RFC 8785 JSON). */
  meta: string;
  salt_meta: Buffer;
  salt_personal: Buffer;
  subject_commits: Buffer[];
  at: Date;
  agency_id: string | null;
  client_id: string | null;
  caseworker: string | null;
  action: string;
  outcome: 'done' | 'read' | 'denied' | 'failed';
  resource_type: string;
  code: string | null;
  lawful_ground: string | null;
}

export interface AuditSubjectTable {
  entry_id: Buffer;
  /** Its place among the entry's `subject_commits`. */
  ordinal: number;
  /** Whose auditors may open it; null: the audit body alone. */
  reader_agency_id: string | null;
  /** The case or report whose key sealed the record; null: the deployment's own key. */
  key_id: string | null;
  sealed: Buffer | null;
  subject_index: Buffer | null;
}

export interface AuditSubjectReferralTable {
  referral_index: Buffer;
  reader_agency_id: string | null;
  entry_id: Buffer;
  ordinal: number;
}

/** What waits for its place in the log, in the order in which it was written. */
export interface AuditPendingTable extends AuditRecord {
  number: Generated<number>;
}

export interface AuditLogTable extends AuditRecord {
  number: number;
  /** Its place in the log. */
  index: number;
  /** Of what {@link AuditKindTable} has of it. */
  kind: GeneratedAlways<number>;
}

/** What entries of the log have in common by which auditors look for them; a few ten thousand, however long the log is. */
export interface AuditKindTable
  extends Pick<AuditRecord, 'agency_id' | 'client_id' | 'caseworker' | 'action' | 'outcome' | 'resource_type' | 'lawful_ground'> {
  /** A hash, which two may share. */
  kind: GeneratedAlways<number>;
}

/** A whole stretch of the log: 4,096 entries from `index` on. */
export interface AuditSpanTable {
  index: number;
  earliest: Date;
  latest: Date;
}

export interface AuditRecordView extends AuditRecord {
  number: number;
  index: number | null;
}

/** A whole tile of the tree: 256 hashes. */
export interface AuditTileTable {
  level: number;
  index: number;
  hashes: Buffer;
  /** Of the subtree over its hashes: what stands for it one level higher. */
  root: Buffer;
}

/** The one row of the log's head. */
export interface AuditHeadTable {
  one: Generated<boolean>;
  origin: string;
  verifier_key: string;
  size: number;
  root: Buffer;
  /** Signed, and perhaps not published yet. */
  checkpoint: string;
  /** When it was signed. */
  at: Date;
  published_size: number;
  published: string | null;
  published_at: Date;
  /** Why nothing is signed any more. */
  halted: string | null;
  /** What a quorum of witnesses cosigned last, if any. */
  witnessed_size: number | null;
  witnessed: string | null;
  witnessed_at: Date | null;
  /** What `verifier_key` replaced, and when. */
  previous_key: string | null;
  rotated_at: Date | null;
  /** In which database, since which start of its server, it was compared with the ledger. */
  compared_in: string | null;
}

export interface JournalTable {
  number: GeneratedAlways<number>;
  kind: 'erased' | 'withdrawn' | 'revoked';
  id_hash: Buffer;
  details: string[];
  at: Date;
  /** When it was in the file beside the ledger. */
  kept_at: ColumnType<Date | null, Date | null | undefined, Date | null>;
}

/** What two auditors agree on before they see what the trail says of persons. */
export interface AuditInquiryTable {
  id: string;
  agency_id: string;
  /** By which it is known elsewhere: a code. */
  reference: string;
  from_index: number;
  /** Exclusive. */
  to_index: number;
  /** What was published when it was opened: it covers the range. */
  checkpoint: string;
  /** Staff codes of the agency. */
  opened_by: string;
  opened_at: Date;
  confirmed_by: ColumnType<string | null, never, string>;
  confirmed_at: ColumnType<Date | null, never, Date>;
  version: Generated<number>;
}

/** That an inquiry was told of a case, once: for the accounting of disclosures. */
export interface AuditDisclosureTable {
  id: string;
  inquiry_id: string;
  case_id: string;
  agency_id: string;
  started_at: Date;
  /** When the inquiry ends, and with it what may be told. */
  ends_at: Date;
}
