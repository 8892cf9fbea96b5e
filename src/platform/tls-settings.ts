import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext, DEFAULT_CIPHERS, type SecureContext } from 'node:tls';
import type { Fault } from '../core/problem.ts';

/** What a receiver may ask of TLS: whom alone the service trusts there, and how the service shows who it is. In PEM. */
export interface TlsSettings {
  /** The only authorities that are trusted; without it those that Node.js trusts. */
  ca?: string;
  /** The service's own certificate for this receiver, with what stands between it and its authority. */
  client_certificate?: string;
  client_key?: string;
}

/** All of a certificate that helps without telling more. */
export interface CertificateSummary {
  /** SHA-256, as `openssl x509 -fingerprint -sha256` writes it. */
  fingerprint: string;
  expires_at: string;
}

export interface TlsSummary {
  ca: CertificateSummary[];
  client_certificate: CertificateSummary | null;
}

/** More are not needed to change from one authority to the next, nor in any chain. */
const MOST_CERTIFICATES = 5;
/** Signing, at every handshake, takes 2 ms with so long an RSA key, and eight times that with one twice as long. */
const MOST_RSA_BITS = 4_096;
const CLIENT_AUTHENTICATION = '1.3.6.1.5.5.7.3.2';

/** A context for connections under these settings, or under none. @throws Error where OpenSSL refuses them */
export function secureContextOf({ ca, client_certificate, client_key }: TlsSettings = {}): SecureContext {
  return createSecureContext({
    // Said here, so that nothing in the environment says otherwise.
    minVersion: 'TLSv1.2',
    // With DHE the receiver chooses the group: one of 10,000 bits takes all of this thread for a second, at every handshake.
    ciphers: `${DEFAULT_CIPHERS}:!kDHE`,
    // Whoever pins an issuing authority means that one, and not the root above it.
    ...(ca === undefined ? {} : { ca, allowPartialTrustChain: true }),
    ...(client_certificate === undefined ? {} : { cert: client_certificate, key: client_key }),
  });
}

/** What is wrong with settings, by pointers into them. None quotes anything. */
export function checkTlsSettings({ ca, client_certificate, client_key }: TlsSettings, now: Date): Fault[] {
  const faults = [
    ...(ca === undefined ? [] : checkAuthorities(ca, now).map(detail => ({ pointer: '/ca', detail }))),
    ...(client_certificate === undefined
      ? []
      : checkClient(client_certificate, now).map(detail => ({ pointer: '/client_certificate', detail }))),
    ...checkKey(client_certificate, client_key).map(detail => ({ pointer: '/client_key', detail })),
  ];
  if (faults.length > 0) return faults;
  for (const [pointer, settings] of [
    ['/ca', { ca }],
    ['/client_certificate', { client_certificate, client_key }],
  ] as const) {
    try {
      secureContextOf(settings);
    } catch {
      return [{ pointer, detail: 'cannot be used for TLS: a key may be too weak' }];
    }
  }
  return [];
}

function checkAuthorities(pem: string, now: Date): string[] {
  const certificates = parseCertificates(pem);
  if (!certificates) return [NO_CERTIFICATES];
  if (!certificates.every(certificate => certificate.ca))
    return ['must be of authorities: it holds a certificate that may issue none'];
  return certificates.some(certificate => isOver(certificate, now)) ? ['has expired'] : [];
}

function checkClient(pem: string, now: Date): string[] {
  const certificates = parseCertificates(pem);
  if (!certificates) return [NO_CERTIFICATES];
  if (certificates.some(certificate => isOver(certificate, now))) return ['has expired'];
  const { keyUsage: usages } = certificates[0]!;
  return usages && !usages.includes(CLIENT_AUTHENTICATION) ? ['must be for the authentication of clients'] : [];
}

function checkKey(client_certificate: string | undefined, pem: string | undefined): string[] {
  if (pem === undefined) return client_certificate === undefined ? [] : ['is missing: a client certificate needs its key'];
  if (client_certificate === undefined) return ['needs the certificate that it belongs to'];
  const key = parseKey(pem);
  if (!key) return ['must be a private key in PEM, without a passphrase and nothing else'];
  if ((key.asymmetricKeyDetails?.modulusLength ?? 0) > MOST_RSA_BITS)
    return [`is longer than ${MOST_RSA_BITS} bits, with which every connection takes long`];
  const certificate = parseCertificates(client_certificate)?.[0];
  return certificate && !certificate.checkPrivateKey(key) ? ['does not belong to the first certificate'] : [];
}

/** @throws Error where the settings were not checked */
export function summaryOf({ ca, client_certificate }: TlsSettings): TlsSummary {
  const summariesOf = (pem: string): CertificateSummary[] =>
    parseCertificates(pem)!.map(({ fingerprint256, validToDate }) => ({
      fingerprint: fingerprint256,
      expires_at: validToDate.toISOString(),
    }));
  return {
    ca: ca === undefined ? [] : summariesOf(ca),
    client_certificate: client_certificate === undefined ? null : summariesOf(client_certificate)[0]!,
  };
}

const NO_CERTIFICATES = `must be one to ${MOST_CERTIFICATES} certificates in PEM and nothing else`;

const isOver = ({ validToDate }: X509Certificate, now: Date): boolean => validToDate <= now;

/** Undefined where it is not certificates alone. */
function parseCertificates(pem: string): X509Certificate[] | undefined {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g) ?? [];
  const rest = blocks.reduce((text, block) => text.replace(block, ''), pem);
  if (blocks.length === 0 || blocks.length > MOST_CERTIFICATES || rest.trim() !== '') return undefined;
  try {
    return blocks.map(block => new X509Certificate(block));
  } catch {
    return undefined;
  }
}

function parseKey(pem: string): KeyObject | undefined {
  if (!/^\s*-----BEGIN ([A-Z]+ )?PRIVATE KEY-----[A-Za-z0-9+/=\s]+-----END \1?PRIVATE KEY-----\s*$/.test(pem)) return undefined;
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}
