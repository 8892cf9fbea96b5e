import type { NotUnderstood } from '../../core/hsds-terms.ts';
import { type Fault, Problem } from '../../core/problem.ts';
import { type ImportReport, MOST_TOLD } from './schema.ts';

/** What was found of the rows, and how much of it. */
export class Findings {
  readonly #faults: Fault[] = [];
  readonly #passed: NotUnderstood[] = [];
  readonly #left_out = new Map<string, { table: string; field?: string; rows: number }>();

  readonly report = (pointer: string, detail: string): void => {
    this.#faults.push({ pointer: `/directory${pointer}`, detail });
  };

  readonly pass = ({ pointer, ...what }: NotUnderstood): void => {
    this.#passed.push({ pointer: `/directory${pointer}`, ...what });
  };

  readonly leaveOut = (table: string, field?: string): void => {
    const key = JSON.stringify([table.slice(0, 100), field?.slice(0, 100)]);
    const before = this.#left_out.get(key);
    if (before) before.rows += 1;
    else if (this.#left_out.size < MOST_TOLD)
      this.#left_out.set(key, { table: table.slice(0, 100), ...(field ? { field: field.slice(0, 100) } : {}), rows: 1 });
  };

  /** @throws Problem `unprocessable` where a row is broken */
  raise(): void {
    if (this.#faults.length === 0) return;
    throw new Problem('unprocessable', {
      detail: 'Rows of the directory are broken; nothing of it was taken over.',
      errors: this.#faults.slice(0, MOST_TOLD),
      members: { errors_total: this.#faults.length },
    });
  }

  told(): Pick<ImportReport, 'not_understood' | 'left_out'> {
    const not_understood = { total: this.#passed.length, data: this.#passed.slice(0, MOST_TOLD) };
    return { not_understood, left_out: [...this.#left_out.values()] };
  }
}
