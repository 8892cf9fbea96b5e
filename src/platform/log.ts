import { type DestinationStream, pino } from 'pino';
import { ConfigError } from './config.ts';

/**
 * Structured logs with one name per field everywhere. Only ids, codes, counts and times are ever logged, and that is held here:
 * a field that is not in `FIELDS` is dropped, whoever logs it; of an error goes out what describes it and nothing that it
 * quotes; and a message never names a URL.
 */
export interface Logger extends Record<'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace', Write> {
  child(fields: Line): Logger;
}

interface Write {
  (fields: Line, message: string): void;
  (message: string): void;
}

const FIELDS = [
  'action',
  'attempt',
  'client_id',
  'consent_id',
  'delivery_id',
  'duration_ms',
  'endpoint_id',
  'event_id',
  'event_ids',
  'expert_request_id',
  'job',
  'lag_ms',
  'lines',
  'loop',
  'method',
  'outcome',
  'part',
  'queue',
  'reason',
  // Of an act's entry in the trail, as the caller got it.
  'receipt',
  'referral_id',
  'refusals',
  'request_id',
  'route',
  'status',
  'steps',
  'timer_id',
  'trace_id',
  // A witness's name, as its key has it.
  'witness',
] as const;

export type Line = { err?: unknown } & {
  [name in (typeof FIELDS)[number]]?: string | number | readonly string[] | null | undefined;
};

const KNOWN: ReadonlySet<string> = new Set(['err', ...FIELDS]);

/** Of requests, too, there is a line each: nothing is copied where there is nothing to drop. */
function onlyKnown(line: Record<string, unknown>): Record<string, unknown> {
  for (const name in line)
    if (!isKnown(name, line[name]))
      return Object.fromEntries(Object.entries(line).filter(([name, value]) => isKnown(name, value)));
  return line;
}

const isKnown = (name: string, value: unknown): boolean =>
  KNOWN.has(name) &&
  (name === 'err' ||
    value === null ||
    typeof value !== 'object' ||
    (Array.isArray(value) && value.every(it => typeof it === 'string')));

/** @param destination where lines go instead of stdout */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { err: describeError },
      formatters: { log: onlyKnown },
      hooks: {
        logMethod(args: unknown[], write) {
          const [first, message] = args;
          if (typeof first === 'string') return write.call(this, withoutPaths(first));
          // Left to itself, pino would take the error's message for the line's.
          const fields = (first instanceof Error ? { err: first } : first) as object;
          return write.call(this, fields, typeof message === 'string' ? withoutPaths(message) : 'error');
        },
      },
    },
    destination as DestinationStream,
  );
  // A child's own fields pass none of pino's formatters but those that whoever makes it hands over.
  const { child } = logger;
  logger.child = function (this: typeof logger, fields, options) {
    return child.call(this, onlyKnown(fields), options);
  } as typeof child;
  return logger as unknown as Logger;
}

/** Fastify quotes the URL of a request where it complains of one. Of a whole URL its origin may be said. */
const withoutPaths = (message: string): string =>
  message.includes('/')
    ? message.replaceAll(/(\w:\/\/[^\s"')/?#]*)[^\s"')]*/g, '$1').replaceAll(/(^|[\s"'(:])\/(?!\/)[^\s"')]*/g, '$1…')
    : message;

/**
 * What may be said of an error. PostgreSQL quotes row values in `message`, `detail` and `where`, parsers and serialisers what
 * they choked on, V8 the value that had no such property; so a message goes out only where it is known to quote nothing.
 */
export function describeError(error: unknown, depth = 0): Record<string, unknown> {
  if (!(error instanceof Error)) return { name: typeof error };
  const { code, constraint, table } = error as { code?: unknown; constraint?: unknown; table?: unknown };
  return {
    ...named({ name: error.name, code: code ?? redisCode(error), constraint, table }),
    ...(quotesNothing(error) ? { message: error.message } : {}),
    stack: framesOf(error),
    ...(error.cause instanceof Error && depth < 2 ? { cause: describeError(error.cause, depth + 1) } : {}),
  };
}

/** Those that are names. */
const named = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => typeof value === 'string' && /^\w{1,64}$/.test(value)));

/** A Redis server begins its errors with a code. */
const redisCode = ({ name, message }: Error): string | undefined =>
  name === 'ReplyError' ? /^[A-Z]+(?= )/.exec(message)?.[0] : undefined;

/** What we say of settings, what the system says of connections and files, and what pg says of a connection that is gone. */
const quotesNothing = (error: Error): boolean =>
  error instanceof ConfigError ||
  ('syscall' in error && 'errno' in error) ||
  /^(timeout exceeded when trying to connect|Connection terminated( unexpectedly| due to connection timeout)?|Query read timeout|no answer within \d+ ms)$/.test(
    error.message,
  );

const MOST_FRAMES = 11;

/** Where it was thrown, without the message that stands above it, on as many lines as it has. */
const framesOf = ({ stack = '', message }: Error): string =>
  stack
    .slice(stack.indexOf(message) + message.length)
    .split('\n')
    .filter(line => line.startsWith('    at '))
    .slice(0, MOST_FRAMES)
    .join('\n');
