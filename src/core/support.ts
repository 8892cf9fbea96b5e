import type { AgencyKind } from './codes.ts';

/** Those who stand by the person, and those who do not: who may ask for something in the person's name. Pure. */

const SUPPORTS: readonly AgencyKind[] = [
  'shelter',
  'health',
  'social_services',
  'civil_society',
  'international_organisation',
  'hotline',
  'council',
  'school',
];

/** Whether agencies of this kind support the person; never one that enforces, judges or governs. */
export const isSupport = (kind: AgencyKind): boolean => SUPPORTS.includes(kind);
