import { giveUp } from './afterwards.ts';
import { expectThat, NotAsTold } from './expect.ts';
import { look, type Matter, type Stage } from './stage.ts';

const ATTEMPTS = 3;

/**
 * Plays a scene whose clocks run in seconds. Where this machine was slower than they are, so that an agency's time to answer ran
 * out under its hands, the scene's cases are closed and it is played once more.
 * @param expiries how many offers expire in it as told
 * @throws NotAsTold also where offers expire each time
 */
export async function inTime<T>(stage: Stage, expiries: number, scene: () => Promise<T>): Promise<T> {
  const { cast, matters, timeline } = stage;
  const heard = Object.values(cast).map(agency => [agency.heard, agency.heard.length] as const);
  const begun = matters.length;
  for (let attempt = 1; ; attempt += 1) {
    let outcome: T | NotAsTold;
    try {
      outcome = await scene();
    } catch (error) {
      if (!(error instanceof NotAsTold)) throw error;
      outcome = error;
    }
    const of_the_scene = matters.slice(begun);
    const in_time = (await countExpiries(of_the_scene)) <= expiries;
    if (outcome instanceof NotAsTold && (in_time || attempt === ATTEMPTS)) throw outcome;
    expectThat('every answer of the agencies came in time', in_time || attempt < ATTEMPTS);
    if (in_time) return outcome as T;

    timeline.note('           (An answer came too late: this machine is slower than the clocks of this night. Once more.)');
    await giveUp({ ...stage, matters: of_the_scene });
    matters.length = begun;
    for (const [texts, length] of heard) texts.length = length;
  }
}

/** How often the time to answer ran out, answered late or not. */
async function countExpiries(matters: readonly Matter[]): Promise<number> {
  let count = 0;
  for (const { owner, referral_ids } of matters) {
    for (const id of referral_ids) {
      const timers: { name: string; breached_at: string | null }[] = (await look(owner, id)).timers;
      count += timers.filter(({ name, breached_at }) => name === 'respond' && breached_at !== null).length;
    }
  }
  return count;
}
