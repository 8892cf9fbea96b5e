import type { FastifyReply } from 'fastify';

/** How the answer of an act or a read is dressed: version as `ETag`, the trail's receipt, `Location` of what was made. */
export function answer<View extends object>(
  reply: FastifyReply,
  outcome: { view: View; receipt?: string; replayed?: boolean },
  made?: { location: string },
): View {
  const { view, receipt, replayed } = outcome;
  if (receipt) void reply.header('audit-receipt', receipt);
  if (replayed) void reply.header('idempotency-replayed', 'true');
  if ('version' in view && typeof view.version === 'number') void reply.header('etag', `"${view.version}"`);
  if (made) void reply.status(201).header('location', made.location);
  return view;
}
