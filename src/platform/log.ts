import { type Logger, pino } from 'pino';

export type { Logger };

/**
 * Structured logs with one name per field everywhere. Only ids, codes and times are ever logged: requests by method, route
 * pattern and request id, never by URL, header or body; errors by name, code and stack, never with what a query was given.
 */
export const createLogger = (level: string): Logger =>
  pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: describeError },
  });

/** What may be said of an error: PostgreSQL's `detail` and `where` quote row values, so they are left out. */
function describeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { name: typeof error };
  const code = (error as { code?: unknown }).code;
  return {
    name: error.name,
    ...(typeof code === 'string' ? { code } : {}),
    stack: framesOf(error),
    ...(error.cause instanceof Error ? { cause: error.cause.name } : {}),
    ...(isDatabaseError(error) ? {} : { message: error.message }),
  };
}

const MOST_FRAMES = 11;

/** Where it was thrown, without the message that stands above it, on as many lines as it has. */
const framesOf = ({ stack = '' }: Error): string =>
  stack
    .split('\n')
    .filter(line => line.startsWith('    at '))
    .slice(0, MOST_FRAMES)
    .join('\n');

const isDatabaseError = (error: Error): boolean => 'severity' in error && 'code' in error;
