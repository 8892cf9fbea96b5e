import type { FastifyReply, FastifyRequest } from 'fastify';
import { Problem } from '../../core/problem.ts';

/**
 * A token bucket per client and process, with an allowance beside it that only emergencies may draw on, so that a client that
 * is over its limit can still call for a bed tonight. Told as `RateLimit` and `RateLimit-Policy` (IETF httpapi draft).
 */
export interface RateLimiter {
  /** Takes a request from the client's allowance. @returns `rate_limited` where none is left */
  take(client_id: string): Problem | null;
  /** Takes it from what is kept for emergencies. @returns whether there was any */
  takeReserved(client_id: string): boolean;
  tell(request: FastifyRequest, reply: FastifyReply): void;
}

interface Bucket {
  left: number;
  reserved: number;
  at: number;
}

/** A tenth of the ordinary allowance. */
const RESERVED_SHARE = 0.1;
const MOST_CLIENTS = 10_000;

export function createRateLimiter({ per_second, burst }: { per_second: number; burst: number }, now: () => number): RateLimiter {
  const buckets = new Map<string, Bucket>();
  const reserved = Math.max(1, burst * RESERVED_SHARE);

  function bucketOf(client_id: string): Bucket {
    const at = now();
    const bucket = buckets.get(client_id) ?? { left: burst, reserved, at };
    const passed = Math.max(0, at - bucket.at) / 1_000;
    bucket.left = Math.min(burst, bucket.left + passed * per_second);
    bucket.reserved = Math.min(reserved, bucket.reserved + passed * per_second * RESERVED_SHARE);
    bucket.at = at;
    if (buckets.size >= MOST_CLIENTS && !buckets.has(client_id)) buckets.delete(buckets.keys().next().value!);
    buckets.set(client_id, bucket);
    return bucket;
  }

  return {
    take(client_id) {
      const bucket = bucketOf(client_id);
      if (bucket.left < 1)
        return new Problem('rate_limited', { retry_after: Math.max(1, Math.ceil((1 - bucket.left) / per_second)) });
      bucket.left -= 1;
      return null;
    },
    takeReserved(client_id) {
      const bucket = bucketOf(client_id);
      if (bucket.reserved < 1) return false;
      bucket.reserved -= 1;
      return true;
    },
    tell(request, reply) {
      if (!request.actor) return;
      const { left } = bucketOf(request.actor.client_id);
      void reply.header('ratelimit-policy', `"client";q=${burst};w=${Math.ceil(burst / per_second)}`);
      void reply.header('ratelimit', `"client";r=${Math.floor(left)};t=${Math.ceil((burst - left) / per_second)}`);
    },
  };
}

/** Whether the request may draw on what is kept for emergencies, by what its body says. */
export function isEmergency(request: FastifyRequest): boolean {
  if (!request.routeOptions.config.emergency) return false;
  const body = (request.body ?? {}) as { urgency?: unknown; risk?: unknown };
  return request.method === 'POST' && (body.urgency === 'emergency' || body.risk === 'immediate');
}
