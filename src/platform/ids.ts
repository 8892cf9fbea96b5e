import { randomBytes, randomUUIDv7 } from 'node:crypto';
import { type Prefix, referenceFrom, typeId } from '../core/ids.ts';

/** A new TypeID over a UUIDv7. Ids sort by the millisecond in which they were made, at random within it. */
export const newId = (prefix: Prefix): string => typeId(prefix, Buffer.from(randomUUIDv7().replaceAll('-', ''), 'hex'));

/** A new reference in canonical form. 55 random bits: the column that holds it must be unique, and a clash drawn again. */
export const newReference = (): string => referenceFrom(randomBytes(11));
