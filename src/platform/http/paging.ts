import { Type } from 'typebox';
import { Problem } from '../../core/problem.ts';

/** Lists: `?limit=&cursor=`, answered as `{data, next_cursor}`. A cursor is opaque to callers and holds only sort keys. */

export const PageQuery = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 50, description: 'How many at most; 50 unless said' })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 400, description: '`next_cursor` of the page before' })),
};

export const pageOf = <T extends Parameters<typeof Type.Array>[0]>(item: T) =>
  Type.Object({ data: Type.Array(item), next_cursor: Type.Union([Type.String(), Type.Null()]) }, { additionalProperties: false });

export interface Page<T> {
  data: T[];
  next_cursor: string | null;
}

export const pageLimit = (query: { limit?: number }): number => query.limit ?? 50;

export const encodeCursor = (...keys: (string | number | null)[]): string =>
  Buffer.from(JSON.stringify(keys)).toString('base64url');

/**
 * The sort keys in a cursor that {@link encodeCursor} made, or undefined for the first page.
 * @throws Problem `invalid_request` for anything else
 */
export function decodeCursor(cursor: string | undefined, length: number): (string | number | null)[] | undefined {
  if (cursor === undefined) return undefined;
  try {
    const keys = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as unknown;
    const valid =
      Array.isArray(keys) &&
      keys.length === length &&
      keys.every(key => key === null || ['string', 'number'].includes(typeof key));
    if (
      valid &&
      encodeCursor(...(keys as string[])) === cursor &&
      keys.every(key => typeof key !== 'string' || !key.includes('\0'))
    ) {
      return keys as (string | number | null)[];
    }
  } catch {
    // Falls through: not one of ours.
  }
  throw new Problem('invalid_request', { errors: [{ pointer: 'querystring:cursor', detail: 'is not a cursor of this list' }] });
}

/** One row more than the page was asked for tells whether there is a next page. */
export function toPage<Row, T>(rows: Row[], limit: number, cursorOf: (row: Row) => string, view: (row: Row) => T): Page<T> {
  const shown = rows.slice(0, limit);
  return { data: shown.map(view), next_cursor: rows.length > limit ? cursorOf(shown.at(-1)!) : null };
}

/**
 * A page of what its ids order, newest first.
 * @param list from behind this id, so many
 * @param view of the rows that are shown, in their order
 */
export async function pageById<Row extends { id: string }, View>(
  query: { limit?: number; cursor?: string },
  list: (before_id: string | undefined, limit: number) => Promise<Row[]>,
  view: (rows: Row[]) => Promise<View[]>,
): Promise<Page<View>> {
  const limit = pageLimit(query);
  const [before_id] = (decodeCursor(query.cursor, 1) ?? []) as [string?];
  const rows = await list(before_id, limit + 1);
  const shown = rows.slice(0, limit);
  return { data: await view(shown), next_cursor: rows.length > limit ? encodeCursor(shown.at(-1)!.id) : null };
}
