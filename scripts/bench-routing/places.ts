import { setTimeout as wait } from 'node:timers/promises';
import pg from 'pg';
import { type Asked, connectAgencies, listAsked, openCases } from '../bench/acts.ts';
import { drive } from '../bench/driver.ts';
import type { Server } from '../bench/server.ts';
import { startService } from '../bench/service.ts';
import type { World } from '../bench/world.ts';
import { asOwner } from '../bench-clocks/population.ts';

/**
 * Far more people than places: all are referred at once, and shelters say yes, say no and give places back until everybody has had
 * one. Beside that it is looked at, again and again, whether a place was given twice, and for how long one stood empty while somebody
 * waited who could be asked for it.
 */

export interface PlacesResult {
  referrals: number;
  places: number;
  /** From the first referral to the last person who had a place. */
  seconds: number;
  refer_p99_ms: number;
  /** Answers of shelters that were too late, for somebody else had the place. */
  refused: number;
  declined: number;
  looks: number;
  /** Looks at which more places were held than there are, or another number than offers hold. */
  given_twice: number;
  /** The longest that a shelter had places which nobody was asked for, while somebody waited who could be. */
  longest_empty_ms: number;
  /** Such places when all was settled. */
  left_empty: number;
}

const SHELTERS = 10;
const LOOK_MS = 25;
const STAY_MS = 5_000;

export async function measurePlaces(
  server: Server,
  world: World,
  { referrals, places, at_most_s }: { referrals: number; places: number; at_most_s: number },
): Promise<PlacesResult> {
  await server.clone('world', 'places');
  const database_url = server.urlOf('places');
  await asOwner(database_url, async client => {
    await client.query('delete from offers');
    await client.query('delete from referrals');
    const open = world.shelters.slice(0, SHELTERS).map(({ id }) => id);
    await client.query('update capacities set held = 0, total = case when agency_id = any ($1) then $2::int else 0 end', [
      open,
      places / SHELTERS,
    ]);
  });
  const service = await startService({ database_url, dir: server.dir, roles: 'api,worker' });
  const agencies = connectAgencies(service.origin, world, 16);
  const look = new pg.Client(database_url);
  await look.connect();
  let answers = 0;
  const result = { referrals, places, refused: 0, declined: 0, looks: 0, given_twice: 0, longest_empty_ms: 0 };
  try {
    const cases = await openCases(agencies, world, referrals);
    const began_at = performance.now();
    let over = false;
    const watching = watch(look, result, () => over);
    const answering = answer();
    const waiting = [...cases];
    const referred = await drive({ clients: 8, seconds: at_most_s }, async () => {
      const kase = waiting.pop();
      if (!kase) return false;
      await agencies.submit(kase);
      return true;
    });
    await answering;
    const seconds = (performance.now() - began_at) / 1_000;
    over = true;
    await watching;
    const { empty } = await lookAround(look);
    return { ...result, seconds, refer_p99_ms: referred.p99_ms, left_empty: empty.length };

    /** One in ten is declined, and everybody else stays for a while and leaves. */
    async function answer(): Promise<void> {
      const until = performance.now() + at_most_s * 1_000;
      const answered = new Set<string>();
      let failure: unknown;
      while ((await countEnded(look)) < referrals) {
        if (failure) throw failure;
        if (performance.now() > until) throw new Error(`not everybody had a place within ${at_most_s} s`);
        await world.refresh();
        for (const asked of await listAsked(database_url, world)) {
          const question = `${asked.referral_id} ${asked.shelter.id}`;
          if (answered.has(question)) continue;
          answered.add(question);
          answerOne(asked)
            .then(is_answered => is_answered || answered.delete(question))
            .catch(error => {
              failure ??= error;
            });
        }
        await wait(LOOK_MS);
      }
    }

    /** @returns whether the shelter had a place, or wanted none */
    async function answerOne(asked: Asked): Promise<boolean> {
      answers += 1;
      if (answers % 10 === 0) {
        await agencies.decline(asked);
        result.declined += 1;
        return true;
      }
      try {
        await agencies.accept(asked);
      } catch (error) {
        if (!String(error).includes('no_capacity')) throw error;
        result.refused += 1;
        return false;
      }
      await wait(STAY_MS);
      await agencies.complete(asked);
      return true;
    }
  } finally {
    await look.end();
    await agencies.close();
    await service.stop();
  }
}

/** Those who had a place, and those whom every shelter has declined. */
async function countEnded(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ count: number }>(
    `select count(*)::int as count from referrals r where status = 'completed' or status = 'unplaced'
       and (select count(distinct agency_id) from offers o where o.referral_id = r.id) >= ${SHELTERS}`,
  );
  return rows[0]!.count;
}

/** The shelters with places that nobody holds and nobody is asked for, while somebody waits who was never asked for one there. */
async function lookAround(client: pg.Client): Promise<{ twice: boolean; empty: string[] }> {
  const { rows } = await client.query<{ twice: boolean; empty: string[] }>(`
    with places as (
      select c.agency_id, c.total, c.held,
        (select coalesce(sum(places_held), 0) from offers o where o.agency_id = c.agency_id) as counted,
        (select coalesce(sum(places), 0) from offers o where o.agency_id = c.agency_id
          and status in ('offered', 'received', 'info_requested')) as asked_for
      from capacities c)
    select coalesce(bool_or(held > total or held <> counted), false) as twice,
      coalesce(array_agg(agency_id) filter (where total - held > asked_for and exists (
        select from referrals r where r.status = 'unplaced'
          and not exists (select from offers o where o.referral_id = r.id and o.agency_id = places.agency_id))), '{}') as empty
    from places`);
  return rows[0]!;
}

async function watch(
  client: pg.Client,
  result: Pick<PlacesResult, 'looks' | 'given_twice' | 'longest_empty_ms'>,
  isOver: () => boolean,
): Promise<void> {
  let since = new Map<string, number>();
  while (!isOver()) {
    const { twice, empty } = await lookAround(client);
    const now = performance.now();
    since = new Map(empty.map(agency_id => [agency_id, since.get(agency_id) ?? now]));
    result.looks += 1;
    if (twice) result.given_twice += 1;
    result.longest_empty_ms = Math.max(result.longest_empty_ms, ...[...since.values()].map(at => now - at));
    await wait(LOOK_MS);
  }
}
