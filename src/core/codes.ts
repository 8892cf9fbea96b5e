/**
 * Every coded list of the domain, with the labels that `GET /v1/codes` serves. The codes are the contract's own words;
 * the arrays are what schemas, tables and rules refer to.
 */

/** The members of a coded list, in the order in which people expect them. */
const list = <const T extends readonly string[]>(...codes: T): T => codes;

export const AGENCY_KINDS = list(
  'hotline',
  'council',
  'shelter',
  'labour_inspection',
  'labour_committee',
  'labour_court',
  'police',
  'prosecution',
  'health',
  'social_services',
  'school',
  'ministry',
  'civil_society',
  'international_organisation',
  'consular',
  'coordination_committee',
  'audit_body',
);
export const SERVICES = list(
  'shelter_accommodation',
  'medical',
  'psychosocial',
  'legal_aid',
  'interpretation',
  'security_protection',
  'family_tracing_reunification',
  'guardianship_child_protection',
  'labour_claim_wage_recovery',
  'documentation_status',
  'voluntary_return',
  'reintegration',
  'education_training',
  'livelihood',
  'cash_material',
  'sexual_exploitation_rehabilitation',
  'criminal_investigation',
  'victim_witness_protection',
  'identification',
  'case_management',
);
/** What a consent can be for: a service, the coordination of the case, or published figures. */
export const PURPOSES = [...SERVICES, 'figures'] as const;
export const CATEGORIES = list(
  'identity',
  'contact',
  'demographics',
  'narrative',
  'health',
  'protection_status',
  'labour',
  'family',
  'criminal_justice',
  'source',
);
export const URGENCIES = list('emergency', 'urgent', 'routine');
export const RISKS = list('immediate', 'high', 'medium', 'low');
export const TRACKS = list('named', 'anonymous');
export const STAGES = list(
  'reported',
  'presumed',
  'reasonable_grounds',
  'recovery',
  'identified',
  'not_identified',
  'withdrawn',
  'closed',
);
/** What a competent authority finds. */
export const DECISION_KINDS = list('initial', 'reasonable_grounds', 'conclusive_grounds', 'reconsideration');
export const DECISION_OUTCOMES = list('positive', 'negative');
/** Why it found so. */
export const DECISION_REASONS = list(
  'indicators_met',
  'indicators_not_met',
  'insufficient_information',
  'not_credible',
  'outside_definition',
  'new_information',
  'no_new_information',
  'earlier_decision_wrong',
  'other',
);
/** How a screening was spoken. */
export const SCREENING_MODES = list('in_person', 'phone', 'remote');
export const CHANNELS = list(
  'hotline',
  'phone',
  'walk_in',
  'online',
  'inspection',
  'outreach',
  'registration',
  'border',
  'school',
  'health',
  'other',
);
export const SEXES = list('female', 'male', 'other', 'unknown');
export const CONTACT_METHODS = list('phone', 'sms', 'message', 'email', 'in_person', 'none');
export const PROTECTION_STATUSES = list(
  'none',
  'refugee',
  'asylum_seeker',
  'stateless',
  'internally_displaced',
  'citizen',
  'resident',
  'irregular',
  'unknown',
);
export const DANGER_FLAGS = list(
  'trafficker_nearby',
  'trafficker_knows_address',
  'self_harm',
  'medical_emergency',
  'weapons',
  'complicit_official',
  'other',
);
export const DECLINE_REASONS = list(
  'no_capacity',
  'not_eligible',
  'out_of_area',
  'unsafe',
  'could_not_contact',
  'conflict_of_interest',
  'duplicate',
  'missing_information',
  'service_suspended',
);
/** What an expert of a roster is asked for. */
export const SKILLS = list(
  'interpretation',
  'cultural_mediation',
  'forensic_medicine',
  'psychology',
  'child_interview',
  'legal_counsel',
  'guardian_ad_litem',
  'document_examination',
  'digital_evidence',
  'social_work',
  'other',
);
export const LANGUAGE_LEVELS = list('native', 'fluent', 'working');
export const LANGUAGE_MODES = list('spoken', 'written', 'sign');
/** What an expert is to somebody whom the expert must not meet at work. */
export const TIE_KINDS = list('relative', 'employer', 'acquaintance', 'other');
export const AGAINST_ROLES = list('suspect', 'employer', 'family', 'person');
export const EXPERT_MODES = list('in_person', 'phone', 'remote');
export const EXPERT_REQUEST_STATUSES = list('requested', 'confirmed', 'completed', 'declined', 'expired', 'cancelled');
export const EXPERT_CANCEL_REASONS = list('no_longer_needed', 'rescheduled', 'person_declined', 'error', 'no_longer_available');
export const EXPERT_RULES = list('language', 'certification', 'region', 'availability', 'load');
export const FAIL_REASONS = list(
  'no_show',
  'left_service',
  'person_missing',
  'service_ended',
  'safety_breach',
  'person_declined',
  'other',
);
export const CANCEL_REASONS = list(
  'need_met_elsewhere',
  'person_declined',
  'error',
  'urgency_changed',
  'better_match',
  'receiver_unreachable',
  'coordinator_decision',
);
export const OUTCOMES = list(
  'service_provided',
  'partly_provided',
  'provided_elsewhere',
  'declined_by_person',
  'could_not_contact',
  'not_applicable',
);
export const CLOSE_REASONS = list(
  'needs_met',
  'returned',
  'integrated',
  'person_withdrew',
  'not_identified',
  'lost_contact',
  'died',
  'error',
);
export const LAWFUL_GROUNDS = list('imminent_danger_to_life', 'child_safeguarding', 'mandatory_report', 'court_order');
/** Why a clock rests; these by hand, and `information_requested` by the lifecycle alone. */
export const PAUSE_REASONS = list(
  'person_unavailable',
  'awaiting_authority',
  'awaiting_document',
  'court_recess',
  'force_majeure',
  'person_requested',
  'other',
);
export const PAUSE_CODES = [...PAUSE_REASONS, 'information_requested'] as const;
export const CRISIS_KINDS = list('conflict', 'natural_disaster', 'epidemic', 'mass_displacement', 'other');
export const CRISIS_PHASES = list('preparedness', 'response', 'post_crisis');
export const ROLES = list('operator', 'caseworker', 'screener', 'supervisor', 'coordinator', 'auditor');
export const SCOPES = list(
  'cases',
  'cases.read',
  'referrals',
  'referrals.read',
  'directory',
  'directory.read',
  'clocks',
  'webhooks',
  'audit.read',
  'figures.read',
  'admin',
);
export const OPERATING_MODES = list('open', 'reduced', 'remote', 'closed');
export const OFFER_STATUSES = list(
  'offered',
  'received',
  'info_requested',
  'waitlisted',
  'accepted',
  'in_progress',
  'completed',
  'declined',
  'expired',
  'failed',
  'cancelled',
  'withdrawn',
);
export const REFERRAL_STATUSES = list(
  'unplaced',
  'waitlisted',
  'offered',
  'received',
  'info_requested',
  'accepted',
  'in_progress',
  'completed',
  'cancelled',
  'withdrawn',
);

