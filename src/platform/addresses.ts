/** Where webhooks may go: what a URL may be, which addresses are public, and a lookup that hands out no others. */

import { Resolver } from 'node:dns/promises';
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import ipaddr from 'ipaddr.js';
import { DeliveryError } from './delivery-failure.ts';

export interface AddressPolicy {
  /** In production no loopback address is reachable, and so no `http:`. */
  production: boolean;
  /** Ports allowed beside 443. */
  ports: readonly number[];
  /** All addresses of a name; DNS by default. Not asked about address literals and `localhost`. */
  lookup?: (hostname: string) => Promise<readonly string[]>;
  /** This machine's addresses, public ones among them; those of its network interfaces by default. */
  own_addresses?: () => readonly string[];
}

/** Names that mean this machine or this network wherever they are asked (RFC 6762, 8375; ICANN's `internal`). */
const LOCAL_NAME = /(^|\.)(localdomain|local|internal|home\.arpa)$/;
const PUBLIC_NAME = /^(?=.{4,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{2,63}$/;

/**
 * Whether an address is unicast and global, by the IANA special-purpose registries. Whatever is not known to be so is not:
 * IPv6 outside 2000::/3, every transition range (mapped, NAT64, 6to4, Teredo), scoped addresses, anything that is no address.
 */
export function isPublicAddress(ip: string): boolean {
  if (isIP(ip) === 0 || ip.includes('%')) return false;
  const address = ipaddr.parse(ip);
  return address.range() === 'unicast' && (address.kind() === 'ipv4' || (address.toByteArray()[0]! & 0xe0) === 0x20);
}

const isLoopbackAddress = (ip: string): boolean => isIP(ip) !== 0 && ipaddr.parse(ip).range() === 'loopback';

/** Whether a host is this machine by name or by address. */
export const isLoopbackHost = (host: string): boolean =>
  host === 'localhost' || host.endsWith('.localhost') || isLoopbackAddress(host);

/**
 * Why webhooks may not go to `url`, as a phrase for a problem's `detail`; undefined where they may. Names are not looked up:
 * what they resolve to is checked when a connection is made.
 */
export function checkWebhookUrl(url: string, policy: Pick<AddressPolicy, 'production' | 'ports'>): string | undefined {
  const parsed = URL.parse(url);
  if (!parsed) return 'is not a URL';
  if (parsed.protocol !== 'https:' && parsed.protocol !== 'http:') return 'must be https';
  if (url.includes('#')) return 'must not have a fragment';
  // The parser forgives blanks, backslashes and missing slashes; other readers of the same text would see another host.
  const authority = /^https?:\/\/([^/?\\\s\p{Cc}]+)([/?][^\\\s\p{Cc}]*)?$/iu.exec(url)?.[1];
  if (authority === undefined) return 'must be written without blanks, control characters and backslashes';
  if (authority.includes('@')) return 'must not name a user';

  const host = parsed.hostname.replace(/^\[|\]$/g, '');
  if (host.endsWith('.')) return 'must not end its host in a dot';
  if (isLoopbackHost(host)) return policy.production ? 'must not be on this machine' : undefined;
  if (parsed.protocol !== 'https:') return 'must be https';
  if (isIP(host) !== 0) {
    if (!isPublicAddress(host)) return 'must have a public address';
  } else if (!PUBLIC_NAME.test(host) || LOCAL_NAME.test(host)) {
    return 'must have a public host name';
  }
  if (parsed.port !== '' && !policy.ports.includes(Number(parsed.port))) return `must not use port ${parsed.port}`;
  return undefined;
}

/** Of each family; whoever announces hundreds is not asked at all of them within one delivery's time. */
const ADDRESSES_TRIED = 2;

/**
 * Makes the lookup for connections: the addresses of a host, each of which may be connected to.
 * @throws DeliveryError `address_refused` where one of all that were found may not, `dns_failed` where there is none
 */
export function checkedLookup(policy: AddressPolicy): (host: string) => Promise<readonly string[]> {
  const { production, lookup = resolver(), own_addresses = interfaceAddresses } = policy;
  return async host => {
    if (isLoopbackHost(host)) {
      if (production) throw new DeliveryError('address_refused');
      return isIP(host) === 0 ? ['127.0.0.1', '::1'] : [host];
    }
    const found = isIP(host) === 0 ? await lookup(host).catch(() => []) : [host];
    if (found.length === 0) throw new DeliveryError('dns_failed');
    const own = new Set(own_addresses().map(spelling));
    if (!found.every(address => isPublicAddress(address) && !own.has(spelling(address))))
      throw new DeliveryError('address_refused');
    return [isIPv4, isIPv6].flatMap(isOfFamily => found.filter(address => isOfFamily(address)).slice(0, ADDRESSES_TRIED));
  };
}

/** One spelling for each address; what is none stays as it is. */
const spelling = (address: string): string => (isIP(address) === 0 ? address : ipaddr.parse(address).toNormalizedString());

const interfaceAddresses = (): string[] =>
  Object.values(networkInterfaces()).flatMap(addresses => addresses?.map(({ address }) => address) ?? []);

/**
 * DNS without `getaddrinfo`: that blocks one of the few threads which also hash passwords, for as long as a receiver's name
 * server likes. `/etc/hosts` and search domains are not consulted; receivers have public names.
 */
function resolver(): (hostname: string) => Promise<readonly string[]> {
  const dns = new Resolver({ timeout: 2_000, tries: 2 });
  return async hostname => {
    const families = await Promise.allSettled([dns.resolve4(hostname), dns.resolve6(hostname)]);
    return families.flatMap(family => (family.status === 'fulfilled' ? family.value : []));
  };
}
