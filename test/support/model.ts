/**
 * A small model of the lifecycle of referrals, written from the page "Referral and offer" of the domain contract and from
 * nothing else: it shares no line with the service, and knows neither a database nor agencies, only what the page says must
 * follow from what. One sender asks for one service; `a`, `b` and `c` provide it, and are asked in this order. `a` and `b` keep
 * count of their places and are of the kind that one grant names, `c` has room for everybody and is named by another grant.
 */

export type Receiver = 'a' | 'b' | 'c';
export type Who = Receiver | 'sender' | 'coordinator' | 'stranger';
export type Urgency = 'emergency' | 'urgent';
export type Routing = 'automatic' | 'direct' | 'direct with fallback';
export type GrantName = 'kind' | 'name';

const RECEIVERS: readonly Receiver[] = ['a', 'b', 'c'];
const COVERED_BY: Readonly<Record<Receiver, GrantName>> = { a: 'kind', b: 'kind', c: 'name' };
export const PLACES: Readonly<Record<Receiver, number>> = { a: 1, b: 2, c: Number.POSITIVE_INFINITY };

const BEFORE = ['offered', 'received', 'info_requested', 'waitlisted'] as const;
const TAKEN = ['accepted', 'in_progress'] as const;
const OVER = ['declined', 'expired', 'failed', 'cancelled', 'withdrawn', 'completed'] as const;
export type OfferStatus = (typeof BEFORE | typeof TAKEN | typeof OVER)[number];
/** Least far first: a referral stands where its furthest live offer stands. */
const FAR: readonly OfferStatus[] = ['waitlisted', 'offered', 'received', 'info_requested', 'accepted', 'in_progress'];
const REFERRAL_STATES = [...FAR, 'unplaced', 'completed', 'cancelled', 'withdrawn'] as const;

type Party = 'receiver' | 'sender' | 'coordinator';
interface Row {
  by: readonly Party[];
  /** Of the offer; `whole`: it is about the referral. */
  from: readonly OfferStatus[] | 'whole';
  by_telephone?: true;
}

/** The page's table, in its order, without what nobody does over HTTP. */
export const PAGE = {
  receive: { by: ['receiver'], from: ['offered'], by_telephone: true },
  request_information: { by: ['receiver'], from: ['received'] },
  provide_information: { by: ['sender'], from: ['info_requested'] },
  waitlist: { by: ['receiver'], from: ['received', 'info_requested'] },
  accept: { by: ['receiver'], from: [...BEFORE, 'expired'], by_telephone: true },
  decline: { by: ['receiver'], from: BEFORE, by_telephone: true },
  reroute: { by: ['sender', 'coordinator'], from: 'whole' },
  confirm_handover: { by: ['receiver'], from: [...BEFORE, 'accepted'], by_telephone: true },
  report_no_show: { by: ['receiver'], from: ['accepted'] },
  review: { by: ['receiver'], from: ['in_progress'] },
  complete: { by: ['receiver'], from: ['in_progress'] },
  fail: { by: ['receiver'], from: TAKEN },
  cancel: { by: ['sender'], from: 'whole' },
  contest: { by: ['receiver'], from: [...TAKEN, 'declined'] },
} as const satisfies Record<string, Row>;
export type Verb = keyof typeof PAGE;
export const VERBS = Object.keys(PAGE) as Verb[];

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** The clocks that move an offer ("Warnings, breach, escalation" of the contract on clocks). */
const CLOCKS = {
  emergency: { acknowledge: 15 * MINUTE, respond: HOUR, inform: 15 * MINUTE, waitlist_review: HOUR },
  urgent: { acknowledge: 2 * HOUR, respond: 24 * HOUR, inform: 4 * HOUR, waitlist_review: 24 * HOUR },
} as const;
const CONTEST_WITHIN = 12 * HOUR;

interface Offer {
  to: Receiver;
  status: OfferStatus;
  /** When its clocks fall due; a paused `respond` keeps what is left. */
  due: { acknowledge?: number; respond?: number; inform?: number; waitlist_review?: number };
  respond_left?: number;
  /** What was recorded by telephone may be contested until then. */
  contestable_until?: number;
  /** Whether it was accepted, and nobody contested that. */
  was_accepted: boolean;
  holds_place: boolean;
  /** How often a place had come free when it ended. */
  freed_before?: number;
  reason?: string;
}

