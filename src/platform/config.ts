import { isIPv6 } from 'node:net';
import { resolve } from 'node:path';
import { NoteError, parseVerifierKey, TYPE_COSIGNATURE } from '../core/signed-note.ts';
import type { ProxyAddress } from './outbound-connection.ts';

/**
 * The only reader of `process.env`. What a variable means, and its default, is in the table of README.md.
 */

export type ProcessRole = 'api' | 'worker' | 'sequencer';

export interface Config {
  host: string;
  port: number;
  /** The origin at which clients reach the service; null: `host` and `port`. */
  public_url: string | null;
  /** null: the embedded database */
  database_url: string | null;
  /** For migrations, where the owner of the tables is another login. */
  migrate_database_url: string | null;
  /** Where the sequencer logs in; null: where migrations do. */
  sequencer_database_url: string | null;
  /** Where the queue is; null: in the database. */
  redis: RedisAddress | null;
  data_dir: string;
  keyring_path: string;
  log: LogConfig;
  roles: ReadonlySet<ProcessRole>;
  /** Load the demonstration mechanism; null: only into a new embedded database. */
  demo: boolean | null;
  production: boolean;
  log_level: string;
  /** Where figures for the operator are scraped; null: nowhere. */
  metrics_port: number | null;
  metrics_host: string;
  /** Requests per second and burst, per client. */
  rate_limit: { per_second: number; burst: number };
  /** Ports beside 443 that a webhook endpoint may have. */
  webhook_ports: number[];
  /** What webhooks go through; null: nothing. */
  egress_proxy: ProxyAddress | null;
  /** Addresses of reverse proxies whose `X-Forwarded-For` is believed. */
  trust_proxy: string[];
}

/** Of the trail's log, for the sequencer. */
export interface LogConfig {
  /** The log's name for auditors and witnesses; null: made of PUBLIC_URL. */
  origin: string | null;
  key_path: string;
  /** The key that the one of `key_path` replaces; null: none is being replaced. */
  previous_key_path: string | null;
  ledger_path: string;
  /** Who is asked to cosign it, and how many of them it takes. */
  witnesses: WitnessAddress[];
  quorum: number;
}

export interface WitnessAddress {
  /** `name+key id+base64`, of type 0x04. */
  verifier_key: string;
  /** Without a slash at its end. */
  url: string;
}

export interface RedisAddress {
  /** Of the one server, or of the sentinels that know where it is. */
  hosts: { host: string; port: number }[];
  /** What the sentinels call the server; null: it is the one host. */
  master: string | null;
  tls: boolean;
  database: number;
  username: string | undefined;
  password: string | undefined;
  /** Where the sentinels ask for a password of their own. */
  sentinel_password: string | undefined;
}

/** A setting that makes no sense: one line for the person who starts the service. */
export class ConfigError extends Error {
  override readonly name: string = 'ConfigError';
}

const ROLES: readonly ProcessRole[] = ['api', 'worker', 'sequencer'];
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'];

/** @throws ConfigError naming the first variable that is wrong */
export function readConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const production = env.NODE_ENV === 'production';
  const data_dir = resolve(env.DATA_DIR || '.data');
  const config: Config = {
    host: env.HOST || '127.0.0.1',
    port: integer(env, 'PORT', 3000, 0, 65_535),
    public_url: origin(env, 'PUBLIC_URL', production ? ['https:'] : ['http:', 'https:']),
    database_url: databaseUrl(env, 'DATABASE_URL'),
    migrate_database_url: databaseUrl(env, 'MIGRATE_DATABASE_URL'),
    sequencer_database_url: databaseUrl(env, 'SEQUENCER_DATABASE_URL'),
    redis: redisAddress(env),
    data_dir,
    keyring_path: resolve(env.KEYRING_PATH || `${data_dir}/keyring.json`),
    log: {
      origin: logOrigin(env),
      key_path: resolve(env.LOG_KEY_PATH || `${data_dir}/log-key.pem`),
      previous_key_path: env.LOG_PREVIOUS_KEY_PATH ? resolve(env.LOG_PREVIOUS_KEY_PATH) : null,
      ledger_path: resolve(env.LEDGER_PATH || `${data_dir}/log-ledger`),
      ...witnesses(env),
    },
    roles: new Set(oneOrMore(env, 'ROLES', ROLES)),
    demo: env.DEMO === undefined || env.DEMO === '' ? null : oneOf(env, 'DEMO', ['0', '1']) === '1',
    production,
    log_level: env.LOG_LEVEL ? oneOf(env, 'LOG_LEVEL', LOG_LEVELS) : 'info',
    metrics_port: env.METRICS_PORT ? integer(env, 'METRICS_PORT', 0, 0, 65_535) : null,
    // Not HOST: whoever reaches the API is not meant to reach these.
    metrics_host: env.METRICS_HOST || '127.0.0.1',
    rate_limit: rateLimit(env),
    webhook_ports: (env.WEBHOOK_PORTS ?? '')
      .split(',')
      .filter(Boolean)
      .map(port => toInteger('WEBHOOK_PORTS', port, 1, 65_535)),
    egress_proxy: egressProxy(env),
    trust_proxy: (env.TRUST_PROXY ?? '')
      .split(',')
      .map(address => address.trim())
      .filter(Boolean),
  };
  if (production) {
    if (config.database_url === null)
      throw new ConfigError('NODE_ENV=production needs DATABASE_URL: the embedded database is for trying out');
    if (!env.KEYRING_PATH) throw new ConfigError('NODE_ENV=production needs KEYRING_PATH');
    if (within(config.keyring_path, data_dir)) throw new ConfigError('NODE_ENV=production needs a KEYRING_PATH outside DATA_DIR');
    if (config.demo) throw new ConfigError('DEMO=1 is refused with NODE_ENV=production');
  }
  return config;
}

