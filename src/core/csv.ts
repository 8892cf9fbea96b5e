/** Tables for people with spreadsheets, as in RFC 4180. */

/** Where a spreadsheet begins a formula; where its language writes `1,5`, it begins a cell behind each semicolon. */
const FORMULA = /(?<=^|[;\t])[=+\-@\t\r]/g;
const NEEDS_QUOTES = /[",\r\n]/;

/**
 * A row with its line break; null is an empty cell. What a spreadsheet would take for a formula gets an apostrophe in front, for
 * which it shows the rest as text: what others wrote must not be run by whoever opens the file.
 */
export const csvRow = (cells: readonly (string | number | null)[]): string => `${cells.map(cellOf).join(',')}\r\n`;

function cellOf(value: string | number | null): string {
  const text = String(value ?? '').replaceAll(FORMULA, "'$&");
  return NEEDS_QUOTES.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
