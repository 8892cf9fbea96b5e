import { isUtf8 } from 'node:buffer';
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import * as fs from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname } from 'node:path';
import { type Checkpoint, parseCheckpoint, parseDecimal, parseHash } from '../core/checkpoint.ts';
import { EMPTY_ROOT, verifyConsistency } from '../core/merkle.ts';
import {
  cosign,
  formatVerifierKey,
  type Note,
  NoteError,
  parseNote,
  parseVerifierKey,
  rawPublicKey,
  TYPE_COSIGNATURE,
  TYPE_ED25519,
  type VerifierKey,
  verifyNote,
} from '../core/signed-note.ts';
import { ConfigError } from '../platform/config.ts';

/**
 * A witness (c2sp.org/tlog-witness, add-checkpoint) of logs that others keep, run by somebody whom they do not command. What
 * holds: of each log, everything that this key ever cosigned is one history. So a cosignature leaves only after the state that
 * has its checkpoint was written and synced, in the same request; the state is read from the disk for each request and never
 * assumed; and without the state nothing is signed.
 */
export interface Witness {
  url: string;
  verifier_key: string;
  close(): Promise<void>;
}

export interface WitnessOptions {
  /** Of the witness's key; by default the one that its state was made with. */
  name?: string;
  /** Private, Ed25519. */
  key: KeyObject;
  state_path: string;
  /** Each named as the origin of its log. A log that changes its key has two. */
  log_keys: readonly VerifierKey[];
  host: string;
  port: number;
  now: () => Date;
  log: (line: WitnessLine) => void;
}

/** What the witness's keeper should see: its own failures, and what may prove that a log lied. */
export interface WitnessLine {
  message: string;
  reason?: string;
  /** With the log's signature. */
  checkpoint?: string;
  /** The checkpoint that the witness has of the same log. */
  kept?: string;
}

/** What of a log was cosigned last. */
interface Seen {
  size: number;
  root: Buffer;
  /** A note with the log's own signatures. */
  checkpoint: string;
}

interface State {
  /** Whose state it is, as a verifier key: under another key, or another state under this one, histories could part. */
  witness: string;
  logs: Map<string, Seen>;
}

interface Request {
  old_size: number;
  proof: Buffer[];
  note: Note;
  checkpoint: Checkpoint;
}

interface Answer {
  status: number;
  body: string;
  headers?: Record<string, string>;
}

class Refusal extends Error {
  readonly answer: Answer;
  constructor(status: number, body: string, headers: Record<string, string> = {}) {
    super(body);
    this.answer = { status, body: `${body}\n`, headers };
  }
}

const STATE_FORMAT = 'nrm-witness-state/v1';
/** Of the specification. */
const MOST_HASHES = 63;
/** 63 hashes take 3 KiB, a cosignature some 200 bytes: room for every signature that a note may have. */
const LONGEST_BODY_BYTES = 2 ** 16;
/** Senders have a few kilobytes to say. Node looks for those who are late every 30 s unless told otherwise. */
const HTTP_LIMITS = {
  maxHeaderSize: 8_192,
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  connectionsCheckingInterval: 1_000,
  /** A log asks every 10 s. */
  keepAliveTimeout: 30_000,
};
const MOST_CONNECTIONS = 256;

/**
 * Makes the key and the empty state of a new witness, neither in place of another.
 * @returns its verifier key
 * @throws ConfigError where either is there or cannot be written; NoteError where the name cannot be one
 */
