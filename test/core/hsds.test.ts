import t from 'tap';
import { type ForeignAgency, understand } from '../../src/core/hsds.ts';
import { readTables } from '../../src/core/hsds-tables.ts';
import { meaningOfKinds, meaningOfServices, type NotUnderstood } from '../../src/core/hsds-terms.ts';
import { BROKEN, changed, directory, type Tables, TERMS } from '../support/hsds.ts';

function read(document: object) {
  const faults: string[] = [];
  const passed: NotUnderstood[] = [];
  const left_out = new Set<string>();
  const report = (pointer: string) => faults.push(pointer);
  const leaveOut = (table: string, field?: string) => left_out.add(field ? `${table}.${field}` : table);
  const agencies = understand(readTables(document as Record<string, unknown>, report, leaveOut), {
    jurisdiction: 'XA',
    time_zone: 'Africa/Cairo',
    kindOf: meaningOfKinds({}),
    serviceOf: meaningOfServices(TERMS.service_codes),
    report,
    leaveOut,
    pass: what => passed.push(what),
  });
  return { agencies, faults, passed, left_out: [...left_out].sort() };
}

const UNDERSTOOD: Partial<ForeignAgency>[] = [
  {
    foreign_id: 'o1',
    name: 'Harbour House',
    kind: 'shelter',
    duty_contact: '+999 100 ext. 7',
    services: [
      {
        foreign_id: 's1',
        pointer: '/services/0',
        service: 'shelter_accommodation',
        said: {
          status: 'active',
          suspended_reason: null,
          min_age: 18,
          max_age: 60,
          eligibility: 'Women, with children or without',
          languages: ['ar'],
          regions: ['XA-2'],
          schedules: [
            { timezone: '+02:00', freq: 'WEEKLY', byday: 'MO,TU', opens_at: '08:00', closes_at: '16:00' },
            { timezone: 'UTC', freq: 'MONTHLY', byday: '1SA', opens_at: '08:00', closes_at: '10:00' },
          ],
          located_in: 'XA-1',
          specialities: ['trauma'],
        },
        assured_at: new Date('2026-11-20'),
        capacity: { total: 8, available: 3, updated_at: new Date('2026-11-21T08:00:00Z') },
      },
    ],
  },
  {
    foreign_id: 'o2',
    name: 'Legal Aid Circle',
    kind: 'civil_society',
    duty_contact: null,
    services: [
      {
        foreign_id: 's2',
        pointer: '/services/1',
        service: 'legal_aid',
        said: { status: 'suspended', suspended_reason: 'moving house' },
        assured_at: null,
        capacity: null,
      },
    ],
  },
];

t.test('a directory is understood, and nothing of persons and addresses is', async t => {
  const { agencies, faults, passed, left_out } = read(directory());
  t.strictSame(faults, []);
  t.strictSame(passed, []);
  t.match(agencies, UNDERSTOOD);
  t.strictSame(
    agencies.flatMap(({ services }) => services.map(({ said }) => said)),
    UNDERSTOOD.flatMap(({ services }) => services!.map(({ said }) => said)),
    'and no more is said',
  );
  t.ok(left_out.includes('contact') && left_out.includes('organization.website') && left_out.includes('address.address_1'));
  t.notMatch(JSON.stringify(agencies), /canary/i);
});

const plain = (agencies: ForeignAgency[]) =>
  agencies.map(({ pointer: _, services, ...agency }) => ({ ...agency, services: services.map(({ pointer: _, ...it }) => it) }));

