import type { Notice } from '../audit/record.ts';
import { type Identification, listAuthorities } from '../cases/decisions/store.ts';
import type { TimerStep } from '../core/clock.ts';
import type { Role } from '../core/codes.ts';
import type { EventType } from '../core/events.ts';
import { expertTimerNotice } from '../experts/notices.ts';
import type { Tx } from '../platform/database.ts';
import type { TimerRow } from '../timers/store.ts';
import type { Subject } from '../timers/sweep.ts';
import { listNoticeFacts } from './notice-store.ts';
import { agencyOf, type Concerned, noticeOf, type Party, type ToldOffer } from './notices.ts';

/** Who is told of what time, or a hand, does to a timer. */

/** A referral with those of its offers that its timers are about. */
export type Clocked = Concerned & { offers: readonly ToldOffer[] };

/** Of a timer of the referral or of one of these offers. */
export function referralTimerNotice(clocked: Clocked, type: EventType, timer: TimerRow, step?: TimerStep): Notice {
  const notice = noticeOf(type, clocked, {
    offer: clocked.offers.find(({ id }) => id === timer.offer_id) ?? null,
    parties: partiesOf(type, step),
    also: toldBeside(type, timer, step, clocked.coordinators),
    due_at: dueOf(type, timer),
  });
  return {
    ...notice,
    recipients: notice.recipients.map(({ agency_id, body }) => ({
      agency_id,
      body: { ...body, ...timerDetail(type, clocked, timer, step, agency_id) },
    })),
  };
}

/** Whom a timer of a case concerns beside its owner; of authorities those that decide on the case now, the latest first. */
interface CaseConcerned {
  coordinators: readonly string[];
  authorities: readonly Identification[];
}

/**
 * Of a timer of a case itself, which concerns the case's owner. That a floor ends sooner is for whoever decides, too. An authority
 * knows the case by its offer, and what it is told counts along that referral.
 */
export function caseTimerNotice(
  { coordinators, authorities }: CaseConcerned,
  type: EventType,
  timer: TimerRow,
  step?: TimerStep,
): Notice {
  const knowing = [timer.owner_agency_id, ...coordinators];
  const deciding = type === 'timer.moved' ? authorities.map(({ agency_id }) => agency_id) : [];
  const told = new Set([timer.owner_agency_id, ...toldBeside(type, timer, step, coordinators), ...deciding]);
  return {
    type,
    subject_id: timer.case_id!,
    case_id: timer.case_id,
    urgent: timer.urgency === 'emergency',
    recipients: [...told].map(agency_id => {
      const asked = knowing.includes(agency_id) ? undefined : authorities.find(it => it.agency_id === agency_id);
      return {
        agency_id,
        ...(asked ? { referral_id: asked.referral_id } : {}),
        body: {
          ...(knowing.includes(agency_id) ? { case_id: timer.case_id } : {}),
          ...(asked ? { referral_id: asked.referral_id, offer_id: asked.offer_id } : {}),
          timer_id: timer.id,
          timer: timer.name,
          agency_id: timer.responsible_agency_id,
          ...reasonOf(type, timer),
          ...(type === 'timer.paused' ? {} : { due_at: (timer.waived_at ?? timer.due_at).toISOString() }),
          ...rungOf(step),
        },
      };
    }),
  };
}

/**
 * The notices of steps of many timers, whatever they are about; what they need is read at once. Each timer must be locked: then
 * no act on its referral or case is half done.
 */
export async function noticesOf(tx: Tx, timers: readonly TimerRow[]): Promise<Subject['notice']> {
  const of_cases = timers.filter(({ referral_id }) => referral_id === null).flatMap(({ case_id }) => case_id ?? []);
  const { referrals, offers, agencies, coordinatorsOf } = await listNoticeFacts(tx, timers);
  const authorities = Map.groupBy(await listAuthorities(tx, of_cases), ({ case_id }) => case_id);
  return (type, timer, step) => {
    const coordinators = coordinatorsOf(timer.jurisdiction);
    if (timer.expert_request_id !== null) return expertTimerNotice(coordinators, type, timer, step);
    if (timer.referral_id === null) {
      return caseTimerNotice({ coordinators, authorities: authorities.get(timer.case_id!) ?? [] }, type, timer, step);
    }
    const referral = referrals.get(timer.referral_id)!;
    const offer = offers.get(timer.offer_id ?? '');
    return referralTimerNotice({ referral, coordinators, agencies, offers: offer ? [offer] : [] }, type, timer, step);
  };
}

/**
 * A warning goes to whoever has to act; a breach to everybody concerned; an escalation to the rung that it has reached; that it
 * rests or goes on to whoever has to act and to those who wait for it.
 */
function partiesOf(type: EventType, step: TimerStep | undefined): readonly Party[] | undefined {
  if (type === 'timer.breached') return undefined;
  if (step === undefined) return ['sender', 'owner', 'coordinator'];
  return step.to === 'coordinator' ? ['coordinator'] : [];
}

function toldBeside(type: EventType, timer: TimerRow, step: TimerStep | undefined, coordinators: readonly string[]): string[] {
  if (type === 'timer.breached' || step === undefined) return [timer.responsible_agency_id, ...coordinators];
  return step.to === 'coordinator' ? [...coordinators] : [timer.responsible_agency_id];
}

/** While it rests nobody knows when it will fall due. */
const dueOf = (type: EventType, timer: TimerRow): Date | null => (type === 'timer.paused' ? null : timer.due_at);

const reasonOf = (type: EventType, { pause_reason }: TimerRow) =>
  type === 'timer.paused' && pause_reason ? { reason_code: pause_reason } : {};

function timerDetail(type: EventType, clocked: Clocked, timer: TimerRow, step: TimerStep | undefined, agency_id: string) {
  const responsible = {
    agency_id: timer.responsible_agency_id,
    location_protected: timer.location_protected && timer.responsible_agency_id === timer.receiver_agency_id,
  };
  return {
    timer_id: timer.id,
    timer: timer.name,
    ...agencyOf(clocked, responsible, agency_id),
    ...reasonOf(type, timer),
    ...rungOf(step),
  };
}

/** How far it has come, and whom that is for. */
const rungOf = (step: TimerStep | undefined) => ({
  ...(step?.level ? { escalation_level: step.level } : {}),
  ...notify(step),
});

const notify = (step: TimerStep | undefined): { notify?: { roles: Role[] } } =>
  step?.to === 'supervisor'
    ? { notify: { roles: ['supervisor'] } }
    : step?.to === 'coordinator'
      ? { notify: { roles: ['coordinator'] } }
      : {};