export function initWitness({ key_path, state_path, name }: { key_path: string; state_path: string; name: string }): string {
  for (const path of [key_path, state_path]) if (fs.existsSync(path)) throw new ConfigError(isThere(path));
  const { privateKey } = generateKeyPairSync('ed25519');
  const witness = verifierKeyOf(name, privateKey);
  create(state_path, stateText({ witness, logs: new Map() }));
  try {
    create(key_path, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  } catch (error) {
    fs.rmSync(state_path);
    throw error;
  }
  return witness;
}

/** @throws ConfigError where the file has no Ed25519 private key in PEM */
export function readWitnessKey(path: string): KeyObject {
  const pem = read(path, 'the key');
  let key: KeyObject | undefined;
  try {
    key = createPrivateKey(pem);
  } catch {
    // OpenSSL's words tell the operator nothing.
  }
  if (key?.asymmetricKeyType !== 'ed25519') throw new ConfigError(`${path} is not an Ed25519 private key in PEM`);
  return key;
}

/**
 * Listens.
 * @throws ConfigError where the state is missing, damaged, of another witness or cannot be written, a log's key is not of type
 *   0x01, or it cannot listen there; NoteError where the name cannot be one
 */
export async function startWitness(options: WitnessOptions): Promise<Witness> {
  const { key, log_keys, host, port, now, log } = options;
  if (log_keys.length === 0) throw new ConfigError('a witness needs the key of a log');
  const cosigner = log_keys.find(({ type }) => type !== TYPE_ED25519);
  if (cosigner) throw new ConfigError(`the key of ${cosigner.name} is a witness's, not a log's`);

  const { witness } = readState(options.state_path);
  const name = options.name ?? parseVerifierKey(witness).name;
  const verifier_key = verifierKeyOf(name, key);
  if (verifier_key !== witness)
    throw new ConfigError(`the state file ${options.state_path} belongs to ${witness}, not to ${verifier_key}`);
  // Renaming over a link would replace the link.
  const state_path = fs.realpathSync(options.state_path);
  takeOver(state_path);

  /** The last checkpoint of each origin that was told of: whoever has one can send it with a wrong proof, again and again. */
  const told = new Map<string, string>();
  function tellOfLie(reason: string, { checkpoint, note }: Request, kept: Seen | undefined): void {
    if (told.get(checkpoint.origin) === note.text) return;
    told.set(checkpoint.origin, note.text);
    const signed = ownNote(note, log_keys);
    log({ message: 'a checkpoint that the log signed was refused', reason, checkpoint: signed, kept: kept?.checkpoint });
  }

  /** All that is checked and written here is so without a pause, so no two requests begin from the same state. */
  function addCheckpoint(body: Buffer): Answer {
    const request = parseRequest(body);
    const { checkpoint, note } = request;
    requireSignature(note, checkpoint.origin, log_keys);
    if (request.old_size > checkpoint.size) throw new Refusal(400, 'the old size is above the new one');
    updateState(state_path, ({ witness, logs }) => {
      if (witness !== verifier_key) throw new ConfigError(`the state file ${state_path} became that of ${witness}`);
      const seen = logs.get(checkpoint.origin);
      requireSameHistory(request, seen, reason => tellOfLie(reason, request, seen));
      const { size, root } = checkpoint;
      return { witness, logs: new Map(logs).set(checkpoint.origin, { size, root, checkpoint: ownNote(note, log_keys) }) };
    });
    const time = Math.floor(now().getTime() / 1_000);
    return { status: 200, body: cosign(note.text, { name, key, time }) };
  }

  async function answer(request: IncomingMessage): Promise<Answer> {
    try {
      if (request.url !== '/add-checkpoint') throw new Refusal(404, 'there is /add-checkpoint only');
      if (request.method !== 'POST') throw new Refusal(405, 'checkpoints are sent by POST', { allow: 'POST' });
      return addCheckpoint(await receive(request));
    } catch (error) {
      if (error instanceof Refusal) return error.answer;
      // Whoever sent half a request reads no answer.
      if (!request.complete) return { status: 400, body: '' };
      log({ message: 'a checkpoint could not be cosigned', reason: error instanceof Error ? error.message : typeof error });
      return { status: 503, body: 'the witness cannot sign\n' };
    }
  }

  const server = createServer(HTTP_LIMITS, async (request, response) => {
    const { status, body, headers } = await answer(request);
    response
      .writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store', ...headers })
      .end(body);
  });
  server.maxConnections = MOST_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    const refuse = ({ code }: NodeJS.ErrnoException) => reject(new ConfigError(`cannot listen on ${host}:${port} (${code})`));
    server.once('error', refuse).listen(port, host, resolve);
  });
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`,
    verifier_key,
    close() {
      server.closeAllConnections();
      return new Promise(resolve => server.close(() => resolve()));
    },
  };
}

/** The whole body, of which no more is kept than may be: a sender that is cut off would not read why. */
async function receive(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= LONGEST_BODY_BYTES) chunks.push(chunk);
  }
  if (bytes > LONGEST_BODY_BYTES) throw new Refusal(400, `the request is longer than ${LONGEST_BODY_BYTES} bytes`);
  return Buffer.concat(chunks);
}

function parseRequest(body: Buffer): Request {
  try {
    if (!isUtf8(body)) throw new NoteError('the request is not UTF-8');
    const text = body.toString();
    const end = text.indexOf('\n\n');
    if (end === -1) throw new NoteError('the request has no empty line');
    const [first, ...hashes] = text.slice(0, end).split('\n');
    if (!first?.startsWith('old ')) throw new NoteError('the request does not begin with the old size');
    if (hashes.length > MOST_HASHES) throw new NoteError(`the proof has more than ${MOST_HASHES} hashes`);
    const note = parseNote(text.slice(end + 2));
    return {
      old_size: parseDecimal(first.slice('old '.length), 'the old size'),
      proof: hashes.map(it => parseHash(it, 'a line of the proof')),
      note,
      checkpoint: parseCheckpoint(note.text),
    };
  } catch (error) {
    if (error instanceof NoteError) throw new Refusal(400, error.message);
    throw error;
  }
}

function requireSignature(note: Note, origin: string, log_keys: readonly VerifierKey[]): void {
  const known = log_keys.filter(({ name }) => name === origin);
  if (known.length === 0) throw new Refusal(404, 'the origin is unknown here');
  try {
    verifyNote(note, known);
  } catch (error) {
    if (error instanceof NoteError) throw new Refusal(403, error.message);
    throw error;
  }
}

function requireSameHistory(
  { old_size, proof, checkpoint: { size, root } }: Request,
  seen: Seen | undefined,
  tellOfLie: (reason: string) => void,
): void {
  const { size: from, root: from_root } = seen ?? { size: 0, root: EMPTY_ROOT };
  if (old_size !== from) throw new Refusal(409, String(from), { 'content-type': 'text/x.tlog.size' });
  let refusal: Refusal | undefined;
  if (size === 0 && !root.equals(EMPTY_ROOT)) refusal = new Refusal(422, 'the root is not that of the empty tree');
  else if (size === from && !root.equals(from_root)) refusal = new Refusal(409, 'a tree of this size had another root');
  else if (!verifyConsistency({ from, to: size, from_root, to_root: root, proof }))
    refusal = new Refusal(422, 'the proof does not verify');
  if (refusal === undefined) return;
  tellOfLie(refusal.message);
  throw refusal;
}

/** The note without signatures of others: anybody can add some. */
function ownNote({ text, signatures }: Note, log_keys: readonly VerifierKey[]): string {
  const own = signatures.filter(({ name, key_id }) => log_keys.some(key => key.name === name && key.key_id === key_id));
  const lines = own.map(({ name, key_id, signature }) => {
    const bytes = Buffer.concat([Buffer.from(key_id, 'hex'), signature]);
    return `— ${name} ${bytes.toString('base64')}\n`;
  });
  return `${text}\n${lines.join('')}`;
}

const verifierKeyOf = (name: string, key: KeyObject): string =>
  formatVerifierKey({ name, type: TYPE_COSIGNATURE, public_key: rawPublicKey(key) });

const isThere = (path: string): string => `${path} is there already: no key and no state of a witness is ever replaced`;
const draftOf = (state_path: string): string => `${state_path}.draft`;
const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

/** Removes what a crash may have left, and shows that the state can be written here before anybody relies on it. */
function takeOver(state_path: string): void {
  try {
    fs.rmSync(draftOf(state_path), { force: true });
    updateState(state_path, state => state);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(`cannot write the state file ${state_path} (${codeOf(error)})`);
  }
}

/**
 * Puts in place of the state what `update` makes of it, on the disk once this returns. Where it throws, nothing was released
 * under what it may have written.
 */
function updateState(path: string, update: (state: State) => State): void {
  const draft = draftOf(path);
  // Exclusive, and opened before the state is read: of two processes on one state file only one is ever here.
  const file = fs.openSync(draft, 'wx', 0o600);
  const { ino } = fs.fstatSync(file);
  try {
    fs.writeFileSync(file, stateText(update(readState(path))));
    fs.fsyncSync(file);
    fs.renameSync(draft, path);
  } catch (error) {
    fs.rmSync(draft, { force: true });
    throw error;
  } finally {
    fs.closeSync(file);
  }
  // The other, starting just now, may have taken this one's draft for a leftover and put its own there.
  if (fs.statSync(path).ino !== ino) throw new ConfigError(`another process writes the state file ${path}`);
  syncFolderOf(path);
}

const stateText = ({ witness, logs }: State): string => {
  const list = [...logs].map(([origin, { size, root, checkpoint }]) => ({
    origin,
    size,
    root: root.toString('base64'),
    checkpoint,
  }));
  return `${JSON.stringify({ format: STATE_FORMAT, witness, logs: list }, null, 2)}\n`;
};

/** @throws ConfigError where it is missing, unreadable or damaged */
function readState(path: string): State {
  const text = read(path, 'the state');
  try {
    const { format, witness, logs } = JSON.parse(text);
    if (format !== STATE_FORMAT || parseVerifierKey(witness).type !== TYPE_COSIGNATURE) throw new NoteError('of no witness');
    const seen = new Map<string, Seen>();
    for (const { origin, size, root, checkpoint } of logs) {
      const said = parseCheckpoint(parseNote(checkpoint).text);
      const isSaid = said.origin === origin && said.size === size && said.root.toString('base64') === root;
      if (!isSaid || seen.has(origin)) throw new NoteError('not as it was written');
      seen.set(origin, { size, root: said.root, checkpoint });
    }
    return { witness, logs: seen };
  } catch {
    throw new ConfigError(`the state file ${path} is damaged: without what it signed a witness must not sign`);
  }
}

function read(path: string, what: string): string {
  try {
    return fs.readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw new ConfigError(`cannot read ${what} file ${path} (${codeOf(error)})`);
    throw new ConfigError(
      `${what} file ${path} is not there: a witness that lost it must not sign again; --init makes a new witness`,
    );
  }
}

/** Writes a new file, synced, for its owner's eyes. */
function create(path: string, content: string | Buffer): void {
  try {
    fs.writeFileSync(path, content, { flag: 'wx', mode: 0o600, flush: true });
    syncFolderOf(path);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') throw new ConfigError(isThere(path));
    fs.rmSync(path, { force: true });
    throw new ConfigError(`cannot write ${path} (${codeOf(error)})`);
  }
}

function syncFolderOf(path: string): void {
  const folder = fs.openSync(dirname(path), 'r');
  try {
    fs.fsyncSync(folder);
  } finally {
    fs.closeSync(folder);
  }
}