/** A key name of a signed note, by convention a host with a path and without a scheme. */
function logOrigin(env: NodeJS.ProcessEnv): string | null {
  const { LOG_ORIGIN } = env;
  if (!LOG_ORIGIN) return null;
  requireOrigin('LOG_ORIGIN', LOG_ORIGIN);
  return LOG_ORIGIN;
}

/** @throws ConfigError where the log could not have this name */
export function requireOrigin(setting: string, origin: string): void {
  if (!/^[a-z0-9][a-z0-9./-]{0,99}$/.test(origin))
    throw new ConfigError(`${setting} must be like "trail.example.org/2026": lower-case letters, digits, dots, hyphens, slashes`);
}

/** `<verifier key>@<URL>`, separated by commas; the quorum is more than half of them unless it is said. */
function witnesses(env: NodeJS.ProcessEnv): Pick<LogConfig, 'witnesses' | 'quorum'> {
  const witnesses = (env.WITNESSES ?? '')
    .split(',')
    .map(text => text.trim())
    .filter(Boolean)
    .map(toWitness);
  // One key under several names would be one witness that counts as several.
  const keys = new Set(witnesses.map(({ verifier_key }) => parseVerifierKey(verifier_key).public_key.toString('hex')));
  if (keys.size < witnesses.length) throw new ConfigError('WITNESSES names the same key twice');
  const most = Math.max(1, witnesses.length);
  return { witnesses, quorum: integer(env, 'WITNESS_QUORUM', Math.floor(witnesses.length / 2) + 1, 1, most) };
}

function toWitness(text: string): WitnessAddress {
  const at = text.indexOf('@');
  const [verifier_key, url] = [text.slice(0, at), text.slice(at + 1).replace(/\/+$/, '')];
  try {
    if (at < 0 || parseVerifierKey(verifier_key).type !== TYPE_COSIGNATURE) throw new NoteError('');
  } catch {
    throw new ConfigError('WITNESSES must be a list of <verifier key of type 0x04>@<URL>');
  }
  const { protocol, username, password, search, hash } = URL.parse(url) ?? {};
  if (!['http:', 'https:'].includes(protocol ?? '') || username || password || search || hash)
    throw new ConfigError(`WITNESSES: ${url} must be http:// or https://, a host and perhaps a path`);
  return { verifier_key, url };
}

/** @throws ConfigError where a production log would have its name, key or ledger by chance, or beside the database */
export function requireLogSettings({ production, data_dir, log }: Config): void {
  if (!production) return;
  if (log.origin === null) throw new ConfigError('NODE_ENV=production needs LOG_ORIGIN where the sequencer runs');
  for (const [name, path] of [
    ['LOG_KEY_PATH', log.key_path],
    ['LEDGER_PATH', log.ledger_path],
  ] as const) {
    if (within(path, data_dir))
      throw new ConfigError(`NODE_ENV=production needs a ${name} outside DATA_DIR where the sequencer runs`);
  }
}

function integer(env: NodeJS.ProcessEnv, name: string, fallback: number, min: number, max: number): number {
  const text = env[name];
  return text ? toInteger(name, text, min, max) : fallback;
}

function toInteger(name: string, text: string, min: number, max: number): number {
  const value = /^\d{1,9}$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) throw new ConfigError(`${name} must be a whole number from ${min} to ${max}`);
  return value;
}

function oneOf<T extends string>(env: NodeJS.ProcessEnv, name: string, allowed: readonly T[]): T {
  const value = env[name] as T;
  if (!allowed.includes(value)) throw new ConfigError(`${name} must be one of ${allowed.join(', ')}`);
  return value;
}

function oneOrMore<T extends string>(env: NodeJS.ProcessEnv, name: string, allowed: readonly T[]): readonly T[] {
  const text = env[name];
  if (!text) return allowed;
  const values = text.split(',').map(value => value.trim() as T);
  if (!values.every(value => allowed.includes(value)))
    throw new ConfigError(`${name} must be a list out of ${allowed.join(', ')}`);
  return values;
}

