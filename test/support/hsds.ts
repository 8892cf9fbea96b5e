/** A directory of others as flat tables of HSDS 3, small and without fault. */

export type Tables = Record<string, Record<string, unknown>[]>;

export const directory = (): Tables => ({
  organizations: [
    { id: 'o1', name: 'Harbour House', description: 'A shelter', website: 'https://harbour.example' },
    { id: 'o2', name: 'Legal Aid Circle', parent_organization_id: 'o1' },
  ],
  services: [
    {
      id: 's1',
      organization_id: 'o1',
      name: 'Rooms',
      status: 'active',
      minimum_age: 18,
      maximum_age: 60,
      eligibility_description: 'Women, with children or without',
      assured_date: '2026-11-20',
    },
    { id: 's2', organization_id: 'o2', name: 'Advice', status: 'temporarily closed', alert: 'moving house' },
  ],
  locations: [{ id: 'l1', organization_id: 'o1', location_type: 'physical', name: 'The old mill' }],
  service_at_locations: [{ id: 'sl1', service_id: 's1', location_id: 'l1' }],
  addresses: [
    {
      id: 'a1',
      location_id: 'l1',
      address_1: 'CANARY-STREET 7',
      city: 'Canary',
      state_province: 'XA-1',
      postal_code: '1',
      country: 'XA',
    },
  ],
  schedules: [
    { id: 'h1', service_id: 's1', freq: 'WEEKLY', byday: 'MO,TU', opens_at: '08:00', closes_at: '16:00', timezone: 2 },
    { id: 'h2', service_at_location_id: 'sl1', freq: 'MONTHLY', byday: '1SA', opens_at: '08:00:00Z', closes_at: '10:00:00Z' },
  ],
  languages: [{ id: 'g1', service_id: 's1', code: 'ar', name: 'Arabic' }],
  service_areas: [{ id: 'r1', service_id: 's1', name: 'XA-2' }],
  units: [{ id: 'u1', name: 'beds' }],
  service_capacities: [{ id: 'c1', service_id: 's1', unit_id: 'u1', available: 3, maximum: 8, updated: '2026-11-21T08:00:00Z' }],
  taxonomy_terms: [
    { id: 't1', code: 'shelter', name: 'Shelter', description: '-' },
    { id: 't2', code: 'civil_society', name: 'Civil society', description: '-', parent_id: 't1' },
    { id: 't3', code: 'Safehouse_Service', name: 'Safe house', description: '-' },
    { id: 't4', code: 'ADVICE-1', name: 'Advice', description: '-' },
  ],
  attributes: [
    { id: 'x1', link_id: 'o1', link_entity: 'organization', taxonomy_term_id: 't1' },
    { id: 'x2', link_id: 'o2', link_entity: 'organization', taxonomy_term_id: 't2' },
    { id: 'x3', link_id: 's1', link_entity: 'service', taxonomy_term_id: 't3' },
    { id: 'x4', link_id: 's2', link_entity: 'service', taxonomy_term_id: 't4' },
    { id: 'x5', link_id: 's1', link_entity: 'service', link_type: 'specialities', value: 'trauma' },
  ],
  phones: [
    { id: 'p1', organization_id: 'o1', number: '+999 100', extension: 7, description: 'ask for CANARY-PERSON' },
    { id: 'p2', organization_id: 'o2', contact_id: 'k1', number: '+999 CANARY' },
  ],
  contacts: [{ id: 'k1', organization_id: 'o2', name: 'CANARY-PERSON', email: 'canary@example.org' }],
});

/** What its own terms mean. */
export const TERMS = { service_codes: { 'advice-1': 'legal_aid' } } as const;

/** The same with one row changed, or added where `i` is behind the last. */
export function changed(table: string, i: number, more: Record<string, unknown>): Tables {
  const all = directory();
  all[table]![i] = { ...all[table]![i], ...more };
  return all;
}

