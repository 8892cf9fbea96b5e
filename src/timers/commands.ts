import { act } from '../audit/act.ts';
import { type Notice, record } from '../audit/record.ts';
import { requireAssigned } from '../cases/assignments.ts';
import { type Action, type AgencyActor, authorise, expectVersion, isAllowed, type Relation } from '../core/access.ts';
import { withoutCalls } from '../core/clock.ts';
import type { PauseReason } from '../core/codes.ts';
import { type DutyPerson, isSamePerson } from '../core/duty-roster.ts';
import { Problem, raise } from '../core/problem.ts';
import { isSupport } from '../core/support.ts';
import { isCalling, recurs, requireTimerAction, type TimerAction } from '../core/timer.ts';
import { asSystem, type Tx } from '../platform/database.ts';
import { calendarsOf } from '../rules/calendars/store.ts';
import type { Services } from '../services.ts';
import { partyResponsible, setMet, setPaused, setRunning, setWaived } from './apply.ts';
import { listDuty } from './duty-roster/store.ts';
import { findTimer, type ShownTimer } from './list-store.ts';
import { lockTimer, matterOf, saveTimer, type TimerRow } from './store.ts';
import type { Subject, TimerEffects } from './sweep.ts';
import { isOnlyCalled, knowsCase, timerRelations, viewTimer } from './view.ts';

/** What people do to timers: they let them rest, let them go on, say that a duty was done, and answer when they are called. */

/**
 * The responsible agency's supervisor, or the coordinator, lets a clock rest for a coded reason; one whose breach does something
 * the coordinator alone.
 * @throws Problem `not_found`, `forbidden`, `precondition_failed`, and `wrong_state` for what never rests or does not run
 */
export const pauseTimer = (
  services: Services,
  effects: TimerEffects,
  actor: AgencyActor,
  id: string,
  { reason_code }: { reason_code: PauseReason },
) =>
  actOn(services, effects, actor, id, 'pause', async (tx, { timer, subject, now }) => {
    setPaused(tx, timer, { reason: reason_code, by_agency_id: actor.agency_id }, now);
    return { code: reason_code, events: [subject.notice('timer.paused', timer)] };
  });

/**
 * It goes on with what was left. A pause that waits for the sender's answer ends with the answer alone.
 * @throws Problem `not_found`, `forbidden`, `precondition_failed`, `wrong_state`
 */
export const resumeTimer = (services: Services, effects: TimerEffects, actor: AgencyActor, id: string) =>
  actOn(services, effects, actor, id, 'resume', async (tx, { timer, subject, now }) => {
    const { pause_reason } = timer;
    await setRunning(tx, calendarsOf(services), timer, now);
    return { code: pause_reason, events: [subject.notice('timer.resumed', timer)] };
  });

/**
 * The responsible agency says that what a duty asks for was done, where no step of the lifecycle says so; one that recurs starts
 * again.
 * @throws Problem `not_found`, `forbidden`, `precondition_failed`, `wrong_state`
 */
export const meetTimer = (services: Services, effects: TimerEffects, actor: AgencyActor, id: string) =>
  actOn(services, effects, actor, id, 'meet', async (tx, { timer, subject, now }) => {
    setMet(tx, timer, now);
    if (recurs(timer.name)) await subject.start_again(tx, timer, now);
    return { code: timer.name, events: [] };
  });

/**
 * The person asked for the days of rest to end sooner: recorded by an agency that supports the person and owns or holds the case,
 * never by one that wants the decision, and only where nobody else listened. The days after a negative decision are not the
 * person's to give up: others would ask for them.
 * @throws Problem `not_found`, `forbidden`, `unprocessable`, `precondition_failed`, `wrong_state`
 */
export const waiveTimer = (
  services: Services,
  effects: TimerEffects,
  actor: AgencyActor,
  id: string,
  { spoken_in_private }: { spoken_in_private: boolean },
) =>
  actOn(
    services,
    effects,
    actor,
    id,
    'waive',
    async (tx, { timer, subject, now }) => {
      setWaived(tx, timer, now);
      return { code: timer.name, events: [subject.notice('timer.moved', timer)] };
    },
    () => {
      if (spoken_in_private) return;
      const detail = 'is not true: the person has to have asked for it in private';
      throw new Problem('unprocessable', { errors: [{ pointer: '/spoken_in_private', detail }] });
    },
  );

/**
 * A person on duty, whoever of them was called, takes the matter in hand: nobody else is called for it. Where nobody on the roster
 * could be called, the coordinator does.
 * @throws Problem `not_found`, `forbidden`, `precondition_failed`, and `wrong_state` where nobody was called or somebody has
 *   acknowledged it already
 */
export const acknowledgeEscalation = (services: Services, effects: TimerEffects, actor: AgencyActor, id: string) =>
  actOn(services, effects, actor, id, 'acknowledge_escalation', async (tx, { timer, now }) => {
    saveTimer(tx, timer, {
      ...withoutCalls(timer.steps),
      called_agency_ids: [actor.agency_id],
      acknowledged_at: now,
      acknowledged_by_agency_id: actor.agency_id,
      acknowledged_by_staff_code: actor.caseworker!.staff_code,
    });
    return { code: timer.name, events: [] };
  });