t.test('it is the same in whichever form it comes', async t => {
  const expected = plain(read(directory()).agencies);
  const csv = (rows: Tables[string]) => {
    const names = [...new Set(rows.flatMap(row => Object.keys(row)))];
    const cell = (value: unknown) => `"${String(value ?? '').replaceAll('"', '""')}"`;
    return [names.join(), ...rows.map(row => names.map(name => cell(row[name])).join())].join('\r\n');
  };
  const tables = Object.entries(directory());
  const inline = tables.map(([name, data]) => ({ name, data }));
  const as_text = tables.map(([name, rows]) => ({ name: `${name}.csv`, data: csv(rows) }));
  for (const resources of [inline, as_text]) {
    const { agencies, faults } = read({ profile: 'data-package', resources });
    t.strictSame(faults, []);
    t.strictSame(plain(agencies), expected);
  }

  const all = directory();
  const of = (table: string, field: string, id: unknown) => all[table]!.filter(row => row[field] === id);
  const term = (id: unknown) => of('taxonomy_terms', 'id', id).map(({ parent_id: _, ...row }) => row)[0];
  const attributes = (id: unknown) =>
    of('attributes', 'link_id', id).map(({ link_id: _, link_entity: __, taxonomy_term_id, ...row }) => ({
      ...row,
      ...(taxonomy_term_id ? { taxonomy_term: term(taxonomy_term_id) } : {}),
    }));
  const held = (table: string, id: unknown) => of(table, 'service_id', id).map(({ service_id: _, ...row }) => row);
  const organizations = all.organizations!.map(({ parent_organization_id: _, ...organization }) => ({
    ...organization,
    attributes: attributes(organization.id),
    phones: of('phones', 'organization_id', organization.id).map(({ organization_id: _, ...row }) => row),
    contacts: of('contacts', 'organization_id', organization.id),
    services: of('services', 'organization_id', organization.id).map(({ organization_id: _, ...service }) => ({
      ...service,
      attributes: attributes(service.id),
      schedules: held('schedules', service.id),
      languages: held('languages', service.id),
      service_areas: held('service_areas', service.id),
      capacities: held('service_capacities', service.id).map(({ unit_id: _, ...row }) => ({ ...row, unit: all.units![0] })),
      service_at_locations: held('service_at_locations', service.id).map(({ location_id, ...row }) => ({
        ...row,
        schedules: of('schedules', 'service_at_location_id', row.id),
        location: { ...of('locations', 'id', location_id)[0], addresses: of('addresses', 'location_id', location_id) },
      })),
    })),
  }));
  const { agencies, faults } = read({ organizations });
  t.strictSame(faults, []);
  t.strictSame(plain(agencies), expected);
});

t.test('each kind of broken row is named', async t => {
  for (const [said, document, pointer] of BROKEN) t.strictSame([...new Set(read(document).faults)].slice(0, 1), [pointer], said);
});

t.test('a name that every object has is a name like any other', async t => {
  for (const name of ['toString', 'constructor', '__proto__', 'hasOwnProperty']) {
    const tables = directory();
    tables.organizations![1]!.id = name;
    tables.services![1]!.organization_id = name;
    tables.attributes![1]!.link_id = name;
    tables.phones![1]!.organization_id = name;
    tables.contacts![0]!.organization_id = name;
    tables.attributes!.push({ id: name, link_id: 's1', link_entity: name, link_type: name, value: name });
    // Told again where it is mentioned, with what its table knows nothing of.
    const term = Object.fromEntries([...Object.entries(tables.taxonomy_terms![3]!), [name, 'x']]);
    tables.attributes![3] = { id: 'x4', link_id: 's2', link_entity: 'service', taxonomy_term: term };
    const { agencies, faults, passed } = read(tables);
    t.strictSame([faults, passed], [[], []], name);
    t.match(agencies, [{ foreign_id: 'o1' }, { foreign_id: name, services: [{ service: 'legal_aid' }] }], name);
  }
});

t.test('what is sound and has no meaning here is passed over', async t => {
  const rows: [string, Tables, string, (agencies: ForeignAgency[]) => unknown, unknown][] = [
    [
      'a service without a term of ours',
      changed('taxonomy_terms', 3, { code: 'ADVICE-2' }),
      '/attributes/3',
      all => all[1]!.services,
      [],
    ],
    [
      'hours that say no time',
      changed('schedules', 0, { opens_at: null }),
      '/schedules/0',
      all => all[0]!.services[0]!.said.schedules,
      [],
    ],
    [
      'weeks of the year',
      changed('schedules', 0, { byweekno: '41' }),
      '/schedules/0',
      all => all[0]!.services[0]!.said.schedules,
      [],
    ],
    [
      'an area in words',
      changed('service_areas', 0, { name: 'The north' }),
      '/service_areas/0',
      all => all[0]!.services[0]!.said.regions,
      undefined,
    ],
    [
      'an address in words',
      changed('addresses', 0, { state_province: 'The north' }),
      '/addresses/0',
      all => all[0]!.services[0]!.said.located_in,
      undefined,
    ],
    [
      'a language in words',
      changed('languages', 0, { code: null }),
      '/languages/0',
      all => all[0]!.services[0]!.said.languages,
      undefined,
    ],
    [
      'a second unit',
      changed('service_capacities', 1, { id: 'c2', service_id: 's1', available: 1 }),
      '/service_capacities/0',
      all => all[0]!.services[0]!.capacity,
      null,
    ],
  ];
  for (const [said, document, pointer, look, expected] of rows) {
    const { agencies, faults, passed } = read(document);
    t.strictSame(faults, [], said);
    t.equal(passed[0]?.pointer, pointer, said);
    t.strictSame(look(agencies), expected, said);
    t.notMatch(
      passed.filter(({ pointer }) => pointer.startsWith('/addresses')),
      [{ value: String }],
      'no address is told',
    );
  }
});

t.test('hours without a zone are those of the jurisdiction', async t => {
  const { agencies } = read(changed('schedules', 0, { timezone: null }));
  t.equal(agencies[0]!.services[0]!.said.schedules![0]!.timezone, 'Africa/Cairo');
});
