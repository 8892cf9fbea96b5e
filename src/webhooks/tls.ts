import { Problem } from '../core/problem.ts';
import { checkTlsSettings, summaryOf, type TlsSettings } from '../platform/tls-settings.ts';
import type { Services } from '../services.ts';
import { openTls, sealTls } from './keys.ts';
import type { EndpointPatch, Tls } from './schema.ts';
import type { EndpointRow } from './store.ts';

/** The TLS settings of an endpoint: whom alone it trusts, and how the service shows it who it is. */

type TlsColumns = Pick<EndpointRow, 'tls' | 'tls_summary'>;

/** What is kept of settings, which are held to what TLS can use. @throws Problem `invalid_request`, pointing at what is wrong */
export function keepTls({ vault, now }: Services, { id, url }: { id: string; url: string }, given: Tls): TlsColumns {
  // RFC 7396: what is null is taken away.
  const settings: TlsSettings = Object.fromEntries(Object.entries(given ?? {}).filter(([, pem]) => pem !== null));
  if (Object.keys(settings).length === 0) return { tls: null, tls_summary: null };
  const faults = checkTlsSettings(settings, now()).map(({ pointer, detail }) => ({ pointer: `/tls${pointer}`, detail }));
  if (faults.length > 0) throw new Problem('invalid_request', { errors: faults });
  requireHttps(url);
  return { tls: sealTls(vault, id, settings), tls_summary: summaryOf(settings) };
}

/**
 * What a patch makes of the settings that are kept.
 * @throws Problem `invalid_request`, also where the URL is changed to one without TLS
 */
export function changeTls(services: Services, endpoint: EndpointRow, { tls, url }: EndpointPatch): Partial<TlsColumns> {
  const { id, tls: sealed } = endpoint;
  if (tls === undefined) {
    if (sealed && url !== undefined) requireHttps(url);
    return {};
  }
  const kept = sealed && tls ? openTls(services.vault, id, sealed) : {};
  return keepTls(services, { id, url: url ?? endpoint.url }, tls && { ...kept, ...tls });
}

function requireHttps(url: string): void {
  if (new URL(url).protocol !== 'https:') {
    throw new Problem('invalid_request', { errors: [{ pointer: '/tls', detail: 'needs an endpoint whose URL is https' }] });
  }
}
