import { type Static, type TProperties, type TSchema, Type } from 'typebox';
import {
  CATEGORIES,
  COVERAGE_TIMES,
  CRISIS_KINDS,
  CRISIS_PHASES,
  DECISION_KINDS,
  DECLINE_REASONS,
  EXPERT_CANCEL_REASONS,
  PAUSE_CODES,
  ROLES,
  SEPARATION_STATES,
  STAGES,
  URGENCIES,
} from '../core/codes.ts';
import { COVERED_SERVICES } from '../core/coverage.ts';
import { EVENT_TYPES, type EventType } from '../core/events.ts';
import { OPENED_GAPS } from '../core/opened-gaps.ts';
import { Closed, Code, Codes, Id, Instant, Jurisdiction, Named, Nullable, Region, StaffCode } from '../platform/http/openapi.ts';

/**
 * What each type of event says, for whoever receives it: the document's `webhooks` and the answer of `GET /v1/events` are made of
 * these schemas, and tests hold every event that an act emits to them. Ids, codes and times, never a person's data.
 */

const Optional = Type.Optional;
const CaseId = () => Type.String({ ...Id('cas'), description: 'To owner, sender and coordinator only' });
const Count = (description: string) => Type.Integer({ minimum: 1, description });

/** Of every event that its recipient may know of. */
const NUMBERED = {
  event_id: Type.String({ ...Id('evt'), description: 'The same as `webhook-id`: the same id is the same event' }),
  position: Count("Counts the agency's events, without gaps"),
  sequence: Count('Counts those of the same referral, or case, or whatever else the event is about, in the order of the acts'),
};

const Notify = Named(
  'Notify',
  { roles: Codes(ROLES, { minItems: 1 }), staff_code: Optional(StaffCode()) },
  { description: "Whom the agency's own system should tell: this person where one is named, else whoever has one of the roles" },
);

/** An agency, or where it is, for whoever may not learn which one. */
const AGENCY = {
  agency_id: Optional(Id('agy')),
  placed: Optional(
    Named(
      'Whereabouts',
      { region: Nullable(Region()), duty_contact: Nullable(Type.String()) },
      { description: 'In place of `agency_id`, where the agency is at a protected place' },
    ),
  ),
};

const data = <T extends TProperties>(members: T) => Closed({ ...NUMBERED, ...members });
/** What several types say alike. */
const shared = <T extends TProperties>(name: string, members: T) => Named(name, { ...NUMBERED, ...members });

const IN_REFERRAL = {
  referral_id: Id('ref'),
  case_id: Optional(CaseId()),
  urgency: Code(URGENCIES),
  notify: Notify,
};
const DUE = { due_at: Optional(Type.String({ ...Instant(), description: 'When the next deadline of the offer falls' })) };

/** Of a step of one offer. */
const IN_OFFER = { ...IN_REFERRAL, offer_id: Id('off'), ...AGENCY, ...DUE };
/** Of a step that may concern no offer. */
const IN_ANY_OFFER = { ...IN_OFFER, offer_id: Optional(Id('off')) };
const BY_TELEPHONE = {
  recorded_by: Optional(
    Type.String({ ...Code(['sender', 'coordinator']), description: 'Who recorded what the receiver said by telephone' }),
  ),
  contestable_until: Optional(Instant()),
};

const AboutOffer = shared('AboutOffer', IN_OFFER);
const AboutAnswer = shared('AboutAnswer', { ...IN_OFFER, ...BY_TELEPHONE });
const AboutReferral = shared('AboutReferral', IN_ANY_OFFER);