/** Each kind of broken row, and where it is named. */
export const BROKEN: [said: string, Tables | Record<string, unknown>, pointer: string][] = [
  ['an organization without id', changed('organizations', 1, { id: '' }), '/organizations/1'],
  ['an organization without name', changed('organizations', 1, { name: null }), '/organizations/1'],
  ['a name that is no text', changed('organizations', 1, { name: 7 }), '/organizations/1/name'],
  ['a name that is too long', changed('organizations', 1, { name: 'x'.repeat(201) }), '/organizations/1/name'],
  ['an id that is too long', changed('languages', 0, { id: 'x'.repeat(201) }), '/languages/0/id'],
  ['an id that is there twice', changed('organizations', 2, { id: 'o1', name: 'Another' }), '/organizations/2/id'],
  [
    'more schedules than a service may have',
    { ...directory(), schedules: Array.from({ length: 31 }, (_, i) => ({ ...directory().schedules![0], id: `h${i}` })) },
    '/schedules/30',
  ],
  ['the same row twice', changed('languages', 1, { id: 'g1', service_id: 's1', code: 'ar', name: 'Arabic' }), '/languages/1/id'],
  [
    'a parent that is not there',
    changed('organizations', 0, { parent_organization_id: 'o9' }),
    '/organizations/0/parent_organization_id',
  ],
  [
    'parents in a circle',
    changed('organizations', 0, { parent_organization_id: 'o2' }),
    '/organizations/0/parent_organization_id',
  ],
  ['terms in a circle', changed('taxonomy_terms', 0, { parent_id: 't2' }), '/taxonomy_terms/0/parent_id'],
  ['a service of nobody', changed('services', 0, { organization_id: null }), '/services/0'],
  ['a service of nobody here', changed('services', 0, { organization_id: 'o9' }), '/services/0/organization_id'],
  ['a status that is none', changed('services', 0, { status: 'open' }), '/services/0/status'],
  ['an age below zero', changed('services', 0, { minimum_age: -1 }), '/services/0/minimum_age'],
  ['an age of nobody', changed('services', 0, { maximum_age: 131 }), '/services/0/maximum_age'],
  ['an age that is no number', changed('services', 0, { maximum_age: 'sixty' }), '/services/0/maximum_age'],
  ['ages the wrong way round', changed('services', 0, { minimum_age: 61 }), '/services/0/minimum_age'],
  [
    'too much of eligibility',
    changed('services', 0, { eligibility_description: 'x'.repeat(2_001) }),
    '/services/0/eligibility_description',
  ],
  ['a date that is none', changed('services', 0, { assured_date: 'lately' }), '/services/0/assured_date'],
  [
    'a second service of the same kind',
    changed('services', 2, {
      id: 's3',
      organization_id: 'o1',
      name: 'More rooms',
      status: 'active',
      attributes: [{ value: 'shelter_accommodation' }],
    }),
    '/services/2',
  ],
  ['a place of no service', changed('service_at_locations', 0, { service_id: 's9' }), '/service_at_locations/0/service_id'],
  ['a region elsewhere', changed('addresses', 0, { state_province: 'EG-C' }), '/addresses/0/state_province'],
  ['an area elsewhere', changed('service_areas', 0, { name: 'EG-C' }), '/service_areas/0/name'],
  ['hours of no service', changed('schedules', 0, { service_id: 's9' }), '/schedules/0/service_id'],
  ['another frequency', changed('schedules', 0, { freq: 'YEARLY' }), '/schedules/0/freq'],
  ['a day that is none', changed('schedules', 0, { byday: 'MO,XX' }), '/schedules/0/byday'],
  ['a time that is none', changed('schedules', 0, { opens_at: '25:00' }), '/schedules/0/opens_at'],
  ['a zone that is none', changed('schedules', 0, { timezone: 15 }), '/schedules/0/timezone'],
  ['a count that is none', changed('schedules', 0, { count: 0 }), '/schedules/0/count'],
  ['a language that is none', changed('languages', 0, { code: 'Arabic' }), '/languages/0/code'],
  ['places below zero', changed('service_capacities', 0, { available: -1 }), '/service_capacities/0/available'],
  ['half a place', changed('service_capacities', 0, { maximum: 8.5 }), '/service_capacities/0/maximum'],
  ['more free than there are', changed('service_capacities', 0, { available: 9 }), '/service_capacities/0/available'],
  ['places that are not counted', changed('service_capacities', 0, { available: null }), '/service_capacities/0/available'],
  ['a unit that is not there', changed('service_capacities', 0, { unit_id: 'u9' }), '/service_capacities/0/unit_id'],
  ['a term that is not there', changed('attributes', 0, { taxonomy_term_id: 't9' }), '/attributes/0/taxonomy_term_id'],
  ['an attribute of nothing', changed('attributes', 4, { link_id: null }), '/attributes/4'],
  ['an attribute of what is not there', changed('attributes', 4, { link_id: 's9' }), '/attributes/4/link_id'],
  ['a word of ours that is none', changed('attributes', 4, { value: 'Trauma!' }), '/attributes/4/value'],
  ['a row that is none', { ...directory(), languages: [7] }, '/languages/0'],
  ['a table that is none', { ...directory(), languages: { id: 'g1' } }, '/languages'],
  [
    'a held row that says otherwise',
    changed('services', 0, { languages: [{ service_id: 's2', code: 'ar' }] }),
    '/services/0/languages/0/service_id',
  ],
  ['a resource without data', { resources: [{ name: 'organization', path: 'organizations.csv' }] }, '/resources/0/data'],
  ['a resource without name', { resources: [{ data: [] }] }, '/resources/0'],
  ['CSV that cannot be read', { resources: [{ name: 'organization', data: 'id,name\n1,"x' }] }, '/resources/0/data'],
  ['CSV with a cell too many', { resources: [{ name: 'organization', data: 'id,name\n1,x,y' }] }, '/resources/0/data/0'],
];