interface Standing {
  timer: TimerRow;
  subject: Subject;
  now: Date;
}

const actOn = (
  services: Services,
  effects: TimerEffects,
  actor: AgencyActor,
  id: string,
  verb: TimerAction,
  work: (tx: Tx, standing: Standing) => Promise<{ code: string | null; events: Notice[] }>,
  check: () => void = () => {},
) => {
  const action = `timer.${verb}` as const;
  return act(
    services,
    actor,
    action,
    (tx, id) => viewTimer(tx, actor, id),
    async (tx, now) => {
      const seen = (await findTimer(tx, id)) ?? raise('not_found');
      const duty = await listDuty(tx, seen.jurisdiction);
      authorise(actor, ...standingFor(actor, verb, seen, duty));
      // Whoever is woken at night is told nothing of the case, and asked for no reason.
      if (verb !== 'acknowledge_escalation' && seen.case_id !== null) await requireAssigned(services, tx, actor, seen.case_id);
      // A timer belongs to no one agency: what is done to it is done as the router.
      const { code, events } = await asSystem(tx, 'router', async tx => {
        const subject = await effects.lock(tx, seen);
        const timer = subject.timers.find(open => open.id === id) ?? (await lockTimer(tx, id));
        // Whose duty it is may have changed while the case was locked by somebody else.
        const standing = { ...timer, supported: seen.supported };
        authorise(actor, ...standingFor(actor, verb, standing, duty));
        check();
        expectVersion(actor, timer.version);
        requireTimerAction(verb, timer, mayDo(actor, standing, duty), now);
        return work(tx, { timer, subject, now });
      });
      const is_only_called = isOnlyCalled(actor, seen);
      // As the trail, which finds the key of a case also where somebody is only called.
      const receipt = await asSystem(tx, 'trail', tx =>
        record(services, tx, actor, {
          action,
          resource_type: 'timer',
          code,
          subjects: [
            {
              subject_id: matterOf(seen),
              resource_id: id,
              timer: seen.name,
              ...(seen.referral_id ? { referral_id: seen.referral_id } : {}),
            },
          ],
          subjects_withheld: is_only_called || (knowsCase(actor, seen) ? [] : [matterOf(seen)]),
          events,
        }),
      );
      return { id, receipt };
    },
  );
};

/** As what an agency may do this to a timer, and under which permission. */
function standingFor(
  actor: AgencyActor,
  verb: TimerAction,
  timer: Standable,
  duty: readonly DutyPerson[],
): [Action, readonly Relation[]] {
  const relations = timerRelations(actor, timer);
  if (verb === 'acknowledge_escalation') return standingOnDuty(actor, timer, relations, duty);
  // Whoever is asked must not put off that the next agency is, nor whoever owes an answer that the other's clock goes on.
  const has_effect = timer.on_breach !== null;
  if (verb === 'pause')
    return ['timer.pause', relations.map(relation => (has_effect && relation === 'responsible' ? 'reader' : relation))];
  if (verb === 'resume') return ['timer.resume', relations];
  // An owner that enforces asks for nothing in the person's name.
  if (verb === 'waive')
    return ['timer.waive', relations.map(it => (it === 'owner' && isSupport(actor.agency_kind) ? 'supporter' : it))];
  // A duty is met by whose it is, as which of the parties it has it.
  const party = partyResponsible(timer.name);
  const as: Relation[] = relations.includes('responsible') ? [party] : relations.length > 0 ? ['reader'] : [];
  return [party === 'receiver' ? 'timer.meet_as_receiver' : 'timer.meet', as];
}

/** Who is on duty knows of what somebody was called for, until it is acknowledged. */
function standingOnDuty(
  { agency_id, caseworker }: AgencyActor,
  timer: TimerRow,
  relations: readonly Relation[],
  duty: readonly DutyPerson[],
): [Action, readonly Relation[]] {
  const is_on_duty =
    caseworker !== null && duty.some(entry => isSamePerson(entry, { agency_id, staff_code: caseworker.staff_code }));
  const knows = relations.length > 0 || isCalling(timer);
  if (is_on_duty && knows) return ['timer.acknowledge_escalation', [...relations, 'on_duty']];
  const is_manned = duty.some(({ callable }) => callable);
  return [is_manned ? 'timer.acknowledge_escalation' : 'timer.acknowledge_as_coordinator', relations];
}

type Standable = TimerRow & Partial<Pick<ShownTimer, 'supported'>>;

const VERBS: readonly TimerAction[] = ['pause', 'resume', 'meet', 'waive', 'acknowledge_escalation'];

/** What the caller may do at all to a timer like this one. */
const mayDo = (actor: AgencyActor, timer: Standable, duty: readonly DutyPerson[]): TimerAction[] =>
  VERBS.filter(verb => isAllowed(actor, ...standingFor(actor, verb, timer, duty)));
