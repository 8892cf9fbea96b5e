import type { ReferralStatus, Service, Stage } from './codes.ts';

/**
 * Which services a person should have and has not: asked for, written down as a need, or demanded by the law, while no live
 * service answers. Pure.
 */

export const WHY_UNMET = ['asked', 'law', 'need'] as const;

export interface Unmet {
  service: Service;
  since: Date;
  why: (typeof WHY_UNMET)[number];
}

/** A referral of the case, as far as it tells whether the need is met. */
export interface AskedFor {
  service: Service;
  created_at: Date;
  status: ReferralStatus;
  /** Of the offer that was completed. */
  outcome: string | null;
  /** When the last agency that had accepted it gave it up, or completed it. */
  served_until: Date | null;
}

export interface Needs {
  stage: Stage;
  opened_at: Date;
  /** As the case has them. */
  needs: readonly Service[];
  /** By the law, for this person. */
  demanded: readonly Service[];
}

const OVER: readonly Stage[] = ['closed', 'withdrawn'];
const LIVE: readonly ReferralStatus[] = ['accepted', 'in_progress'];
const ENDED: readonly ReferralStatus[] = ['completed', 'cancelled', 'withdrawn'];
const MET: readonly string[] = ['service_provided', 'partly_provided', 'provided_elsewhere'];

/**
 * Each unmet service once, for the first reason that holds: it is asked for; the law demands it; the case has it as a need. What
 * is asked for and still open is met by a live service alone; a need, or what the law demands, by one that was completed, too.
 * A case has its owner, and one that is over has no needs.
 */
export function unmetNeeds(referrals: readonly AskedFor[], { stage, opened_at, needs, demanded }: Needs): Unmet[] {
  if (OVER.includes(stage)) return [];
  const live = new Set(referrals.filter(({ status }) => LIVE.includes(status)).map(({ service }) => service));
  const met = new Set(referrals.filter(({ outcome }) => MET.includes(outcome ?? '')).map(({ service }) => service));
  const open = referrals.filter(({ status }) => !ENDED.includes(status));

  const unmet = new Map<Service, Unmet>();
  const miss = (service: Service, why: Unmet['why'], from: Date) => {
    if (service === 'case_management' || live.has(service) || unmet.has(service)) return;
    const served = referrals.flatMap(it => (it.service === service && it.served_until ? it.served_until : []));
    unmet.set(service, { service, since: latest([from, ...served]), why });
  };
  for (const service of new Set(open.map(it => it.service))) {
    const asked_at = open.filter(it => it.service === service).map(it => it.created_at.getTime());
    miss(service, 'asked', new Date(Math.min(...asked_at)));
  }
  for (const service of demanded) if (!met.has(service)) miss(service, 'law', opened_at);
  for (const service of needs) if (!met.has(service)) miss(service, 'need', opened_at);
  return [...unmet.values()];
}

const latest = (instants: readonly Date[]): Date => new Date(Math.max(...instants.map(at => at.getTime())));
