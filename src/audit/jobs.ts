import { requireLogSettings } from '../platform/config.ts';
import { asSystem, openDatabase, requireRole, SEQUENCER_ROLE, type Tx, transact } from '../platform/database.ts';
import { type Loop, startLoop } from '../platform/loop.ts';
import type { Services } from '../services.ts';
import { alarmNotice } from './alarm.ts';
import { createCosigning } from './cosigning.ts';
import { loopFailed } from './failures.ts';
import { journalPath, keepAgain, keepJournal } from './journal.ts';
import { findOldestNotKept } from './journal-store.ts';
import { openFileLedger } from './ledger.ts';
import { openLogKey } from './log-key.ts';
import { findHead, ROTATE } from './log-store.ts';
import { record } from './record.ts';
import { createSequencer, type Halt, SEQUENCER, type Sequencer } from './sequencer.ts';
import { findOldestUnpublished, wasRecorded } from './store.ts';

/** The contract's tick: what an act left is in the published log within a second. */
const SEQUENCE_EVERY_MS = 200;
const HEARTBEAT_EVERY_MS = 600_000;
const LOOK_EVERY_MS = 1_000;
const ASK_WITNESSES_EVERY_MS = 10_000;
/** Later than this is an alarm, whatever the cause. */
const MERGE_WITHIN_MS = 2_000;
/** Without a checkpoint that a quorum cosigned within this time nobody outside vouches for the log. */
const WITNESSED_WITHIN_MS = 60_000;
/** What must outlive a restore is beside the ledger within this time. */
const KEPT_WITHIN_MS = 60_000;
/** While a cause lasts, it is told again after this. */
const ALARM_EVERY_MS = 3_600_000;

type Alarm = Halt | 'merge_delay' | 'not_witnessed' | 'journal_behind';

/** The log's name: as it was given, else as it began, else made of where the service is. */
async function originOf({ config, db }: Services): Promise<string> {
  if (config.log.origin !== null) return config.log.origin;
  const begun = await findHead(db);
  const host = config.public_url === null ? 'localhost' : new URL(config.public_url).host;
  return begun?.origin ?? `${host.replaceAll(/[^a-z0-9.-]/g, '-')}/trail`;
}

interface Journal {
  keep(): Promise<boolean>;
  keepAgain(): Promise<void>;
}

/** A sequencer with all that it needs, on connections of its own; `cosign` is a round over the witnesses. */
export async function openSequencer(
  services: Services,
  database_url: string,
): Promise<{ sequencer: Sequencer; cosign(): Promise<void>; journal: Journal; close(): Promise<void> }> {
  const { config, log, now } = services;
  requireLogSettings(config);
  const key = openLogKey(config.log.key_path, await originOf(services), { create: !config.production });
  const { previous_key_path } = config.log;
  const previous = previous_key_path === null ? null : openLogKey(previous_key_path, key.name, { create: false });
  const ledger = await openFileLedger(config.log.ledger_path);
  const database = openDatabase(database_url, log, SEQUENCER_ROLE, 2);
  const close = async () => {
    await database.close();
    await ledger.close();
  };
  try {
    await requireRole(database.db, SEQUENCER_ROLE);
    await nameKey(services, key.verifier_key, previous?.verifier_key);
  } catch (error) {
    await close();
    throw error;
  }
  const onHalt = (why: Halt) => raiseAlarm(services, why);
  const { witnesses, quorum } = config.log;
  const journal_path = journalPath(config.log.ledger_path);
  return {
    sequencer: createSequencer({ database, ledger, key, previous, now, log, onHalt }),
    cosign: createCosigning({ database, witnesses, quorum, now, log }),
    journal: {
      keep: () => transact(database, SEQUENCER, tx => keepJournal(tx, journal_path, now())),
      keepAgain: () => transact(database, SEQUENCER, tx => keepAgain(tx, journal_path)),
    },
    close,
  };
}

/**
 * Sequences until it is stopped, has it witnessed, and leaves an entry now and then where nothing else does: a log that is silent
 * is broken.
 */
export async function startSequencing(services: Services, database_url: string): Promise<Loop> {
  const { config, log } = services;
  const { sequencer, cosign, journal, close } = await openSequencer(services, database_url);
  await journal.keepAgain();
  const failed = loopFailed(services);
  let failing = '';
  const step = async () => {
    try {
      const more = await sequencer.step();
      failing = '';
      return more;
    } catch (error) {
      // Five times a second the same would hide everything else; that nothing moves raises an alarm.
      if (failing !== String(error)) log.error({ err: error }, 'nothing gets its place in the log');
      failing = String(error);
      await failed('sequencer', error);
      return false;
    }
  };
  const loops = [
    startLoop('sequencer', { every_ms: SEQUENCE_EVERY_MS, log, failed }, step),
    startLoop('heartbeat of the log', { every_ms: LOOK_EVERY_MS, log, failed }, () => keepAlive(services)),
    startLoop('journal', { every_ms: LOOK_EVERY_MS, log, failed }, journal.keep),
  ];
  if (config.log.witnesses.length > 0) {
    const round = async () => {
      await cosign();
      return false;
    };
    loops.push(startLoop('witnesses of the log', { every_ms: ASK_WITNESSES_EVERY_MS, log, failed }, round));
  }
  return {
    async stop() {
      await Promise.all(loops.map(loop => loop.stop()));
      await close();
    },
  };
}

