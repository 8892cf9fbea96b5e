import { type Static, Type } from 'typebox';
import { AGENCY_KINDS, SERVICES } from '../../core/codes.ts';
import { Closed, Code, Id, Jurisdiction, Named, Nullable } from '../../platform/http/openapi.ts';

/** How much of it is told; the rest is counted. */
export const MOST_TOLD = 200;

const Terms = <const T extends readonly string[]>(codes: T, description: string) =>
  Type.Optional(Type.Record(Type.String({ pattern: '^.{1,200}$' }), Code(codes), { maxProperties: 1_000, description }));

export const ImportBody = Closed({
  jurisdiction: { ...Jurisdiction(), description: 'In which its agencies work, and its regions lie' },
  source: Type.String({ pattern: '^[a-z][a-z0-9_]{0,59}$', description: 'A code for the directory that it comes from' }),
  dry_run: Type.Optional(Type.Boolean({ description: 'Tells what would be done, and does nothing' })),
  agency_kinds: Terms(AGENCY_KINDS, 'What its terms for kinds of organisations mean, beside our own codes'),
  service_codes: Terms(
    SERVICES,
    "What its terms for services mean, beside our own codes and those words of IOM's Human Trafficking Case Data Standard 2.0 and of Primero that mean one of them alone",
  ),
  directory: Type.Object(
    {},
    {
      additionalProperties: true,
      description:
        'HSDS 3: `organizations` with everything within one another, flat lists by the names of the tables, or a Data Package whose `resources` have inline `data` (rows, or CSV as text)',
    },
  ),
});
export type ImportInput = Static<typeof ImportBody>;

const Count = () => Type.Integer({ minimum: 0 });
const Counts = () => Closed({ created: Count(), updated: Count(), unchanged: Count() });

export const ImportReport = Named('DirectoryImport', {
  id: Nullable(Id('imp')),
  dry_run: Type.Boolean(),
  source: Type.String(),
  jurisdiction: Type.String(),
  agencies: Counts(),
  services: Counts(),
  capacities: Counts(),
  not_mentioned: Closed(
    { total: Count(), data: Type.Array(Closed({ agency_id: Id('agy'), service: Code(SERVICES) })) },
    {
      description: 'Services of agencies that this source knows, of which the directory says nothing: they are left as they are',
    },
  ),
  not_understood: Closed(
    {
      total: Count(),
      data: Type.Array(Closed({ pointer: Type.String(), value: Type.Optional(Type.String()), reason: Type.String() })),
    },
    { description: 'Sound, but without a meaning here; it was passed over' },
  ),
  left_out: Type.Array(Closed({ table: Type.String(), field: Type.Optional(Type.String()), rows: Count() }), {
    description: 'What has no place here, in how many rows; persons (`contact`) are never taken over',
  }),
});
export type ImportReport = Static<typeof ImportReport>;

export const EXPORT_FORMATS = ['json', 'datapackage'] as const;
export const ExportQuery = {
  format: Type.Optional({ ...Code(EXPORT_FORMATS), description: 'Default: json' }),
  jurisdiction: Jurisdiction(),
};
