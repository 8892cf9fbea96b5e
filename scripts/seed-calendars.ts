/**
 * `npm run rules:seed` enters the public holidays of 2029 and 2030 into the calendars of the shipped packs whose country
 * `date-holidays` has. The years before are kept by hand, from a source that knows which days are moved. What stands there stays:
 * only a date that has no entry gets one. Hijri days are left to the calendars' `holiday_rules`.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import Holidays from 'date-holidays';
import type { Calendar } from '../src/core/calendar.ts';
import type { RulePack } from '../src/core/rule-pack.ts';

const YEARS = [2029, 2030];
/** `date-holidays` knows the United Kingdom by nation. */
const PLACES: Record<string, [country: string, state?: string]> = { GB: ['GB', 'ENG'] };
const HIJRI = /Muharram|Rabi|Rajab|Ramadan|Shawwal|Dhu al-/;

for (const path of globSync(new URL('../src/rules/packs/*.json', import.meta.url).pathname)) {
  const pack = JSON.parse(readFileSync(path, 'utf8')) as RulePack;
  const [country, state] = PLACES[pack.jurisdiction] ?? [pack.jurisdiction];
  const known = new Holidays();
  if (!(country in known.getCountries())) continue;
  known.init(country, state ?? '');
  const calendars = pack.calendars.map(calendar =>
    calendar.id === pack.calendar_id ? { ...calendar, holidays: withPublicHolidays(calendar.holidays, known) } : calendar,
  );
  writeFileSync(path, JSON.stringify({ ...pack, calendars }));
}

function withPublicHolidays(holidays: Calendar['holidays'], known: Holidays): Calendar['holidays'] {
  const all = [...holidays];
  for (const { type, rule, date, name } of YEARS.flatMap(year => known.getHolidays(year, 'en'))) {
    const day = date.slice(0, 10);
    if (type !== 'public' || HIJRI.test(rule) || all.some(other => other.date === day)) continue;
    all.push({ date: day, name, hours: [], status: 'fixed' });
  }
  return all.sort((a, b) => (a.date < b.date ? -1 : a.date > b.date ? 1 : 0));
}
