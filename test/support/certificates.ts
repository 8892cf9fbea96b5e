import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';

/**
 * X.509 certificates made when a test runs, for TLS looks at the machine's own clock: as much of RFC 5280 as the tests need,
 * without a program that a bare machine lacks.
 */

export interface Identity {
  certificate: string;
  key: string;
  /** Signs others'. */
  private_key: KeyObject;
  public_key: KeyObject;
  name: string;
}

interface Wanted {
  name?: string;
  /** DNS names and IPv4 addresses. */
  hosts?: string[];
  /** By default itself. */
  issuer?: Identity;
  ca?: boolean;
  /** From and to, in days from now. */
  days?: [from: number, to: number];
  for?: 'clients' | 'servers';
  /** Instead of a new key on a curve. */
  rsa_bits?: number;
}

const DAY_MS = 86_400_000;

export function makeIdentity({ name = 'test', hosts = [], issuer, ca = false, days = [-1, 30], ...rest }: Wanted): Identity {
  const { publicKey, privateKey } =
    rest.rsa_bits === undefined
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: rest.rsa_bits });
  const signer = issuer?.private_key ?? privateKey;
  const algorithm = sequence(
    signer.asymmetricKeyType === 'rsa'
      ? [oid([1, 2, 840, 113549, 1, 1, 11]), tagged(0x05, Buffer.alloc(0))]
      : [oid([1, 2, 840, 10045, 4, 3, 2])],
  );
  const extensions = [
    extension([2, 5, 29, 19], sequence(ca ? [tagged(0x01, Buffer.of(0xff))] : []), true),
    ...(hosts.length > 0 ? [extension([2, 5, 29, 17], sequence(hosts.map(alternativeName)))] : []),
    ...(rest.for ? [extension([2, 5, 29, 37], sequence([oid([1, 3, 6, 1, 5, 5, 7, 3, rest.for === 'clients' ? 2 : 1])]))] : []),
  ];
  const body = sequence([
    tagged(0xa0, integer(Buffer.of(2))),
    integer(Buffer.concat([Buffer.of(1), randomBytes(15)])),
    algorithm,
    nameOf(issuer?.name ?? name),
    sequence(days.map(day => tagged(0x18, Buffer.from(time(new Date(Date.now() + day * DAY_MS)))))),
    nameOf(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(extensions)),
  ]);
  const signature = sign('sha256', body, signer);
  const der = sequence([body, algorithm, tagged(0x03, Buffer.concat([Buffer.of(0), signature]))]);
  const lines = der.toString('base64').match(/.{1,64}/g)!;
  return {
    certificate: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    private_key: privateKey,
    public_key: publicKey,
    name,
  };
}

export const makeAuthority = (name = 'authority', more: Wanted = {}): Identity => makeIdentity({ name, ca: true, ...more });

function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...head), content]);
}

const sequence = (parts: Buffer[]): Buffer => tagged(0x30, Buffer.concat(parts));
const integer = (bytes: Buffer): Buffer => tagged(0x02, bytes);

function oid([first, second, ...rest]: number[]): Buffer {
  const base128 = (n: number): number[] => (n < 0x80 ? [n] : [...base128(n >> 7).map(byte => byte | 0x80), n & 0x7f]);
  return tagged(0x06, Buffer.of(first! * 40 + second!, ...rest.flatMap(base128)));
}

const nameOf = (name: string): Buffer => sequence([tagged(0x31, sequence([oid([2, 5, 4, 3]), tagged(0x0c, Buffer.from(name))]))]);

const alternativeName = (host: string): Buffer =>
  isIPv4(host) ? tagged(0x87, Buffer.from(host.split('.').map(Number))) : tagged(0x82, Buffer.from(host));

const extension = (id: number[], value: Buffer, critical = false): Buffer =>
  sequence([oid(id), ...(critical ? [tagged(0x01, Buffer.of(0xff))] : []), tagged(0x04, value)]);

/** GeneralizedTime; OpenSSL takes it for every year. */
const time = (at: Date): string => `${at.toISOString().replaceAll(/[-:T]/g, '').slice(0, 14)}Z`;
