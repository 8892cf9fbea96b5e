/**
 * The event types of the contract, and what follows from the type alone: which ones reach whoever held something even when
 * its access has ended, and which never wait for an earlier one. What each of them says stands in `webhooks/event-schema.ts`.
 */

export const EVENT_TYPES = [
  'referral.offered',
  'referral.received',
  'referral.information_requested',
  'referral.information_provided',
  'referral.waitlisted',
  'referral.accepted',
  'referral.declined',
  'referral.expired',
  'referral.rerouted',
  'referral.unplaced',
  'referral.parted',
  'referral.handover_confirmed',
  'referral.no_show',
  'referral.reviewed',
  'referral.completed',
  'referral.failed',
  'referral.cancelled',
  'referral.withdrawn',
  'referral.contested',
  'referral.message',
  'case.opened',
  'case.stage_changed',
  'case.closed',
  'case.reopened',
  'case.transferred',
  'case.separation_changed',
  'case.erased',
  'consent.granted',
  'consent.withdrawn',
  'consent.expiring',
  'consent.expired',
  'disclosure.updated',
  'disclosure.deletion_due',
  'safety.changed',
  'decision.made',
  'decision.served',
  'expert.requested',
  'expert.confirmed',
  'expert.declined',
  'expert.expired',
  'expert.cancelled',
  'timer.warned',
  'timer.breached',
  'timer.escalated',
  'timer.paused',
  'timer.resumed',
  'timer.moved',
  'access.emergency',
  'access.unassigned',
  'duplicate.suspected',
  'coverage.gap',
  'crisis.started',
  'crisis.ended',
  'endpoint.failing',
  'endpoint.disabled',
  'endpoint.recovered',
  'endpoint.test',
  'digest.daily',
  'audit.alarm',
  'event.withheld',
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

const REACHES_ALWAYS: ReadonlySet<EventType> = new Set<EventType>([
  'referral.withdrawn',
  'referral.cancelled',
  'referral.expired',
  'referral.declined',
  'referral.rerouted',
  'case.erased',
  'safety.changed',
  'consent.withdrawn',
]);

/** Ends or changes the duties of whoever held something: always delivered, never withheld. */
export const reachesAlways = (type: EventType): boolean => REACHES_ALWAYS.has(type);

/** Emergency, withdrawal and safety events never wait for an earlier event of the same referral or case. */
export const neverWaits = (type: EventType, emergency: boolean): boolean =>
  emergency || type === 'safety.changed' || type === 'consent.withdrawn' || type === 'referral.withdrawn';