/** Of a separation: between two owners it is proposed until the other one agrees; one that was lifted, or is over, has ended. */
export const SEPARATION_STATES = list('proposed', 'in_force', 'ended');

/** Why the router passes an agency by. */
export const EXCLUSIONS = list(
  'other_service_area',
  'suspended',
  'not_competent',
  'closed',
  'sex',
  'age',
  'dependants',
  'protection_status',
  'asylum',
  'no_capacity',
  'spoken_for',
  'route',
  'firewall',
  'excluded',
  'conflict_of_interest',
  'separated',
  'own_referral',
  'no_consent',
  'asked_before',
);
/** The same as it is told: `not_eligible`, because of a person whom the reader may not know; `not_told`, of a hidden place. */
export const TOLD_EXCLUSIONS = list(...EXCLUSIONS, 'not_eligible', 'not_told');

/** What ranks those who may be asked; a pack says how much each of them weighs. */
export const SOFT_RULES = list(
  'together',
  'language',
  'specialities',
  'distance',
  'opening',
  'operating_mode',
  'capacity',
  'acceptance',
  'load',
  'freshness',
);

/** When coverage asks whether there is a route: at this instant, in the coming night, on the next day on which all is closed. */
export const COVERAGE_TIMES = list('now', 'tonight', 'weekend');
/**
 * What keeps a person from a route, worst first: nobody takes such a person; nobody who does is open then; whoever is open is full;
 * somebody takes the person, and works in another language.
 */
export const COVERAGE_GAPS = list('structural', 'closed', 'full', 'with_interpretation');