function origin(env: NodeJS.ProcessEnv, name: string, protocols: readonly string[]): string | null {
  const text = env[name];
  if (!text) return null;
  const url = URL.parse(text);
  if (!url || !protocols.includes(url.protocol) || url.href !== `${url.origin}/`)
    throw new ConfigError(`${name} must be ${protocols.map(it => `${it}//`).join(' or ')} and a host, without a path`);
  return url.origin;
}

function databaseUrl(env: NodeJS.ProcessEnv, name: string): string | null {
  const text = env[name];
  if (!text) return null;
  if (!/^postgres(ql)?:\/\//.test(text) || !URL.canParse(text)) throw new ConfigError(`${name} must be a postgres:// URL`);
  // They would replace those that hold the service to its role.
  if (new URL(text).searchParams.has('options')) throw new ConfigError(`${name} must not set "options"`);
  return text;
}

const REDIS_URL =
  /^redis(?<tls>s?)(?<sentinel>\+sentinel)?:\/\/((?<username>[^:@/?#]*):(?<password>[^@/?#]*)@)?(?<hosts>[^@/?#]+)(\/(?<path>[^?#]*))?(\?(?<query>[^#]*))?$/;
const HOST_AND_PORT = /^(?:\[(?<v6>[0-9A-Fa-f:.]+)\]|(?<name>[^:[\]\s]+))(?::(?<port>\d{1,5}))?$/;

/**
 * `redis://user:password@host:6379/0`, or `redis+sentinel://user:password@host:26379,host:26379/master/0`, where the password is
 * that of Redis and `?sentinel_password=` that of the sentinels; `rediss` for TLS. It holds passwords, so no error quotes it.
 */
function redisAddress(env: NodeJS.ProcessEnv): RedisAddress | null {
  const text = env.REDIS_URL;
  if (!text) return null;
  const wrong = (what: string) => new ConfigError(`REDIS_URL ${what}`);
  const parts = REDIS_URL.exec(text)?.groups;
  if (!parts)
    throw wrong('must be redis://user:password@host:6379/0 or redis+sentinel://user:password@host:26379,host:26379/master/0');
  const sentinel = parts.sentinel !== undefined;
  const hosts = parts.hosts!.split(',').map(text => {
    const { v6, name, port = sentinel ? '26379' : '6379' } = HOST_AND_PORT.exec(text)?.groups ?? {};
    const host = v6 ?? name;
    if (host === undefined || (v6 !== undefined && !isIPv6(v6))) throw wrong('names a host that is none');
    if (Number(port) < 1 || Number(port) > 65_535) throw wrong('names a port that is none');
    return { host, port: Number(port) };
  });
  if (!sentinel && hosts.length > 1) throw wrong('names several hosts: only redis+sentinel:// may');
  const path = (parts.path ?? '').split('/').filter(Boolean);
  const master = sentinel ? path.shift() : undefined;
  if (sentinel && master === undefined) throw wrong('must name the master that the sentinels watch, behind the hosts: /master');
  if (path.length > 1 || !/^\d{1,5}$/.test(path[0] ?? '0')) throw wrong('must end in the number of a database, or in nothing');
  const query = new URLSearchParams(parts.query);
  const unknown = [...query.keys()].some(key => !(sentinel && key === 'sentinel_password'));
  if (unknown) throw wrong('has a parameter that it may not have: only sentinel_password of redis+sentinel:// is known');
  const decoded = (part: string | undefined) => {
    try {
      return part ? decodeURIComponent(part) : undefined;
    } catch {
      throw wrong('has a % that encodes nothing: write %25');
    }
  };
  return {
    hosts,
    master: decoded(master) ?? null,
    tls: parts.tls !== '',
    database: Number(path[0] ?? 0),
    username: decoded(parts.username),
    password: decoded(parts.password),
    sentinel_password: query.get('sentinel_password') ?? undefined,
  };
}

/** `http://user:password@host:3128`. It may hold a password, so no error quotes it. */
function egressProxy(env: NodeJS.ProcessEnv): ProxyAddress | null {
  const text = env.EGRESS_PROXY;
  if (!text) return null;
  const wrong = () => new ConfigError('EGRESS_PROXY must be http://host:port or http://user:password@host:port');
  const url = URL.parse(text);
  if (url?.protocol !== 'http:' || url.pathname !== '/' || url.search || url.hash) throw wrong();
  const { hostname, port, username, password } = url;
  try {
    const credentials = username || password ? [username, password].map(decodeURIComponent).join(':') : null;
    return {
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port || 80),
      authorization: credentials && `Basic ${Buffer.from(credentials).toString('base64')}`,
    };
  } catch {
    throw wrong();
  }
}

function rateLimit(env: NodeJS.ProcessEnv): Config['rate_limit'] {
  const [per_second = '500', burst = '2000', ...rest] = (env.RATE_LIMIT || '500,2000').split(',');
  if (rest.length > 0) throw new ConfigError('RATE_LIMIT must be "<requests per second>,<burst>"');
  return { per_second: toInteger('RATE_LIMIT', per_second, 1, 1_000_000), burst: toInteger('RATE_LIMIT', burst, 1, 10_000_000) };
}

const within = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);
