import pg from 'pg';

/**
 * Statements with parameters are prepared once per connection: what takes the server longest with forced row-level security is
 * planning, and it plans what it knows by name only a few times. Texts are the program's own, so their number is bounded; what
 * comes after the first few hundred is sent as it is.
 *
 * A migration that runs beside this process may change what a prepared statement returns; the server then refuses it ("cached plan
 * must not change result type"). From then on every statement gets a new name, and the transaction is worth another try.
 */
const MOST_NAMED = 400;

const names = new Map<string, string>();
let generation = 0;

function nameOf(text: string): string | undefined {
  const known = names.get(text);
  if (known !== undefined || names.size >= MOST_NAMED) return known;
  const name = `aman_${generation}_${names.size}`;
  names.set(text, name);
  return name;
}

/** Whether a prepared statement was overtaken by a migration. */
export const isPlanOutdated = (error: unknown): boolean => {
  const { code, message } = error as { code?: string; message?: string };
  return code === '0A000' && message?.includes('cached plan') === true;
};

export class PreparingClient extends pg.Client {
  // biome-ignore lint/suspicious/noExplicitAny: pg declares a dozen overloads
  override query(config: any, values?: any, callback?: any): any {
    const name = typeof config === 'string' && Array.isArray(values) && values.length > 0 ? nameOf(config) : undefined;
    const result = super.query(
      name === undefined ? config : { name, text: config, values },
      ...(name === undefined ? [values, callback] : [callback]),
    );
    if (name !== undefined && result instanceof Promise) {
      return result.catch((error: unknown) => {
        if (isPlanOutdated(error) && names.get(config) === name) {
          names.clear();
          generation += 1;
        }
        throw error;
      });
    }
    return result;
  }
}
