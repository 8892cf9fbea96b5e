import type { CandidateService, RoutingNeed, RoutingRules } from '../../src/core/routing.ts';
import { shipped } from './rule-packs.ts';

/** A need, a service that fits it, and rules, to be varied by tests of routing. */

export const AT = new Date('2026-11-21T20:00:00.000Z');

export const need = (more: Partial<RoutingNeed> = {}): RoutingNeed => ({
  tie_key: 'ref_1',
  service: 'shelter_accommodation',
  urgency: 'urgent',
  stage: 'presumed',
  jurisdiction: 'XA',
  region: 'XA-1',
  sex: 'female',
  age: 27,
  adult_age: 18,
  dependants: 0,
  languages: ['ar'],
  specialities: [],
  protection_status: 'refugee',
  complainant: false,
  grouped: false,
  completed: [],
  sender_agency_id: 'agy_sender',
  excluded_agencies: [],
  conflicts: new Set(),
  apart_from: new Set(),
  together_with: new Set(),
  unreachable_agencies: null,
  ...more,
});

export const service = (more: Partial<CandidateService> = {}): CandidateService => ({
  service: 'shelter_accommodation',
  agency_id: 'agy_1',
  kind: 'shelter',
  agency_status: 'active',
  operating_mode: 'open',
  competent_authority: false,
  jurisdictions: ['XA'],
  regions: ['XA-1'],
  located_in: 'XA-1',
  sexes: ['female'],
  min_age: 18,
  max_age: 60,
  accepts_dependants: true,
  languages: ['ar'],
  specialities: [],
  protection_statuses: ['refugee'],
  location_protected: false,
  status: 'active',
  is_open: true,
  assured_at: AT,
  capacity: { total: 4, held: 0, held_elsewhere: 0, freed: 1 },
  pending: 0,
  pending_urgent: 0,
  history: { asked: 0, accepted: 0 },
  ...more,
});

/** Those of the illustrative pack, but without its routes. */
export const rules = (more: Partial<RoutingRules> = {}): RoutingRules => {
  const { firewalls, routing } = shipped('XA');
  return { routes: [], firewalls, routing, ...more };
};
