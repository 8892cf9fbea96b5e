import { readFileSync, writeFileSync } from 'node:fs';
import type { Test } from 'tap';

/** Which fields an answer has, as people review them: dotted paths, `[]` for whatever stands in a list, without the values. */
export function fieldsOf(value: unknown, path = ''): string[] {
  // What is empty came, too.
  if (Array.isArray(value) && value.length === 0) return [`${path}[]`];
  if (Array.isArray(value)) return [...new Set(value.flatMap(member => fieldsOf(member, `${path}[]`)))];
  if (value === null || typeof value !== 'object') return [path];
  const members = Object.entries(value);
  if (members.length === 0) return [path];
  return [...new Set(members.flatMap(([name, member]) => fieldsOf(member, path === '' ? name : `${path}.${name}`)))];
}

/**
 * Holds `text` against a file that was read and found right. `npm test -- --snapshot <the test>` writes it anew, to be read again.
 */
export function matchesReviewed(t: Test, name: string, text: string): void {
  const file = new URL(`../api/${name}`, import.meta.url);
  if (process.env.TAP_SNAPSHOT === '1') writeFileSync(file, text);
  t.equal(readFileSync(file, 'utf8'), text, `${name} is what comes back`);
}

/** A Markdown table, its columns aligned. */
export function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((name, i) => Math.max(name.length, 3, ...rows.map(row => row[i]!.length)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`;
  return [line(head), line(widths.map(width => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
