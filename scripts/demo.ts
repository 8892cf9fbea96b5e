/**
 * `npm run demo` plays a night of a referral mechanism against a running service, or one that it starts for this: every agency is
 * a REST client and a webhook receiver of its own. It prints a timeline, and exits with 1 at the first step that is not as told.
 */
import { type Agency, connectAgency } from './demo/agency.ts';
import { expectations, NotAsTold } from './demo/expect.ts';
import { type Cast, playNight } from './demo/night.ts';
import { startReceiver } from './demo/receiver.ts';
import { findRunning, startOwn } from './demo/service.ts';
import { startTimeline } from './demo/timeline.ts';

const OVERALL_MS = 60_000;
const TIDY_MS = 15_000;

/** Who plays what: keys of the credentials file. */
const CAST = {
  helpline: 'helpline_a',
  shelter_a: 'shelter_a',
  shelter_b: 'shelter_b',
  inspection: 'labour_inspection',
  committee: 'committee',
  audit_body: 'audit_body',
} as const satisfies Record<keyof Cast, string>;

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
  const cast: Partial<Record<keyof Cast, Agency>> = {};
  for (const [part, key] of Object.entries(CAST) as [keyof Cast, string][])
    cast[part] = await connectAgency(key, agencies[key]!, around);
  await playNight({ cast: cast as Cast, timeline, jurisdiction: jurisdictions.fast, later });
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
