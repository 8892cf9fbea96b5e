import { AGENCY_KINDS, type AgencyKind, SERVICES, type Service } from './codes.ts';
import type { LeaveOut, ReportRow } from './hsds-tables.ts';

/**
 * In which words of others our services are told: HTCDS 2.0 (IOM's Human Trafficking Case Data Standard 2.0, CC BY 4.0; support
 * types) and Primero's service types, each where it means one of ours alone. Compared without regard to case.
 */
const WORDS_OF_OTHERS: Readonly<Record<string, Service>> = {
  health: 'medical',
  health_medical_service: 'medical',
  safehouse_service: 'shelter_accommodation',
  psychosocial_service: 'psychosocial',
  legal: 'legal_aid',
  legal_assistance_service: 'legal_aid',
  police_other_service: 'security_protection',
  family_reunification_service: 'family_tracing_reunification',
  child_protection_service: 'guardianship_child_protection',
  labourexploitationrehabilitation: 'labour_claim_wage_recovery',
  registration_service: 'documentation_status',
  education: 'education_training',
  rightsbasedtraining: 'education_training',
  education_service: 'education_training',
  livelihoods_service: 'livelihood',
  cash_assistance: 'cash_material',
  nfi_clothes_shoes_service: 'cash_material',
  food_service: 'cash_material',
  sexualexploitationrehabilitation: 'sexual_exploitation_rehabilitation',
};

/** From a term to what it means here. */
export type Meaning<Code extends string> = (term: string) => Code | undefined;

const meaning = <Code extends string>(
  codes: readonly Code[],
  others: Readonly<Record<string, Code>>,
  given: Readonly<Record<string, Code>>,
): Meaning<Code> => {
  const known = new Map<string, Code>([...codes.map(code => [code, code] as const), ...Object.entries(others)]);
  for (const [term, code] of Object.entries(given)) known.set(plain(term), code);
  return term => known.get(plain(term));
};

const plain = (term: string): string => term.trim().toLowerCase();

/** @param given what the terms of this directory mean; it goes before what is known of itself */
export const meaningOfServices = (given: Readonly<Record<string, Service>>): Meaning<Service> =>
  meaning(SERVICES, WORDS_OF_OTHERS, given);

export const meaningOfKinds = (given: Readonly<Record<string, AgencyKind>>): Meaning<AgencyKind> =>
  meaning(AGENCY_KINDS, {}, given);

/** Sound, but without a meaning here. Never holds what is said of persons or addresses. */
export interface NotUnderstood {
  pointer: string;
  value?: string;
  reason: string;
}

export interface Understanding {
  /** Regions lie in its country. */
  jurisdiction: string;
  /** Of hours that name none. */
  time_zone: string;
  kindOf: Meaning<AgencyKind>;
  serviceOf: Meaning<Service>;
  report: ReportRow;
  leaveOut: LeaveOut;
  pass: (what: NotUnderstood) => void;
}

/** With which attributes (`link_type`) is said what HSDS has no field for; `value` is our code. */
export const ATTRIBUTES = {
  specialities: 'specialities',
  sexes: 'sexes',
  protection_statuses: 'protection_statuses',
  accepts_dependants: 'accepts_dependants',
  location_protected: 'location_protected',
  time_zone: 'time_zone',
} as const;