export interface Referral {
  urgency: Urgency;
  routing: Routing;
  ended: 'completed' | 'cancelled' | 'withdrawn' | null;
  offers: Offer[];
  /** Somebody did not arrive, and has not arrived anywhere since. */
  missing: boolean;
  /** What the sender was told, step by step. */
  told: string[];
}

/** Everything that one case knows. */
export interface World {
  now: number;
  grants: Record<GrantName, boolean>;
  held: Record<Receiver, number>;
  /** Places of `a` that others hold. */
  held_elsewhere: number;
  /** How often a place came free. */
  freed: Record<Receiver, number>;
  referrals: Referral[];
  /** Which steps were taken, standings seen and refusals met. */
  visited: Set<string>;
}

/** One request. */
export type Act =
  | { verb: 'make'; urgency: Urgency; routing: Routing; to: Receiver }
  | { verb: 'give'; grant: GrantName }
  | { verb: 'withdraw'; grant: GrantName; stop_service: boolean }
  | { verb: 'places'; held_elsewhere: number }
  | {
      verb: Verb;
      referral: number;
      who: Who;
      /** The offer that is recorded for by telephone, by its number. */
      told_of?: number;
      /** To whom it is rerouted. */
      to?: Receiver;
      over_capacity?: boolean;
      reason?: 'no_capacity' | 'unsafe';
      /** Names a version that the referral never had. */
      stale?: boolean;
    };

export interface Refusal {
  status: 403 | 404 | 409 | 412;
  code: string;
  state?: string;
  allowed_actions?: string[];
  /** The offer's state would let it: something else does not, above all another's yes. */
  not_for_its_state?: boolean;
}

export const newWorld = (now: number): World => ({
  now,
  grants: { kind: true, name: true },
  held: { a: 0, b: 0, c: 0 },
  held_elsewhere: 0,
  freed: { a: 0, b: 0, c: 0 },
  referrals: [],
  visited: new Set(),
});

const among = (list: readonly string[], status: string): boolean => list.includes(status);
const isLive = ({ status }: Offer) => among(FAR, status);
const isTaken = ({ status }: Offer) => among(TAKEN, status);

/** The receiver's latest offer. */
const ownOffer = ({ offers }: Referral, who: Who): Offer | undefined => offers.findLast(({ to }) => to === who);

const furthest = ({ offers }: Referral): Offer | undefined =>
  offers.filter(isLive).sort((a, b) => FAR.indexOf(b.status) - FAR.indexOf(a.status))[0];

export const statusOf = (referral: Referral): string => referral.ended ?? furthest(referral)?.status ?? 'unplaced';

function may(world: World, verb: Verb, referral: Referral, offer: Offer | undefined): boolean {
  if (referral.ended) return false;
  if (verb === 'reroute') return !referral.offers.some(isTaken);
  if (verb === 'cancel') return !referral.offers.some(({ status }) => status === 'in_progress');
  if (!offer || !among(PAGE[verb].from as readonly string[], offer.status)) return false;
  const taken_elsewhere = referral.offers.some(other => other !== offer && isTaken(other));
  if (verb === 'accept' || verb === 'confirm_handover') return !taken_elsewhere;
  if (verb === 'contest') return !taken_elsewhere && (offer.contestable_until ?? 0) > world.now;
  return true;
}

const may_by = (party: Party) => (verb: Verb) => (PAGE[verb].by as readonly Party[]).includes(party);

const allowed = (world: World, party: Party, referral: Referral, offer: Offer | undefined): string[] =>
  VERBS.filter(verb => may_by(party)(verb) && may(world, verb, referral, offer));

const awaitingAnswer = ({ offers }: Referral) => offers.find(({ status }) => status === 'info_requested');

const partyOf = (who: Who): Party => (who === 'sender' || who === 'coordinator' ? who : 'receiver');
const covered = (world: World, to: Receiver) => world.grants[COVERED_BY[to]];
const hasPlace = ({ held, held_elsewhere }: World, to: Receiver) =>
  held[to] + (to === 'a' ? held_elsewhere : 0) + 1 <= PLACES[to];
const goesOnByItself = ({ routing }: Referral) => routing !== 'direct';

