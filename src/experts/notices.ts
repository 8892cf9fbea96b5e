import type { Notice } from '../audit/record.ts';
import type { TimerStep } from '../core/clock.ts';
import type { Role } from '../core/codes.ts';
import type { EventType } from '../core/events.ts';
import type { ExpertParty } from '../core/expert-request.ts';
import type { TimerRow } from '../timers/store.ts';
import type { ExpertRequestRow } from './store.ts';

/** Who is told what of a request for an expert: ids, codes and times, and nothing of a case or of how to reach anybody. */

/** Of a step: the other side, and where the service did it by itself, both. */
export function requestNotice(type: EventType, request: ExpertRequestRow, by: ExpertParty, due_at?: Date | null): Notice {
  const { id, expert_id, agency_id, requester_agency_id, urgency, staff_code, reason_code } = request;
  const body = {
    expert_request_id: id,
    expert_id,
    urgency,
    ...(due_at ? { due_at: due_at.toISOString() } : {}),
    ...(reason_code ? { reason_code } : {}),
  };
  const keeper = {
    agency_id,
    body: { ...body, agency_id: requester_agency_id, notify: { roles: ['caseworker'] } },
  };
  const requester = {
    agency_id: requester_agency_id,
    body: { ...body, agency_id, notify: { roles: ['caseworker'], staff_code } },
  };
  const told = [...(by === 'keeper' ? [] : [keeper]), ...(by === 'requester' ? [] : [requester])];
  return {
    type,
    subject_id: id,
    urgent: urgency === 'emergency',
    // Who asks for an expert of its own roster is told once.
    recipients: [...new Map(told.map(recipient => [recipient.agency_id, recipient])).values()],
  };
}

/**
 * Of its clock: a warning goes to whoever has to answer; a breach, and that it rests or goes on, also to whoever waits and to the
 * coordinators; an escalation to the rung that it has reached.
 */
export function expertTimerNotice(coordinators: readonly string[], type: EventType, timer: TimerRow, step?: TimerStep): Notice {
  const everybody = [timer.responsible_agency_id, timer.owner_agency_id, ...coordinators];
  const told =
    type === 'timer.breached' || step === undefined
      ? everybody
      : step.to === 'coordinator'
        ? coordinators
        : [timer.responsible_agency_id];
  const roles: Role[] = step?.to === 'supervisor' || step?.to === 'coordinator' ? [step.to] : ['caseworker'];
  return {
    type,
    subject_id: timer.subject_id,
    urgent: timer.urgency === 'emergency',
    recipients: [...new Set(told)].map(agency_id => ({
      agency_id,
      body: {
        expert_request_id: timer.subject_id,
        timer_id: timer.id,
        timer: timer.name,
        agency_id: timer.responsible_agency_id,
        urgency: timer.urgency,
        ...(type === 'timer.paused' ? { reason_code: timer.pause_reason } : { due_at: timer.due_at.toISOString() }),
        ...(step?.level ? { escalation_level: step.level } : {}),
        notify: { roles },
      },
    })),
  };
}
