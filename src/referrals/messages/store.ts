import type { Selectable } from 'kysely';
import type { Tx } from '../../platform/database.ts';
import type { MessageTable } from '../../platform/tables.ts';

/** The SQL of messages; the only writer of their table. It knows ciphertext alone. */

export type MessageRow = Selectable<MessageTable>;

export async function insertMessage(tx: Tx, row: MessageRow): Promise<void> {
  await tx.insertInto('messages').values(row).execute();
}

/** Whose messages: all of a referral, or those of one of its offers. */
export interface MessageScope {
  referral_id: string;
  offer_id?: string;
  /** Only what this agency wrote. */
  author_agency_id?: string;
}

const messagesOf = (tx: Tx, { referral_id, offer_id, author_agency_id }: MessageScope) =>
  tx
    .selectFrom('messages')
    .selectAll()
    .where('referral_id', '=', referral_id)
    .$if(offer_id !== undefined, query => query.where('offer_id', '=', offer_id!))
    .$if(author_agency_id !== undefined, query => query.where('author_agency_id', '=', author_agency_id!));

export const findMessage = (tx: Tx, scope: MessageScope, id: string): Promise<MessageRow | undefined> =>
  messagesOf(tx, scope).where('id', '=', id).executeTakeFirst();

/** Newest first. */
export const listMessages = (tx: Tx, scope: MessageScope, before_id: string | undefined, limit: number): Promise<MessageRow[]> =>
  messagesOf(tx, scope)
    .$if(before_id !== undefined, query => query.where('id', '<', before_id!))
    .orderBy('id', 'desc')
    .limit(limit)
    .execute();