type StepAct = Extract<Act, { referral: number }>;
export const isStep = (act: Act): act is StepAct => 'referral' in act;

/** The offer that an act is about. */
const offerOf = (referral: Referral, { verb, who, told_of }: StepAct): Offer | undefined =>
  told_of !== undefined
    ? referral.offers[told_of]
    : partyOf(who) === 'receiver'
      ? ownOffer(referral, who)
      : verb === 'provide_information'
        ? awaitingAnswer(referral)
        : undefined;

/** Why an act is refused, in the order of checks of the HTTP contract; undefined: it is not. */
export function refusal(world: World, act: Act): Refusal | undefined {
  if (act.verb === 'give' || act.verb === 'places') return undefined;
  if (act.verb === 'withdraw')
    return world.grants[act.grant] ? undefined : { status: 409, code: 'wrong_state', state: 'withdrawn', allowed_actions: [] };
  if (act.verb === 'make') {
    const asked = act.routing === 'automatic' ? RECEIVERS : [act.to];
    return asked.some(to => covered(world, to)) ? undefined : { status: 409, code: 'consent_missing' };
  }
  const { verb, who, told_of, stale, over_capacity } = act;
  const referral = world.referrals[act.referral]!;
  const party = partyOf(who);
  if (party === 'receiver' && !ownOffer(referral, who)) return { status: 404, code: 'not_found' };
  const by_telephone = told_of !== undefined;
  if (by_telephone ? party === 'receiver' : !may_by(party)(verb)) return { status: 403, code: 'forbidden' };
  if (stale) return { status: 412, code: 'precondition_failed' };
  const offer = offerOf(referral, act);
  if (!may(world, verb, referral, offer)) {
    const state = party === 'receiver' ? offer!.status : statusOf(referral);
    const not_for_its_state = offer !== undefined && !referral.ended && among(PAGE[verb].from as readonly string[], offer.status);
    return {
      status: 409,
      code: 'wrong_state',
      state,
      allowed_actions: allowed(world, party, referral, offer),
      not_for_its_state,
    };
  }
  const says_yes = verb === 'accept' || (verb === 'confirm_handover' && offer!.status !== 'accepted');
  const to = verb === 'reroute' ? act.to! : offer?.to;
  const asks_consent = says_yes || verb === 'contest' || verb === 'reroute';
  if (asks_consent && !covered(world, to!)) return { status: 409, code: 'consent_missing' };
  if (says_yes && !hasPlace(world, to!) && !over_capacity) return { status: 409, code: 'no_capacity' };
  return undefined;
}

/** Does what is not refused. */
export function apply(world: World, act: Act): void {
  if (act.verb === 'give') world.grants[act.grant] = true;
  else if (act.verb === 'withdraw') withdrawConsent(world, act);
  else if (act.verb === 'places') {
    if (act.held_elsewhere < world.held_elsewhere) world.freed.a += 1;
    world.held_elsewhere = act.held_elsewhere;
  } else if (act.verb === 'make') {
    const { urgency, routing, to } = act;
    const referral: Referral = { urgency, routing, ended: null, offers: [], missing: false, told: [] };
    world.referrals.push(referral);
    if (routing === 'automatic') goOn(world, referral);
    else ask(world, referral, to);
  } else {
    const referral = world.referrals[act.referral]!;
    const party = `${partyOf(act.who)}${act.told_of === undefined ? '' : ' by telephone'}`;
    const state = PAGE[act.verb].from === 'whole' ? statusOf(referral) : offerOf(referral, act)!.status;
    world.visited.add(`${party}: ${act.verb} in ${state}`);
    step(world, referral, act);
  }
}

