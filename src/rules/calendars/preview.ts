import { type Read, read } from '../../audit/read.ts';
import type { AgencyActor } from '../../core/access.ts';
import { compileCalendar } from '../../core/calendar.ts';
import { Problem, raise } from '../../core/problem.ts';
import { explain, type Pause } from '../../core/reckoning.ts';
import type { Services } from '../../services.ts';
import type { ClockPreview, ClockPreviewBody } from './schema.ts';
import { findCalendar } from './store.ts';

const WARN_AT = [0.5, 0.8];
/** Ten years: whoever asks keeps the process from all else meanwhile. */
const MOST_DAYS = 3_653;
/** What a preview may start in: far from where dates cannot be written any more. */
const [FIRST, LAST] = [new Date('1900-01-01T00:00:00Z'), new Date('2200-01-01T00:00:00Z')];

/**
 * When a clock would fall due along a calendar as it now stands, and what each day counts for.
 * @throws Problem `unprocessable` for a calendar that is not known, a duration that the clock does not know, pauses that are not
 *   in order, and for what does not fall due within ten years
 */
export const previewClock = (services: Services, actor: AgencyActor, body: ClockPreviewBody): Promise<Read<ClockPreview>> =>
  read(services, actor, 'clock.preview', { subject_id: body.calendar_id }, async tx => {
    const { calendar, version } =
      (await findCalendar(tx, body.calendar_id)) ?? raise('unprocessable', fault('/calendar_id', 'is not known'));
    const started_at = new Date(body.started_at);
    if (!(started_at >= FIRST && started_at < LAST)) raise('unprocessable', fault('/started_at', 'is not from 1900 to 2199'));
    const pauses = pausesOf(body, started_at);
    const { due_at, days } = reckoned(() => explain(body, started_at, compileCalendar(calendar), pauses, MOST_DAYS));
    return {
      due_at: due_at.toISOString(),
      warn_at: WARN_AT.map(share => atShare(share, started_at, due_at, pauses)),
      calendar_version: version,
      days: days.map(({ open, ...day }) => ({
        ...day,
        open: open.map(([from, to]) => ({ from: from.toISOString(), to: to.toISOString() })),
      })),
    };
  });

const fault = (pointer: string, detail: string) => ({ errors: [{ pointer, detail }] });

function reckoned<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof RangeError) throw new Problem('unprocessable', fault('/duration', error.message));
    throw error;
  }
}

function pausesOf({ pauses = [] }: ClockPreviewBody, started_at: Date): Pause[] {
  let last = started_at;
  return pauses.map(({ from, to }, i) => {
    const pause = { from: new Date(from), to: new Date(to) };
    if (pause.from < last) throw new Problem('unprocessable', fault(`/pauses/${i}/from`, 'lies before what came before it'));
    if (pause.to <= pause.from) throw new Problem('unprocessable', fault(`/pauses/${i}/to`, 'does not lie behind its beginning'));
    last = pause.to;
    return pause;
  });
}

/** The instant by which a share of the span has run, the pauses within it left out. */
function atShare(share: number, started_at: Date, due_at: Date, pauses: readonly Pause[]): string {
  const within = pauses.filter(({ from }) => from < due_at);
  const rested_ms = within.reduce((sum, { from, to }) => sum + to.getTime() - from.getTime(), 0);
  let at = started_at.getTime() + Math.round((due_at.getTime() - started_at.getTime() - rested_ms) * share);
  for (const { from, to } of within) if (from.getTime() < at) at += to.getTime() - from.getTime();
  return new Date(at).toISOString();
}
