import { Type } from 'typebox';
import { AGENCY_KINDS, OPERATING_MODES, PROTECTION_STATUSES, SERVICES, SEXES } from '../core/codes.ts';
import { FREQUENCIES } from '../core/opening.ts';
import { SPECIALITY_PATTERN } from '../core/routing.ts';
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

const STATUSES = ['active', 'suspended'] as const;
const MOST_PLACES = 100_000;
const OLDEST = 130;

export const AgencyParams = Type.Object({ id: Id('agy') });
export const ServiceParams = Type.Object({ id: Id('agy'), service: Code(SERVICES) });

const Name = () => Text(200, 1);
const Regions = () => Type.Array(Region(), { maxItems: 100, uniqueItems: true });
const Languages = () => Type.Array(Language(), { maxItems: 50, uniqueItems: true });
const DutyContact = () => Nullable(Type.String({ minLength: 1, maxLength: 200, description: 'How to reach whoever is on duty' }));

const agency = {
  jurisdictions: Type.Array(Jurisdiction(), { minItems: 1, maxItems: 20, uniqueItems: true }),
  regions: Regions(),
  languages: Languages(),
  competent_authority: Type.Boolean(),
  first_responder: Type.Boolean(),
  duty_contact: DutyContact(),
  calendar_id: Nullable(Id('cal')),
  status: Code(STATUSES),
  operating_mode: Code(OPERATING_MODES),
};

export const NewAgency = Closed({
  name: Name(),
  kind: Code(AGENCY_KINDS),
  ...Type.Partial(Type.Object(agency)).properties,
  jurisdictions: agency.jurisdictions,
});

/** `kind` is not among them: whoever does another kind of work is another agency. */
export const AgencyPatch = Closed(Type.Partial(Type.Object({ name: Name(), ...agency })).properties);

export const Agency = Named('Agency', {
  id: Id('agy'),
  name: Type.String(),
  kind: Code(AGENCY_KINDS),
  ...agency,
  duty_contact: Type.Optional({
    ...DutyContact(),
    description:
      'Left out, but to the agency itself and to administrators, where a place that must stay hidden could be told by it',
  }),
  reachable: Type.Optional(
    Type.Boolean({
      description:
        'Whether its system takes offers now: by an endpoint that works, or by pulling them. For the agency itself and its coordinators',
    }),
  ),
  version: Type.Integer(),
  created_at: Instant(),
  updated_at: Instant(),
});

export const AgencyFilters = {
  kind: Type.Optional(Code(AGENCY_KINDS)),
  jurisdiction: Type.Optional(Jurisdiction()),
  status: Type.Optional(Code(STATUSES)),
};

const Time = () => Type.String({ pattern: '^\\d{2}:\\d{2}$', maxLength: 5 });
export const Schedule = Closed({
  freq: Code(FREQUENCIES),
  timezone: Type.String({ minLength: 1, maxLength: 60, description: 'IANA' }),
  opens_at: Time(),
  closes_at: { ...Time(), description: 'Not later than `opens_at`: on the day after' },
  byday: Type.Optional(Type.String({ maxLength: 60, description: '`MO,TU`; of months also `1MO`' })),
  bymonthday: Type.Optional(Type.String({ maxLength: 120, description: 'Of months: `1,15`' })),
  interval: Type.Optional(Type.Integer({ minimum: 1, maximum: 52 })),
  dtstart: Type.Optional(Day()),
  valid_from: Type.Optional(Day()),
  valid_to: Type.Optional(Day()),
  until: Type.Optional(Day()),
  count: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
  description: Type.Optional(Text(500)),
});

const age = () => Nullable(Type.Integer({ minimum: 0, maximum: OLDEST }));
const service = {
  regions: Type.Array(Region(), { maxItems: 100, uniqueItems: true, description: "Empty: all of the agency's" }),
  sexes: Codes(SEXES, { description: 'Empty: all' }),
  min_age: age(),
  max_age: age(),
  accepts_dependants: Type.Boolean(),
  languages: Type.Array(Language(), { maxItems: 50, uniqueItems: true, description: "Empty: the agency's" }),
  protection_statuses: Codes(PROTECTION_STATUSES, { description: 'Empty: all' }),
  intake_hours: Nullable(Text(200, 1)),
  location_protected: Type.Boolean(),
  status: Code(STATUSES),
  suspended_reason: Nullable(Text(500, 1)),
  specialities: Type.Array(Type.String({ pattern: SPECIALITY_PATTERN, maxLength: 60 }), {
    maxItems: 50,
    uniqueItems: true,
    description: 'What it is good at, in the same words as what referrals ask for',
  }),
  located_in: Nullable(Region()),
  eligibility: Nullable(Text(2_000, 1)),
  schedules: Type.Array(Schedule, { maxItems: 30, description: 'When it is open, in the words of HSDS 3; empty: not known' }),
};

/** A whole service: what is left out has its default (no limit, `active`, dependants accepted, location not protected). */
export const SetService = Closed(Type.Partial(Type.Object(service)).properties);

const Stale = Type.Boolean({ description: 'Assured so long ago that it counts for less' });

export const Service = Named('Service', {
  agency_id: Id('agy'),
  service: Code(SERVICES),
  ...service,
  located_in: Type.Optional({
    ...service.located_in,
    description: 'Where it lies; of a protected place left out, but to its agency',
  }),
  assured_at: { ...Instant(), description: 'When its agency last said that all this is right' },
  stale: Stale,
  version: Type.Integer(),
  created_at: Instant(),
  updated_at: Instant(),
});

export const SetCapacity = Closed({
  total: Type.Integer({ minimum: 0, maximum: MOST_PLACES }),
  held_elsewhere: Type.Optional(
    Type.Integer({ minimum: 0, maximum: MOST_PLACES, description: 'Taken by others than referrals here' }),
  ),
});

export const Capacity = Named('Capacity', {
  agency_id: Id('agy'),
  service: Code(SERVICES),
  availability: Code(['none', 'some']),
  total: Type.Optional(Type.Integer()),
  held_elsewhere: Type.Optional(Type.Integer()),
  held: Type.Optional(Type.Integer({ description: 'Taken by accepted referrals' })),
  available: Type.Optional(Type.Integer({ description: 'total − held − held_elsewhere; below zero when over capacity' })),
  assured_at: Type.Optional(Instant()),
  stale: Type.Optional(Stale),
  version: Type.Optional(Type.Integer()),
});