function step(world: World, referral: Referral, act: StepAct): void {
  const { verb, who, told_of, reason = 'error' } = act;
  const offer = offerOf(referral, act)!;
  const tell = (what: string) => void referral.told.push(what);
  // What it does itself, the receiver does not contest.
  if (partyOf(who) === 'receiver') offer.contestable_until = undefined;
  const moveTo = (status: OfferStatus) => {
    offer.status = status;
    if (told_of !== undefined && among(PAGE.contest.from, status)) offer.contestable_until = world.now + CONTEST_WITHIN;
  };
  switch (verb) {
    case 'receive':
      moveTo('received');
      delete offer.due.acknowledge;
      tell('received');
      break;
    case 'request_information':
      moveTo('info_requested');
      offer.due.inform = world.now + CLOCKS[referral.urgency].inform;
      if (referral.urgency !== 'emergency') {
        offer.respond_left = offer.due.respond! - world.now;
        delete offer.due.respond;
      }
      tell('information_requested');
      break;
    case 'provide_information':
      moveTo('received');
      delete offer.due.inform;
      resume(world, offer);
      tell('information_provided');
      break;
    case 'waitlist':
      moveTo('waitlisted');
      offer.due = { waitlist_review: world.now + CLOCKS[referral.urgency].waitlist_review };
      delete offer.respond_left;
      tell('waitlisted');
      // The router asks the next beside it, unless somebody is being asked already: one at a time.
      goOn(world, referral);
      break;
    case 'accept':
      sayYes(world, referral, offer);
      moveTo('accepted');
      tell('accepted');
      break;
    case 'confirm_handover':
      if (offer.status !== 'accepted') sayYes(world, referral, offer);
      moveTo('in_progress');
      referral.missing = false;
      tell('handover_confirmed');
      break;
    case 'review':
      tell('reviewed');
      break;
    case 'decline':
      end(world, offer, 'declined', reason);
      moveTo('declined');
      tell('declined');
      goOn(world, referral);
      break;
    case 'report_no_show':
      end(world, offer, 'failed', 'no_show');
      referral.missing = true;
      tell('no_show');
      goOn(world, referral);
      break;
    case 'fail':
      end(world, offer, 'failed', 'service_ended');
      tell('failed');
      goOn(world, referral);
      break;
    case 'complete':
      end(world, offer, 'completed', 'service_provided');
      referral.ended = 'completed';
      tell('completed');
      break;
    case 'reroute':
      for (const other of referral.offers.filter(isLive)) end(world, other, 'cancelled', reason);
      tell('rerouted');
      ask(world, referral, act.to!);
      break;
    case 'cancel':
      for (const other of referral.offers.filter(isLive)) end(world, other, 'cancelled', reason);
      referral.ended = 'cancelled';
      tell('cancelled');
      break;
    case 'contest':
      end(world, offer, 'offered');
      offer.was_accepted = false;
      startClocks(world, referral, offer);
      tell('contested');
      break;
  }
}

function sayYes(world: World, referral: Referral, offer: Offer): void {
  for (const other of referral.offers) if (other !== offer && isLive(other)) end(world, other, 'cancelled');
  offer.due = {};
  delete offer.respond_left;
  delete offer.freed_before;
  delete offer.reason;
  offer.was_accepted = true;
  if (PLACES[offer.to] === Number.POSITIVE_INFINITY) return;
  offer.holds_place = true;
  world.held[offer.to] += 1;
}

function end(world: World, offer: Offer, status: OfferStatus, reason?: string): void {
  offer.status = status;
  offer.due = {};
  delete offer.respond_left;
  offer.freed_before = world.freed[offer.to];
  offer.reason = reason;
  if (!offer.holds_place) return;
  offer.holds_place = false;
  world.held[offer.to] -= 1;
  world.freed[offer.to] += 1;
}

function startClocks(world: World, { urgency }: Referral, offer: Offer): void {
  const { acknowledge, respond } = CLOCKS[urgency];
  offer.due = { acknowledge: world.now + acknowledge, respond: world.now + respond };
}

function ask(world: World, referral: Referral, to: Receiver): void {
  const offer: Offer = { to, status: 'offered', due: {}, was_accepted: false, holds_place: false };
  startClocks(world, referral, offer);
  referral.offers.push(offer);
  referral.told.push('offered');
}

/** Whether the router may ask: who declined or failed, or was passed over, is asked again by name only. */
function mayAsk(world: World, referral: Referral, to: Receiver): boolean {
  if (!covered(world, to) || !hasPlace(world, to)) return false;
  return referral.offers.every(offer => {
    if (offer.to !== to || offer.status === 'withdrawn') return true;
    // Another said yes, which nobody here has decided.
    if (offer.status === 'cancelled' && offer.reason === undefined) return true;
    const waits_for_place = offer.status === 'expired' || (offer.status === 'declined' && offer.reason === 'no_capacity');
    return waits_for_place && world.freed[to] > offer.freed_before!;
  });
}

