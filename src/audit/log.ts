import { type AgencyActor, authorise } from '../core/access.ts';
import { consistencyProof, inclusionProof, parseTilePath, TILE_WIDTH, tileWidth } from '../core/merkle.ts';
import { Problem, raise } from '../core/problem.ts';
import { formatTlogProof } from '../core/tlog-proof.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { findHead, haltOf, listEntryBytes, nodeReader, readTile } from './log-store.ts';
import { type Read, read } from './read.ts';

/**
 * The published log, for whoever checks it: hashes, signatures and 93-byte entries, which say nothing of anybody. So every
 * auditor may have all of it, whoever's acts they are. Nothing beyond the published checkpoint is served; each look leaves an
 * entry itself.
 */

/**
 * The newest signed note that was published, or the newest that the quorum of witnesses cosigned.
 * @throws Problem `forbidden`, `not_found` before the first
 */
export const readCheckpoint = (services: Services, actor: AgencyActor, query: { witnessed?: boolean }): Promise<Read<string>> =>
  look(services, actor, async (_, { published, witnessed }) =>
    query.witnessed ? (witnessed?.note ?? raise('not_found')) : published,
  );

/** The line that auditors pin, for convenience: whoever serves it could serve another. @throws Problem `forbidden`, `not_found` */
export const readVerifierKey = (services: Services, actor: AgencyActor): Promise<Read<string>> =>
  look(services, actor, async (_, head) => `${head.verifier_key}\n`);

/**
 * A tile, or a bundle of entries (u16 big-endian length ‖ entry), by its path below `tile/` (c2sp.org/tlog-tiles).
 * @throws Problem `forbidden`, `not_found` for what the published log does not have, or not so wide
 */
export const readTileAt = (services: Services, actor: AgencyActor, path: string): Promise<Read<Buffer>> =>
  look(services, actor, async (tx, { size }) => {
    const tile = parseTilePath(`tile/${path}`) ?? raise('not_found');
    const { level, index, width } = tile;
    if (width > tileWidth(level, index, size)) raise('not_found');
    if (level !== 'entries') return readTile(tx, { level, index, width });
    const first = index * TILE_WIDTH;
    const entries = await listEntryBytes(tx, first, first + width);
    return Buffer.concat(entries.flatMap(entry => [Buffer.of(entry.length >> 8, entry.length & 0xff), entry]));
  });

/** That the entry at `index` is in the published log, as c2sp.org/tlog-proof@v1. @throws Problem `forbidden`, `not_found` */
export const readInclusionProof = (services: Services, actor: AgencyActor, index: number): Promise<Read<string>> =>
  look(services, actor, async (tx, { size, published }) => {
    if (index >= size) raise('not_found');
    return formatTlogProof({ index, proof: await inclusionProof(index, size, nodeReader(tx, size)), checkpoint: published });
  });

/**
 * That the log of `to` entries goes on from that of `from`: hashes in base64 (RFC 6962, section 2.1.2).
 * @throws Problem `forbidden`, `not_found` for sizes beyond the published one, and where `from` is above `to`
 */
export const readConsistencyProof = (services: Services, actor: AgencyActor, query: { from?: number; to?: number }) =>
  look(services, actor, async (tx, { size }) => {
    const { from = 0, to = size } = query;
    if (from > to || to > size) raise('not_found');
    return (await consistencyProof(from, to, nodeReader(tx, to))).map(hash => hash.toString('base64'));
  });

/** What was published, under the name that it has for whoever reads it. */
interface Published {
  verifier_key: string;
  size: number;
  published: string;
  witnessed: { size: number; note: string } | null;
}

const look = <T>(services: Services, actor: AgencyActor, look: (tx: Tx, published: Published) => Promise<T>): Promise<Read<T>> =>
  read(services, actor, 'audit.verify', null, tx => {
    authorise(actor, 'audit.verify', ['self']);
    return asSystem(tx, 'tree', async tx => look(tx, publishedOf(await findHead(tx))));
  });

/** @throws Problem `not_found` before the first checkpoint, `service_unavailable` while nobody knows whether what lies here is the newest */
export function publishedOf(head: Awaited<ReturnType<typeof findHead>>): Published {
  const { verifier_key, published_size, published, witnessed_size, witnessed } = head ?? raise('not_found');
  if (haltOf(head) !== null) throw new Problem('service_unavailable', { detail: 'the log is no longer signed' });
  return {
    verifier_key,
    size: published_size,
    published: published ?? raise('not_found'),
    witnessed: witnessed === null ? null : { size: witnessed_size!, note: witnessed },
  };
}
