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

/** The same read again: rows of cells. What somebody else wrote may use another delimiter. @throws SyntaxError naming the line */
export function parseCsv(text: string, delimiter = ','): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let cell = '';
  let line = 1;
  // Of the cell: not in quotes, within them, or behind the closing one.
  let quotes: 'none' | 'open' | 'closed' = 'none';
  const endCell = () => {
    row.push(cell);
    cell = '';
    quotes = 'none';
  };
  const endRow = () => {
    endCell();
    // An empty line is no row of one empty cell.
    if (row.length > 1 || row[0] !== '') rows.push(row);
    row = [];
  };
  for (let i = text.startsWith('\ufeff') ? 1 : 0; i < text.length; i += 1) {
    const character = text[i]!;
    if (character === '\n') line += 1;
    if (quotes === 'open') {
      if (character !== '"') cell += character;
      else if (text[i + 1] === '"') {
        cell += '"';
        i += 1;
      } else quotes = 'closed';
    } else if (character === delimiter) endCell();
    else if (character === '\n') endRow();
    else if (character === '\r' && (text[i + 1] === '\n' || i + 1 === text.length)) continue;
    else if (quotes === 'closed') throw new SyntaxError(`line ${line}: text behind a closing quotation mark`);
    else if (character === '"' && cell === '') quotes = 'open';
    else cell += character;
  }
  if (quotes === 'open') throw new SyntaxError(`line ${line}: a quotation mark is not closed`);
  if (cell !== '' || row.length > 0 || quotes === 'closed') endRow();
  return rows;
}