export type AgencyKind = (typeof AGENCY_KINDS)[number];
export type Service = (typeof SERVICES)[number];
export type Purpose = (typeof PURPOSES)[number];
export type Category = (typeof CATEGORIES)[number];
export type Urgency = (typeof URGENCIES)[number];
export type Risk = (typeof RISKS)[number];
export type Stage = (typeof STAGES)[number];
export type DecisionKind = (typeof DECISION_KINDS)[number];
export type DecisionOutcome = (typeof DECISION_OUTCOMES)[number];
export type DecisionReason = (typeof DECISION_REASONS)[number];
export type ScreeningMode = (typeof SCREENING_MODES)[number];
export type Sex = (typeof SEXES)[number];
export type ProtectionStatus = (typeof PROTECTION_STATUSES)[number];
export type DangerFlag = (typeof DANGER_FLAGS)[number];
export type LawfulGround = (typeof LAWFUL_GROUNDS)[number];
export type CrisisKind = (typeof CRISIS_KINDS)[number];
export type CrisisPhase = (typeof CRISIS_PHASES)[number];
export type PauseReason = (typeof PAUSE_REASONS)[number];
export type PauseCode = (typeof PAUSE_CODES)[number];
export type Role = (typeof ROLES)[number];
export type Scope = (typeof SCOPES)[number];
export type OperatingMode = (typeof OPERATING_MODES)[number];
export type Skill = (typeof SKILLS)[number];
export type LanguageLevel = (typeof LANGUAGE_LEVELS)[number];
export type LanguageMode = (typeof LANGUAGE_MODES)[number];
export type TieKind = (typeof TIE_KINDS)[number];
export type ExpertMode = (typeof EXPERT_MODES)[number];
export type ExpertRequestStatus = (typeof EXPERT_REQUEST_STATUSES)[number];
export type ExpertCancelReason = (typeof EXPERT_CANCEL_REASONS)[number];
export type OfferStatus = (typeof OFFER_STATUSES)[number];
export type ReferralStatus = (typeof REFERRAL_STATUSES)[number];

export type CoverageTime = (typeof COVERAGE_TIMES)[number];
export type CoverageGap = (typeof COVERAGE_GAPS)[number];
export type SeparationState = (typeof SEPARATION_STATES)[number];

/** The lists that are published, by the name under which an integrator looks them up. */
export const CODE_LISTS = {
  agency_kind: AGENCY_KINDS,
  service: SERVICES,
  purpose: PURPOSES,
  category: CATEGORIES,
  urgency: URGENCIES,
  risk: RISKS,
  track: TRACKS,
  stage: STAGES,
  decision_kind: DECISION_KINDS,
  decision_outcome: DECISION_OUTCOMES,
  decision_reason: DECISION_REASONS,
  screening_mode: SCREENING_MODES,
  channel: CHANNELS,
  sex: SEXES,
  contact_method: CONTACT_METHODS,
  protection_status: PROTECTION_STATUSES,
  danger_flag: DANGER_FLAGS,
  decline_reason: DECLINE_REASONS,
  fail_reason: FAIL_REASONS,
  cancel_reason: CANCEL_REASONS,
  outcome: OUTCOMES,
  close_reason: CLOSE_REASONS,
  lawful_ground: LAWFUL_GROUNDS,
  pause_reason: PAUSE_CODES,
  crisis_kind: CRISIS_KINDS,
  crisis_phase: CRISIS_PHASES,
  role: ROLES,
  scope: SCOPES,
  operating_mode: OPERATING_MODES,
  offer_status: OFFER_STATUSES,
  referral_status: REFERRAL_STATUSES,
  separation_state: SEPARATION_STATES,
  exclusion: TOLD_EXCLUSIONS,
  soft_rule: SOFT_RULES,
  coverage_time: COVERAGE_TIMES,
  coverage_gap: COVERAGE_GAPS,
  skill: SKILLS,
  language_level: LANGUAGE_LEVELS,
  language_mode: LANGUAGE_MODES,
  tie_kind: TIE_KINDS,
  against_role: AGAINST_ROLES,
  expert_mode: EXPERT_MODES,
  expert_request_status: EXPERT_REQUEST_STATUSES,
  expert_cancel_reason: EXPERT_CANCEL_REASONS,
  expert_rule: EXPERT_RULES,
} as const;

/** A code in words: what a person reads where no better label is known (`no_capacity` → "No capacity"). */
export const labelOf = (code: string): string => {
  const words = code.replaceAll('_', ' ').replaceAll('.', ': ');
  return words.charAt(0).toUpperCase() + words.slice(1);
};
