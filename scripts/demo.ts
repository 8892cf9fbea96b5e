/**
 * `npm run demo` plays a night of a referral mechanism against a running service, or one that it starts for this: every agency is
 * a REST client and a webhook receiver of its own. It prints a timeline, and exits with 1 at the first step that is not as told.
 */
import { giveUp } from './demo/afterwards.ts';
import { connectAgency } from './demo/agency.ts';
import { expectations, NotAsTold } from './demo/expect.ts';
import { playNight } from './demo/night.ts';
import { startReceiver } from './demo/receiver.ts';
import { findRunning, startOwn } from './demo/service.ts';
import { type Cast, PARTS, type Stage } from './demo/stage.ts';
import { startTimeline } from './demo/timeline.ts';

/** Far more than it takes: on a slow machine, with a service of its own. */
const OVERALL_MS = 120_000;
const TIDY_MS = 30_000;

const timeline = startTimeline(process.stdout);
const ending = new AbortController();
const tidying: (() => Promise<unknown>)[] = [];
const later = (tidy: () => Promise<unknown>) => void tidying.push(tidy);

/** Rejects when something ends the play from outside: a signal, the time, a webhook that cannot be verified. */
let exit_code = 1;
const broken_off = Promise.withResolvers<never>();
const too_late = setTimeout(
  () => broken_off.reject(new NotAsTold(`the night is over within ${OVERALL_MS / 1_000} s: it is not`)),
  OVERALL_MS,
);
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.on(signal, () => {
    exit_code = code;
    broken_off.reject(new NotAsTold(`${signal}: stopped before the end`));
  });
}

// A reader that goes away (`npm run demo | head`).
process.stdout.on('error', () => broken_off.reject(new NotAsTold('nobody reads the timeline')));

async function play(): Promise<void> {
  const running = await findRunning();
  const { base_url, jurisdictions, agencies } = running ?? (await startOwn(later, timeline.note, ending.signal));
  timeline.note(`${running ? 'using the service that runs' : 'the service is ready'} at ${base_url}`);

  const receiver = await startReceiver(timeline, ending.signal);
  later(() => receiver.close());
  receiver.broken.catch(broken_off.reject);
  const around = { base_url, receiver, signal: ending.signal, later };
  // All at once; whoever fails, the others have left nothing half begun when it is told.
  const connecting = Object.entries(PARTS).map(async ([part, key]) => [part, await connectAgency(key, agencies[key]!, around)]);
  const connected = await Promise.allSettled(connecting);
  const cast = Object.fromEntries(
    connected.map(it => {
      if (it.status === 'rejected') throw it.reason;
      return it.value;
    }),
  ) as Cast;
  const stage: Stage = { cast, timeline, jurisdiction: jurisdictions.fast, matters: [] };
  later(() => giveUp(stage));
  await playNight(stage);
}

const playing = play();
try {
  await Promise.race([playing, broken_off.promise]);
  const { steps, webhooks } = timeline.counts;
  const looked_at = `${webhooks} webhooks with verified signatures, ${expectations()} expectations`;
  timeline.end(`As told: ${steps} steps, ${looked_at}, in ${timeline.seconds()}.`, true);
  exit_code = 0;
} catch (error) {
  const why = error instanceof NotAsTold ? error.message : ((error as Error)?.stack ?? String(error));
  timeline.end(`Not as told: ${why}`, false);
} finally {
  clearTimeout(too_late);
  setTimeout(() => process.exit(exit_code), TIDY_MS).unref();
  ending.abort();
  // Whatever it is just about to begin has to be tidied up too.
  await playing.catch(() => {});
  for (const tidy of tidying.splice(0).reverse()) await tidy().catch(() => {});
}
process.exit(exit_code);