/** Of a clock of a referral, of a case, or of a request for an expert. */
const OF_CLOCK = {
  timer_id: Id('tmr'),
  timer: Type.String({ description: 'The name of the clock' }),
  ...AGENCY,
  case_id: Optional(CaseId()),
  referral_id: Optional(Id('ref')),
  offer_id: Optional(Id('off')),
  expert_request_id: Optional(Id('xrq')),
  urgency: Optional(Code(URGENCIES)),
  notify: Optional(Notify),
};
const CLOCK_DUE = { due_at: Instant() };
const LEVEL = { escalation_level: Optional(Count('How far it has been escalated')) };
const AboutClock = shared('AboutClock', { ...OF_CLOCK, ...CLOCK_DUE, ...LEVEL });

/** Of a request for an expert; nothing of a case. */
const OF_EXPERT = {
  expert_request_id: Id('xrq'),
  expert_id: Id('xpt'),
  agency_id: Type.String({ ...Id('agy'), description: 'The other side: who asked, or who keeps the expert on its roster' }),
  urgency: Code(URGENCIES),
  due_at: Optional(Type.String({ ...Instant(), description: 'Until when an answer is waited for' })),
  notify: Notify,
};
const AboutExpert = shared('AboutExpert', OF_EXPERT);

const OF_CASE = { case_id: Id('cas') };
const AboutCase = shared('AboutCase', OF_CASE);
/** Owner and coordinator know a case by its id, whoever else is told by its own offer. */
const BY_CASE_OR_OFFER = {
  case_id: Optional(Id('cas')),
  referral_id: Optional(Id('ref')),
  offer_id: Optional(Id('off')),
};
const IN_DECISION = {
  ...BY_CASE_OR_OFFER,
  decision_id: Id('dec'),
  kind: Code(DECISION_KINDS),
  notify: Notify,
};
const HELD = { referral_id: Id('ref'), offer_id: Id('off'), agency_id: Id('agy'), notify: Notify };
const CATEGORIES_TOLD = { categories: Codes(CATEGORIES, { minItems: 1 }) };

const OF_ENDPOINT = { agency_id: Id('agy'), endpoint_id: Id('whe') };

interface Described<T extends TSchema = TSchema> {
  summary: string;
  data: T;
}
const event = <T extends TSchema>(summary: string, data: T): Described<T> => ({ summary, data });

/** What no act emits yet: what it says beside is told when it does. */
const announced = (summary: string) =>
  event(
    `${summary}. Reserved: nothing emits it yet`,
    Type.Object(NUMBERED, { additionalProperties: true, description: 'Ids, codes and times' }),
  );

const OF_CRISIS = {
  crisis_mode_id: Id('crm'),
  jurisdiction: Jurisdiction(),
  regions: Type.Array(Region(), { description: 'Empty: the whole jurisdiction' }),
  kind: Code(CRISIS_KINDS),
  phase: Code(CRISIS_PHASES),
  expires_at: Instant(),
  notify: Notify,
};

const HowMany = Type.Integer({ minimum: 0 });
const OfReferrals = { made: HowMany, accepted: HowMany, declined: HowMany, expired: HowMany, completed: HowMany };
const ByTrack = Closed({
  total: HowMany,
  by_track: Optional(
    Type.Object(
      { named: HowMany, anonymous: HowMany },
      { additionalProperties: false, description: 'Where no part of it is fewer than five' },
    ),
  ),
});