/** Before a new key signs, an entry under the old one names it: so that who pinned the old one learns of it from the log itself. */
async function nameKey(services: Services, key: string, previous: string | undefined): Promise<void> {
  await transact(services, SEQUENCER, async tx => {
    const head = await findHead(tx);
    if (head === undefined || head.verifier_key !== previous || key === previous) return;
    if (await asSystem(tx, 'timeline', tx => wasRecorded(tx, { action: ROTATE, code: key }))) return;
    await record(services, tx, SEQUENCER, { action: ROTATE, resource_type: 'audit', code: key });
  });
}

/** Leaves an entry where none has had its place for ten minutes, and none waits to be published. */
export async function keepAlive(services: Services): Promise<boolean> {
  await transact(services, SEQUENCER, async tx => {
    const head = await findHead(tx);
    if (!head || head.halted || services.now().getTime() - head.at.getTime() < HEARTBEAT_EVERY_MS) return;
    if (await waitsSince(tx)) return;
    await record(services, tx, SEQUENCER, { action: 'audit.heartbeat', resource_type: 'audit' });
  });
  return false;
}

/**
 * Looks whether what acts left is published in time: what does not run cannot say so itself. What was left when everything stopped
 * is late when it starts again; so it is an alarm only where it stays so.
 * @returns what is done at every look
 */
export function watchLog(services: Services): () => Promise<boolean> {
  const is_witnessed = services.config.log.witnesses.length > 0;
  const began = services.now().getTime();
  let late_since: number | null = null;
  return async () => {
    const { head, waits_since, noted_at } = await transact(services, SEQUENCER, async tx => ({
      head: await findHead(tx),
      waits_since: await waitsSince(tx),
      noted_at: await asSystem(tx, 'timeline', findOldestNotKept),
    }));
    const now = services.now().getTime();
    // Whoever begins to look waits as long: what was late when everything stopped may be on its way.
    const isOver = (since: Date | null | undefined, ms: number) => now - Math.max(began, since?.getTime() ?? 0) > ms;
    if (is_witnessed && head?.published_size && isOver(head.witnessed_at, WITNESSED_WITHIN_MS))
      await raiseAlarm(services, 'not_witnessed');
    if (noted_at && isOver(noted_at, KEPT_WITHIN_MS)) await raiseAlarm(services, 'journal_behind');
    const is_late = waits_since !== null && now - waits_since.getTime() > MERGE_WITHIN_MS;
    late_since = is_late ? (late_since ?? now) : null;
    if (late_since !== null && now - late_since >= MERGE_WITHIN_MS) await raiseAlarm(services, 'merge_delay');
    return false;
  };
}

/** Part of every worker. */
export const startLogWatch = (services: Services): Loop =>
  startLoop(
    'watch over the log',
    { every_ms: LOOK_EVERY_MS, log: services.log, failed: loopFailed(services) },
    watchLog(services),
  );

const waitsSince = (tx: Tx): Promise<Date | null> => asSystem(tx, 'timeline', findOldestUnpublished);

/** Once in an hour for each reason, whoever notices: in the process's own log, in the trail, and told to every audit body. */
async function raiseAlarm(services: Services, why: Alarm): Promise<void> {
  const here = raised.get(services) ?? new Map<Alarm, number>();
  raised.set(services, here);
  if (services.now().getTime() - (here.get(why) ?? Number.NEGATIVE_INFINITY) < ALARM_EVERY_MS) return;
  await transact(services, SEQUENCER, async tx => {
    const now = services.now();
    const told = await asSystem(tx, 'timeline', tx =>
      wasRecorded(tx, { action: 'audit.alarm', code: why, since: new Date(now.getTime() - ALARM_EVERY_MS) }),
    );
    if (told) return;
    services.log.fatal({ reason: why }, SAYS[why]);
    await record(services, tx, SEQUENCER, {
      action: 'audit.alarm',
      outcome: 'failed',
      resource_type: 'audit',
      code: why,
      events: [await alarmNotice(tx, why, now)],
    });
  });
  here.set(why, services.now().getTime());
}

/** When this process saw each alarm raised last. */
const raised = new WeakMap<Services, Map<Alarm, number>>();

const SAYS: Readonly<Record<Alarm, string>> = {
  ledger_ahead: 'the ledger knows more than this database, which has lost what was acknowledged: nothing is signed any more',
  ledger_behind: 'the ledger has lost what was published: nothing is signed until it is put back',
  other_history: 'the log is not what was signed of it: nothing is signed any more',
  other_key: 'the log was signed with another key: nothing is signed with this one',
  clock_went_back: 'the clock went back: the log waits until it has caught up',
  journal_behind: 'what must outlive a restore is not in the journal beside the ledger',
  not_witnessed: 'no quorum of witnesses has cosigned the log for a minute',
  merge_delay: 'what was recorded does not get into the published log',
};