/** @returns whether there was somebody to ask */
function askNext(world: World, referral: Referral): boolean {
  const next = RECEIVERS.find(to => mayAsk(world, referral, to));
  if (next) ask(world, referral, next);
  return next !== undefined;
}

/** Whether nobody is asked who has not put it on a waiting list. */
const isWaiting = ({ offers, ended }: Referral): boolean =>
  ended === null && offers.filter(isLive).every(({ status }) => status === 'waitlisted');

/** What follows when an offer ended without a yes: the next agency, or none. */
function goOn(world: World, referral: Referral): void {
  if (!isWaiting(referral)) return;
  if (goesOnByItself(referral) && askNext(world, referral)) return;
  if (!referral.offers.some(isLive)) referral.told.push('unplaced');
}

function withdrawConsent(world: World, { grant, stop_service }: Extract<Act, { verb: 'withdraw' }>): void {
  world.grants[grant] = false;
  const ended = new Map<Referral, number>();
  const open = world.referrals.filter(referral => referral.ended === null);
  for (const referral of open) {
    const uncovered = referral.offers.filter(
      offer =>
        isLive(offer) && !covered(world, offer.to) && (!isTaken(offer) || (stop_service && COVERED_BY[offer.to] === grant)),
    );
    for (const offer of uncovered) {
      world.visited.add(`consent: withdraw in ${offer.status}`);
      end(world, offer, 'withdrawn');
      referral.told.push('withdrawn');
    }
    ended.set(referral, uncovered.length);
  }
  for (const referral of open) {
    const lost = ended.get(referral)! > 0;
    const lives_on = referral.offers.some(isLive);
    if (!isWaiting(referral) || (lives_on && !lost)) continue;
    const anybody = RECEIVERS.some(to => covered(world, to));
    if (anybody && !stop_service && goesOnByItself(referral)) {
      if (!askNext(world, referral) && !lives_on && lost) referral.told.push('unplaced');
    } else if (!lives_on && (lost || !anybody)) {
      referral.ended = 'withdrawn';
      if (!lost) referral.told.push('withdrawn');
    }
  }
}

function resume(world: World, offer: Offer): void {
  if (offer.respond_left === undefined) return;
  offer.due.respond = world.now + offer.respond_left;
  delete offer.respond_left;
}

/** Time has passed, and the worker has run: clocks fire in the order in which they fell due. */
export function passTime(world: World, now: number): void {
  world.now = now;
  for (const referral of world.referrals) {
    const due = referral.offers.flatMap(offer => Object.entries(offer.due).map(([clock, at]) => ({ offer, clock, at })));
    for (const { offer, clock, at } of due.filter(it => it.at <= now).sort((a, b) => a.at - b.at)) {
      if (offer.due[clock as 'respond'] !== at) continue;
      if (clock === 'inform') {
        delete offer.due.inform;
        resume(world, offer);
      } else if (clock !== 'acknowledge' || referral.urgency === 'emergency') {
        world.visited.add(`clock: expire in ${offer.status}`);
        end(world, offer, 'expired');
        referral.told.push('expired');
        goOn(world, referral);
      }
    }
    if (goesOnByItself(referral) && isWaiting(referral)) askNext(world, referral);
  }
}

/** What a reader may see of a referral; undefined: there is none for it. */
export interface Sight {
  status: string;
  allowed_actions: string[];
  offer: string | null;
  offers: string[] | undefined;
  names_case: boolean;
  shows_profile: boolean;
  disclosed: boolean;
}

export function sightOf(world: World, who: Who, referral: Referral): Sight | undefined {
  const party = partyOf(who);
  const last = furthest(referral) ?? referral.offers.at(-1);
  if (party !== 'receiver') {
    return {
      status: statusOf(referral),
      allowed_actions: allowed(world, party, referral, awaitingAnswer(referral)),
      offer: last?.status ?? null,
      offers: referral.offers.map(({ status }) => status),
      names_case: true,
      shows_profile: who === 'sender',
      disclosed: false,
    };
  }
  const own = ownOffer(referral, who);
  return (
    own && {
      status: own.status,
      allowed_actions: allowed(world, party, referral, own),
      offer: own.status,
      offers: undefined,
      names_case: own.was_accepted,
      shows_profile: isLive(own) && covered(world, own.to),
      disclosed: isTaken(own) && covered(world, own.to),
    }
  );
}

