import { type Read, read } from '../../audit/read.ts';
import type { AgencyActor } from '../../core/access.ts';
import { type ToldAgency, type ToldService, toDataPackage, toNested, toTables } from '../../core/hsds-export.ts';
import { Problem } from '../../core/problem.ts';
import type { Services } from '../../services.ts';
import { availableOf, type CapacityRow, type ServiceRow } from '../store.ts';
import type { EXPORT_FORMATS } from './schema.ts';
import { listAgencyIds, listEntered } from './store.ts';

/** So many agencies are told in one answer; a jurisdiction with more is no mechanism, and would be a burden to whoever reads it. */
const MOST_AGENCIES = 10_000;

/**
 * The directory of a jurisdiction for others. Of protected places neither where they are nor how many there are is told, not even to
 * whoever keeps them: a file goes further than the screen that it was meant for.
 * @throws Problem `unprocessable` where there are too many agencies for one answer
 */
export const exportDirectory = (
  services: Services,
  actor: AgencyActor,
  { jurisdiction, format = 'json' }: { jurisdiction: string; format?: (typeof EXPORT_FORMATS)[number] },
): Promise<Read<object>> =>
  read(services, actor, 'directory.export', { subject_id: jurisdiction, format }, async tx => {
    const ids = await listAgencyIds(tx, jurisdiction, MOST_AGENCIES + 1);
    if (ids.length > MOST_AGENCIES)
      throw new Problem('unprocessable', { detail: `There are more than ${MOST_AGENCIES} agencies.` });
    const { agencies, services: offered, capacities } = await listEntered(tx, ids, { lock: false });
    const by_agency = Map.groupBy(offered, ({ agency_id }) => agency_id);
    const places = new Map(capacities.map(row => [`${row.agency_id} ${row.service}`, row]));
    const told = [...agencies.values()].map(({ id, name, kind, duty_contact }): ToldAgency => {
      const rows = by_agency.get(id) ?? [];
      const sheltered = rows.some(({ location_protected }) => location_protected);
      return {
        id,
        name,
        kind,
        duty_contact: sheltered ? null : duty_contact,
        services: rows.flatMap(row => toldService(row, places.get(`${id} ${row.service}`), jurisdiction) ?? []),
      };
    });
    const tables = toTables(told, services.now());
    return format === 'json' ? toNested(tables) : toDataPackage(tables, jurisdiction);
  });

/** Null where it serves other countries only. */
function toldService(row: ServiceRow, places: CapacityRow | undefined, jurisdiction: string): ToldService | null {
  const regions = row.regions.filter(region => region.startsWith(jurisdiction.slice(0, 2)));
  if (row.regions.length > 0 && regions.length === 0) return null;
  const { location_protected } = row;
  const here = row.located_in?.startsWith(jurisdiction.slice(0, 2));
  return {
    ...row,
    regions,
    located_in: location_protected || !here ? null : row.located_in,
    capacity:
      location_protected || !places
        ? null
        : { total: places.total, available: availableOf(places), assured_at: places.assured_at },
  };
}
