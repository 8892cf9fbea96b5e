import { request } from 'undici';
import { type OpenedCheckpoint, openCheckpoint, parseDecimal } from '../core/checkpoint.ts';
import { consistencyProof } from '../core/merkle.ts';
import { NoteError, parseVerifierKey, type VerifierKey } from '../core/signed-note.ts';
import type { Now } from '../platform/clock.ts';
import type { WitnessAddress } from '../platform/config.ts';
import { type Database, transact } from '../platform/database.ts';
import type { Logger } from '../platform/log.ts';
import { findHead, nodeReader, saveWitnessed } from './log-store.ts';
import { SEQUENCER } from './sequencer.ts';

/**
 * Asks witnesses (c2sp.org/tlog-witness) to cosign what was published: people outside the operator, each with a key and a memory of
 * their own, so that whoever alters the past would have to persuade them too. Nothing of the service waits for them. A checkpoint
 * that a quorum of them cosigned in one round is kept as the newest that is witnessed.
 */

interface Means {
  /** As the sequencer. */
  database: Pick<Database, 'pool'>;
  witnesses: readonly WitnessAddress[];
  /** How many of them it takes. */
  quorum: number;
  now: Now;
  log: Logger;
}

/** The contract's; for all that one witness is asked in a round. */
const ANSWERS_WITHIN_MS = 2_000;
const LONGEST_ANSWER_BYTES = 16_384;
/** A cosignature says when it was made: one from another time would vouch for what was not seen then. */
const CLOCKS_AGREE_WITHIN_S = 300;
const SIZE_TYPE = 'text/x.tlog.size';

interface Published {
  checkpoint: OpenedCheckpoint;
  /** With the log's signatures. */
  note: string;
  log_key: VerifierKey;
}

/** The witness did not cosign; says in a few words why. */
class Refused extends Error {}
/** It said that its history and this are not one: either lies. */
class OtherHistory extends Refused {}

/** @returns a round over all witnesses; it does not throw for what they do */
export function createCosigning({ database, witnesses, quorum, now, log }: Means): () => Promise<void> {
  const known = new Map<string, number>();
  const failing = new Map<string, string>();

  async function ask({ verifier_key, url }: WitnessAddress, published: Published): Promise<string> {
    const key = parseVerifierKey(verifier_key);
    const { size } = published.checkpoint;
    const signal = AbortSignal.timeout(ANSWERS_WITHIN_MS);
    const from = known.get(verifier_key) ?? 0;
    let answer = await send(url, await bodyFrom(from, published), signal);
    const theirs = sizeIn(answer);
    // It remembers another checkpoint than this process does; asked from there it can say yes.
    if (theirs !== null && theirs !== from && theirs <= size) answer = await send(url, await bodyFrom(theirs, published), signal);
    const line = lineOf(answer, published, key);
    known.set(verifier_key, size);
    return line;
  }

  async function bodyFrom(from: number, { checkpoint: { size }, note }: Published): Promise<string> {
    const proof = await transact(database, SEQUENCER, tx => consistencyProof(from, size, nodeReader(tx, size)));
    return `old ${from}\n${proof.map(hash => `${hash.toString('base64')}\n`).join('')}\n${note}`;
  }

  function lineOf({ status, body, type }: Answer, { note, checkpoint, log_key }: Published, key: VerifierKey): string {
    // Perhaps another sequencer was faster; one that stays ahead will not cosign, and that is an alarm.
    if (status === 409 && type === SIZE_TYPE) throw new Refused(`it has cosigned ${body.trim().slice(0, 20)} entries`);
    if (status === 409 || status === 422) throw new OtherHistory(`HTTP ${status}`);
    if (status !== 200) throw new Refused(`HTTP ${status}`);
    for (const line of body.split('\n').filter(Boolean)) {
      const [cosignature] = cosignaturesOf(`${note}${line}\n`, log_key, key);
      if (!cosignature) continue;
      if (Math.abs(cosignature.time - now().getTime() / 1_000) > CLOCKS_AGREE_WITHIN_S)
        throw new Refused('its cosignature is of another time');
      return `${line}\n`;
    }
    throw new Refused(`it did not cosign the ${checkpoint.size} entries`);
  }

  /** Said when it begins, when it becomes another thing, and when it is over. */
  function tell(name: string, error: NodeJS.ErrnoException | null): void {
    if (error === null) {
      if (failing.delete(name)) log.info({ witness: name }, 'a witness cosigns again');
      return;
    }
    const reason = error.code ?? error.message;
    if (failing.get(name) === reason) return;
    failing.set(name, reason);
    const what = { witness: name, reason };
    if (error instanceof OtherHistory) log.error(what, 'a witness says that its history of the log is another');
    else log.warn(what, 'a witness did not cosign');
  }

  return async () => {
    const head = await transact(database, SEQUENCER, tx => findHead(tx));
    if (!head?.published || head.halted || head.published_size === 0) return;
    const log_key = parseVerifierKey(head.verifier_key);
    const checkpoint = openCheckpoint(head.published, { origin: head.origin, log_key });
    const published = { checkpoint, note: head.published, log_key };
    const asked = witnesses.map(async witness => {
      const { name } = parseVerifierKey(witness.verifier_key);
      try {
        const line = await ask(witness, published);
        tell(name, null);
        return line;
      } catch (error) {
        tell(name, error as Error);
        return null;
      }
    });
    const lines = (await Promise.all(asked)).filter(line => line !== null);
    if (lines.length < quorum) return;
    await transact(database, SEQUENCER, tx => saveWitnessed(tx, checkpoint, head.published + lines.join(''), now()));
  };
}

interface Answer {
  status: number;
  body: string;
  type: string;
}

async function send(url: string, body: string, signal: AbortSignal): Promise<Answer> {
  const response = await request(`${url}/add-checkpoint`, { method: 'POST', body, signal });
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > LONGEST_ANSWER_BYTES) throw new Refused('its answer does not end');
    chunks.push(chunk);
  }
  const [type = ''] = String(response.headers['content-type'] ?? '').split(';');
  return { status: response.statusCode, body: Buffer.concat(chunks).toString(), type };
}

/** What a witness says that it has cosigned, where it says so. */
function sizeIn({ status, type, body }: Answer): number | null {
  if (status !== 409 || type !== SIZE_TYPE) return null;
  try {
    return parseDecimal(body.trim(), 'the size');
  } catch {
    return null;
  }
}

/** That of the witness, where this line is one. @throws Refused where it is under its name and not valid */
function cosignaturesOf(note: string, log_key: VerifierKey, witness: VerifierKey) {
  try {
    return openCheckpoint(note, { origin: log_key.name, log_key, witnesses: [witness] }).cosignatures;
  } catch (error) {
    throw error instanceof NoteError ? new Refused(error.message) : error;
  }
}
