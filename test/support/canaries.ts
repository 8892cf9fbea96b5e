import type { Test } from 'tap';
import type { Services } from '../../src/services.ts';
import { lookAsOwner } from './trail.ts';

/**
 * Personal data that tests put into requests carries words which stand nowhere else. Wherever one of them turns up in clear,
 * something of a person has left the vault.
 */

/** What a row or a line would hold of `word`: in clear, or as the hex or base64 of its bytes, wherever it begins. */
export function tracesOf(word: string): (text: string) => boolean {
  const bytes = Buffer.from(word);
  const plain = [word.toLowerCase(), bytes.toString('hex')];
  const encoded = [0, 1, 2].map(before => {
    // What stands before shifts the digits; those at the ends depend on the neighbours, too.
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    return text.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
  });
  return text => {
    const folded = text.toLowerCase();
    return plain.some(it => folded.includes(it)) || encoded.some(it => text.includes(it));
  };
}

export function noCanaries(t: Test, words: readonly string[], where: string, texts: readonly string[]): void {
  const traces = words.map(tracesOf);
  const found = texts.filter(text => traces.some(isIn => isIn(text)));
  t.same(found, [], `${where} holds no personal data`);
}

/** Every row of every table, as text; bytes as hex. */
export async function everyRow(services: Services): Promise<{ table: string; rows: string[] }[]> {
  const tables = await lookAsOwner<{ name: string }>(
    services,
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname not in ('pg_catalog', 'information_schema')`,
  );
  const all = [];
  for (const { name } of tables) {
    const rows = await lookAsOwner<{ row: string }>(services, `select t::text as row from ${name} t`);
    all.push({ table: name, rows: rows.map(({ row }) => row) });
  }
  return all;
}