export const EVENTS = {
  'referral.offered': event('An agency is asked to take a referral', AboutOffer),
  'referral.received': event('The receiver has seen it', AboutAnswer),
  'referral.information_requested': event('The receiver asks the sender something before it answers', AboutOffer),
  'referral.information_provided': event('The sender has answered', AboutOffer),
  'referral.waitlisted': event('The receiver keeps it on a waiting list', AboutOffer),
  'referral.accepted': event('The receiver has said yes', AboutAnswer),
  'referral.declined': event('The receiver has said no', AboutAnswer),
  'referral.expired': event('The receiver did not answer in time', AboutOffer),
  'referral.rerouted': event('Sender or coordinator asks another agency instead', AboutReferral),
  'referral.unplaced': event('No agency is asked now, and none will be by itself', data(IN_REFERRAL)),
  'referral.parted': event(
    'Those who belong together, a family or whom the law keeps together, are asked for at several agencies. To sender, owner and coordinator',
    data(IN_REFERRAL),
  ),
  'referral.handover_confirmed': event(
    'The person has arrived. To a receiver that leaves, with `elsewhere`: there where the service goes on',
    data({
      ...IN_OFFER,
      ...BY_TELEPHONE,
      elsewhere: Optional(Type.Boolean({ description: 'Not at this receiver, which may complete its own referral' })),
    }),
  ),
  'referral.no_show': event('The person did not arrive', AboutOffer),
  'referral.reviewed': event('The receiver has looked again at how it goes', AboutOffer),
  'referral.completed': event('The service was provided', AboutOffer),
  'referral.failed': event('The service ended before it was provided', AboutOffer),
  'referral.cancelled': event('The sender takes it back, or another agency was quicker', AboutReferral),
  'referral.withdrawn': event('Consent covers it no more', AboutReferral),
  'referral.contested': event('The receiver takes back what was recorded for it by telephone', AboutOffer),
  'referral.message': event('The other side has written', data({ ...IN_OFFER, message_id: Id('msg') })),

  'case.opened': event('The agency has opened a case', AboutCase),
  'case.stage_changed': event(
    'A case has reached another stage',
    data({ ...BY_CASE_OR_OFFER, stage: Code(STAGES), notify: Notify }),
  ),
  'case.closed': event('A case was closed', AboutCase),
  'case.reopened': event('A case was opened again', AboutCase),
  'case.transferred': event(
    'A case belongs to another agency now, which is named',
    data({ ...OF_CASE, agency_id: Id('agy'), notify: Notify }),
  ),
  'case.separation_changed': event(
    "Somebody else proposed, agreed or ended that the person of a case be kept apart from another: to the case's owner, who reads its separations",
    data({ ...OF_CASE, separation_id: Id('sep'), state: Code(SEPARATION_STATES), notify: Notify }),
  ),
  'case.erased': announced('A case was erased'),

  'consent.granted': event('A consent was given', AboutCase),
  'consent.withdrawn': event(
    'Consent covers less than before: to the owner, that it was withdrawn; to a receiver, what it may know no more; where a lawful ground was not upheld, to owner and sender',
    Type.Union([
      AboutCase,
      data({ ...IN_ANY_OFFER, categories: Optional(Type.Array(Code(CATEGORIES), { description: 'What it may know no more' })) }),
    ]),
  ),
  'consent.expiring': event('A consent ends within 72 hours', data({ ...OF_CASE, consent_id: Id('cns'), expires_at: Instant() })),
  'consent.expired': event('A consent has ended', AboutCase),

  'disclosure.updated': event(
    'What may be read of a case has changed: to a receiver, the categories; to the authority and the owner, that the decision named shall be looked at again',
    Type.Union([
      data({ ...HELD, ...CATEGORIES_TOLD, case_id: Optional(CaseId()), urgency: Optional(Code(URGENCIES)) }),
      data({ ...HELD, decision_id: Id('dec') }),
      data({ ...OF_CASE, decision_id: Id('dec'), notify: Notify }),
    ]),
  ),
  'disclosure.deletion_due': event(
    'The agency has to delete what it held, and to confirm that by `due_at`',
    data({
      ...HELD,
      disclosure_id: Id('dsc'),
      case_id: Optional(CaseId()),
      urgency: Code(URGENCIES),
      due_at: Optional(Instant()),
    }),
  ),
  'safety.changed': event(
    'How to reach the person safely has changed, or how dangerous it is: read it, and acknowledge',
    data(HELD),
  ),

  'decision.made': event('The competent authority has decided', data(IN_DECISION)),
  'decision.served': event('The person was told of a decision', data({ ...IN_DECISION, due_at: Optional(Instant()) })),

  'expert.requested': event('An agency is asked for an expert on its roster', AboutExpert),
  'expert.confirmed': event('The expert will come: how to reach them is read with the request', AboutExpert),
  'expert.declined': event(
    'The agency that keeps the expert has said no',
    data({ ...OF_EXPERT, reason_code: Code(DECLINE_REASONS) }),
  ),
  'expert.expired': event('Nobody answered in time whether the expert can come', AboutExpert),
  'expert.cancelled': event(
    'A request for an expert is over; with `no_longer_available` the expert can come no longer',
    data({ ...OF_EXPERT, reason_code: Code(EXPERT_CANCEL_REASONS) }),
  ),

  'timer.warned': event('A clock is about to fall due', AboutClock),
  'timer.breached': event('A clock has fallen due, and nobody did what it asked for', AboutClock),
  'timer.escalated': event(
    'A clock is long past due, and the next in line is told; with `call`, a person on duty is called, who acknowledges it',
    Type.Union([
      AboutClock,
      data({
        timer_id: Id('tmr'),
        timer: Type.String(),
        ...AGENCY,
        jurisdiction: Jurisdiction(),
        urgency: Code(URGENCIES),
        due_at: Instant(),
        escalation_level: Type.Integer({ minimum: 0 }),
        call: Count('How many persons were called by now'),
        notify: Notify,
      }),
    ]),
  ),
  'timer.paused': event('A clock rests', data({ ...OF_CLOCK, reason_code: Optional(Code(PAUSE_CODES)) })),
  'timer.resumed': event('A clock goes on', data({ ...OF_CLOCK, ...CLOCK_DUE })),
  'timer.moved': event(
    'A clock falls due at another time: one that is named; or, after a change of its calendar, as many as `count` says',
    Type.Union([
      data({ ...OF_CLOCK, ...CLOCK_DUE }),
      data({
        calendar_id: Id('cal'),
        calendar_version: Type.Integer({ minimum: 1 }),
        count: Count("How many of the agency's clocks moved"),
        first_due_at: Instant(),
        last_due_at: Instant(),
        notify: Notify,
      }),
    ]),
  ),

  'access.emergency': announced('Somebody looked at a case in an emergency, without being entitled to'),
  'access.unassigned': event(
    'Somebody of the agency to whom the case is not assigned looked at it, or acted on it, and gave a reason',
    data({ ...BY_CASE_OR_OFFER, agency_id: Id('agy'), caseworker_id: Optional(Id('cwk')), notify: Notify }),
  ),
  'duplicate.suspected': announced('Two cases may be of the same person'),
  'coverage.gap': event(
    'A change of the directory or of the rules has left persons of some kind without anybody who offers a service in these regions: `GET /v1/figures/coverage` says who they are',
    data({
      jurisdiction: Jurisdiction(),
      service: Code(COVERED_SERVICES),
      gap: Code(OPENED_GAPS),
      when: Codes(COVERAGE_TIMES, { description: '`closed`: when whoever takes such persons is' }),
      regions: Type.Array(Region(), { description: 'None where the jurisdiction tells no regions apart' }),
      profiles: Count('Of how many kinds they are, by sex, age band, protection status and region'),
      notify: Notify,
    }),
  ),
  'crisis.started': event('A crisis was declared, or has entered another phase; to everybody who works there', data(OF_CRISIS)),
  'crisis.ended': event('A crisis is over, or was not renewed', data(OF_CRISIS)),

  'endpoint.failing': event(
    'Somebody may not hear. `paused`: a webhook endpoint answered 410, the coordinator is told too. `unreachable`: an agency has no channel that takes offers; told to itself and the coordinator, and to the coordinator again where an emergency was offered to it all the same. `undelivered`: nobody there heard of emergencies within five minutes; a call to whoever is on duty',
    data({
      ...AGENCY,
      endpoint_id: Optional(Id('whe')),
      status: Code(['paused', 'unreachable', 'undelivered']),
      since: Optional(Instant()),
      // Of an emergency that was offered to it.
      referral_id: Optional(Id('ref')),
      case_id: Optional(CaseId()),
      offer_id: Optional(Id('off')),
      urgency: Optional(Code(URGENCIES)),
      ...DUE,
      // Of a call.
      escalation_id: Optional(
        Type.String({ ...Id('esc'), description: 'By what the call is acknowledged, where the agency is not named' }),
      ),
      undelivered: Optional(Count('How many urgent events, of however many emergencies')),
      jurisdiction: Optional(Jurisdiction()),
      call: Optional(Count('How many calls were made')),
      notify: Optional(Notify),
    }),
  ),
  'endpoint.disabled': event(
    'A webhook endpoint failed for 72 hours on end: it is disabled, and its events are kept. The coordinator is told too',
    data({ ...OF_ENDPOINT, status: Code(['disabled']), notify: Notify }),
  ),
  'endpoint.recovered': event(
    'A webhook endpoint that had failed is sent to again; with `since`, what it was asked to be sent again is on its way. `reachable`: an agency that was out of reach has a channel again',
    data({
      agency_id: Id('agy'),
      endpoint_id: Optional(Id('whe')),
      status: Code(['active', 'paused', 'disabled', 'reachable']),
      since: Optional(Instant()),
      to_send: Optional(Type.Integer({ minimum: 0, description: 'Events that have yet to be sent' })),
      notify: Optional(Notify),
    }),
  ),
  'endpoint.test': event('Somebody tests this webhook endpoint', data(OF_ENDPOINT)),

  'digest.daily': event(
    'What happened in a jurisdiction on the day before, in numbers, for a committee that names this type',
    data({
      jurisdiction: Jurisdiction(),
      day: Type.String({ format: 'date' }),
      from: Instant(),
      to: Instant(),
      cases: Closed({ opened: ByTrack, closed: ByTrack }),
      referrals: Closed(OfReferrals),
      in_crisis: Closed(
        { opened: ByTrack, closed: ByTrack, ...OfReferrals, unplaced: HowMany, breached: HowMany },
        { description: 'Of all these, what is of cases and referrals that began under a crisis' },
      ),
      clocks: Closed({ breached: HowMany, escalations: HowMany }),
      now: Closed({ unplaced: HowMany, unreachable: HowMany, undelivered: HowMany }),
      notify: Notify,
    }),
  ),
  'audit.alarm': event(
    'To the audit body: the log cannot go on as it should, or somebody begins it anew',
    data({ code: Type.String({ description: 'What is wrong' }), at: Instant() }),
  ),
  'event.withheld': event(
    'In place of an event that the agency may no longer know of',
    Closed({ event_id: NUMBERED.event_id, position: NUMBERED.position }),
  ),
} satisfies Record<EventType, Described>;

/** What the event says of itself, as it is told. */
export type EventData = { [T in EventType]: Static<(typeof EVENTS)[T]['data']> };

/** `ReferralOffered`, the name under which the document has it. */
export const schemaName = (type: EventType): string =>
  type
    .split(/[._]/)
    .map(word => word[0]!.toUpperCase() + word.slice(1))
    .join('');

/** One event, whole: what is pushed, and what a pull answers. */
export const eventSchema = (type: EventType) =>
  Named(
    schemaName(type),
    { type: Type.Literal(type), timestamp: Instant(), data: EVENTS[type].data },
    { description: EVENTS[type].summary },
  );

export const EventView = Type.Unsafe<{ [T in EventType]: { type: T; timestamp: string; data: EventData[T] } }[EventType]>({
  title: 'Event',
  type: 'object',
  description: 'An event as it is pushed and pulled: `type` says what `data` holds',
  oneOf: EVENT_TYPES.map(eventSchema),
  discriminator: {
    propertyName: 'type',
    mapping: Object.fromEntries(EVENT_TYPES.map(type => [type, `#/components/schemas/${schemaName(type)}`])),
  },
});