/** Which clocks of an offer are open in this state. */
export const OPEN_CLOCKS: Readonly<Partial<Record<OfferStatus, readonly string[]>>> = {
  offered: ['acknowledge', 'respond'],
  received: ['respond'],
  info_requested: ['inform', 'respond'],
  waitlisted: ['waitlist_review'],
  accepted: ['handover'],
  in_progress: ['review'],
};

/** How it looks to each receiver where the referral stands: `declined while accepted`. */
export const standings = (referral: Referral): string[] =>
  RECEIVERS.map(to => `${ownOffer(referral, to)?.status ?? 'never asked'} while ${statusOf(referral)}`);

/** Every such standing that can come about, by whatever acts. */
export const STANDINGS: readonly string[] = REFERRAL_STATES.flatMap(status => {
  const far = FAR.indexOf(status as OfferStatus);
  const beside = among(BEFORE, status) ? FAR.slice(0, far) : [];
  const own = among([...FAR, 'completed'], status) ? [status] : [];
  const over = OVER.filter(it => it !== 'completed');
  return ['never asked', ...over, ...beside, ...own].map(it => `${it} while ${status}`);
});

const NOT_TAKEN = [...BEFORE, 'unplaced'] as const;

/** Every step of the page: who may do what in which state; the state is that of the offer, or of the referral as a whole. */
export const STEPS: readonly string[] = [
  ...VERBS.flatMap(verb => {
    const { by, from, by_telephone }: Row = PAGE[verb];
    if (from === 'whole') {
      const states = verb === 'cancel' ? [...NOT_TAKEN, 'accepted'] : NOT_TAKEN;
      return by.flatMap(party => states.map(state => `${party}: ${verb} in ${state}`));
    }
    const recorded = by_telephone ? ['sender by telephone', 'coordinator by telephone'] : [];
    return [...by, ...recorded].flatMap(party => from.map(state => `${party}: ${verb} in ${state}`));
  }),
  ...BEFORE.map(state => `clock: expire in ${state}`),
  ...[...BEFORE, ...TAKEN].map(state => `consent: withdraw in ${state}`),
];

/** Every act that somebody could try now. */
export function possibleActs(world: World): Act[] {
  const acts: Act[] = (['kind', 'name'] as const).flatMap((grant): Act[] => [
    ...[true, false].map(stop_service => ({ verb: 'withdraw', grant, stop_service }) as const),
    ...(world.grants[grant] ? [] : [{ verb: 'give', grant } as const]),
  ]);
  acts.push({ verb: 'places', held_elsewhere: 1 - world.held_elsewhere });
  if (world.referrals.length < 2) {
    const routings = ['automatic', 'direct', 'direct with fallback'] as const;
    for (const routing of routings) for (const to of RECEIVERS) acts.push({ verb: 'make', urgency: 'emergency', routing, to });
  }
  for (const [referral, { offers }] of world.referrals.entries()) {
    for (const verb of VERBS) {
      const row: Row = PAGE[verb];
      const variants: Partial<StepAct>[] =
        verb === 'reroute'
          ? RECEIVERS.map(to => ({ to }))
          : verb === 'decline'
            ? [{ reason: 'unsafe' }, { reason: 'no_capacity' }]
            : [{}];
      if (verb === 'accept' || verb === 'confirm_handover') variants.push({ over_capacity: true });
      const parties: Partial<StepAct>[] = (['sender', 'coordinator', 'stranger', ...RECEIVERS] as const).map(who => ({ who }));
      if (row.by_telephone)
        for (const told_of of offers.keys())
          parties.push(...(['sender', 'coordinator', 'a'] as const).map(who => ({ who, told_of })));
      for (const party of parties) for (const variant of variants) acts.push({ verb, referral, ...party, ...variant } as StepAct);
      const who = row.by[0] === 'receiver' ? (offers.at(-1)?.to ?? 'a') : 'sender';
      acts.push({ verb, referral, who, ...variants[0], stale: true });
    }
  }
  return acts;
}
