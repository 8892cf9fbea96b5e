import { type Static, Type } from 'typebox';
import { AGE_BANDS } from '../../core/case.ts';
import { COVERAGE_GAPS, COVERAGE_TIMES, PROTECTION_STATUSES, SEXES } from '../../core/codes.ts';
import { COVERED_SERVICES } from '../../core/coverage.ts';
import {
  Closed,
  Code,
  Codes,
  Id,
  Instant,
  Jurisdiction,
  Language,
  Named,
  Nullable,
  Region,
} from '../../platform/http/openapi.ts';
import { PageQuery } from '../../platform/http/paging.ts';

const { Optional } = Type;
const Service = () => Code(COVERED_SERVICES);
const Count = (description?: string) => Type.Integer({ minimum: 0, ...(description ? { description } : {}) });

export const CoverageQuery = {
  jurisdiction: Optional({ ...Jurisdiction(), description: "Of the caller's; all of them unless said" }),
  service: Optional(Service()),
  region: Optional({ ...Region(), description: 'Also one that nobody names' }),
  when: Optional(Code(COVERAGE_TIMES)),
  gap: Optional({
    ...Code(COVERAGE_GAPS),
    description: 'All but `with_interpretation` unless said: of these there may be very many',
  }),
  format: Optional({ ...Code(['json', 'csv']), description: '`csv`: all lines, not a page of them' }),
  ...PageQuery,
};

const CoverageLine = Named('CoverageLine', {
  jurisdiction: Jurisdiction(),
  service: Service(),
  gap: Type.String({
    ...Code(COVERAGE_GAPS),
    description:
      '`structural`: nobody takes such persons; `closed`: nobody who does is open then; `full`: whoever is open has no place now, told to coordinators alone; `with_interpretation`: there is a route, and nobody on it works in that language',
  }),
  when: Codes(COVERAGE_TIMES, { minItems: 1 }),
  region: Nullable(Region()),
  sex: Nullable(Code(SEXES)),
  age_band: Nullable(Code(AGE_BANDS)),
  protection_status: Nullable(Code(PROTECTION_STATUSES)),
  language: Nullable(Language()),
  profiles: Count('How many the line stands for. Lines may overlap'),
});

const CoverageTotal = Named('CoverageTotal', {
  jurisdiction: Jurisdiction(),
  rule_pack_version: Type.Integer(),
  crisis_modes: Type.Array(Id('crm'), { description: 'Under which it was looked, where they hold' }),
  when: Code(COVERAGE_TIMES),
  at: Type.String({ ...Instant(), description: '`tonight`: two in the morning; `weekend`: noon of the next closed day' }),
  profiles: Count('Service × sex × age band × protection status × region × language'),
  covered: Count(),
  with_interpretation: Count('Of those that are covered'),
  hours_unknown: Count('Of those that are covered: only by services of which nobody knows whether they are open'),
  gaps: Closed({ structural: Count(), closed: Count(), full: Optional(Count('For coordinators')) }),
});

const Coverage = Named('Coverage', {
  data: Type.Array(CoverageLine, { description: 'Worst first. Null: any' }),
  next_cursor: Nullable(Type.String()),
  totals: Type.Array(CoverageTotal, { description: 'Of what was asked for, whatever page it is' }),
  as_of: Instant(),
});

/** As JSON or as a table. */
export const CoverageAnswer = {
  description: 'As it now is',
  content: {
    'application/json': { schema: Coverage },
    'text/csv': { schema: { type: 'string', description: 'A header, then a row for each line; an empty cell: any' } },
  },
};

export type CoverageQuery = Static<ReturnType<typeof Type.Object<typeof CoverageQuery>>>;
