import type { ExpertRequestStatus } from './codes.ts';
import type { EventType } from './events.ts';
import { raise } from './problem.ts';

/** What may happen to a request for an expert: the one table, which nothing else looks past. Pure. */

/** Requester: the agency that asked. Keeper: the agency on whose roster the expert is. Service: this software by itself. */
export type ExpertParty = 'requester' | 'keeper' | 'clock' | 'service';

interface Rule {
  by: readonly ExpertParty[];
  from: readonly ExpertRequestStatus[];
  to: ExpertRequestStatus;
  /** What becomes of the clock that runs until there is an answer. */
  respond: 'meet' | 'cancel';
  event: EventType | null;
}

const RULES = {
  confirm: { by: ['keeper'], from: ['requested'], to: 'confirmed', respond: 'meet', event: 'expert.confirmed' },
  decline: { by: ['keeper'], from: ['requested'], to: 'declined', respond: 'meet', event: 'expert.declined' },
  expire: { by: ['clock'], from: ['requested'], to: 'expired', respond: 'cancel', event: 'expert.expired' },
  // The keeper takes back what it confirmed; what it was only asked it declines.
  cancel: { by: ['requester'], from: ['requested', 'confirmed'], to: 'cancelled', respond: 'cancel', event: 'expert.cancelled' },
  take_back: { by: ['keeper'], from: ['confirmed'], to: 'cancelled', respond: 'cancel', event: 'expert.cancelled' },
  // The expert must not meet those concerned, or is suspended, or whoever keeps it is: one step, so that nobody can tell which.
  fall_away: {
    by: ['service'],
    from: ['requested', 'confirmed'],
    to: 'cancelled',
    respond: 'cancel',
    event: 'expert.cancelled',
  },
  complete: { by: ['requester'], from: ['confirmed'], to: 'completed', respond: 'cancel', event: null },
} as const satisfies Record<string, Rule>;

export type ExpertStep = keyof typeof RULES;

/** What people do; the one verb of both sides that ends what was confirmed is `cancel`. */
export type ExpertAction = 'confirm' | 'decline' | 'cancel' | 'complete';

const STEPS_OF: Readonly<Record<ExpertAction, readonly ExpertStep[]>> = {
  confirm: ['confirm'],
  decline: ['decline'],
  cancel: ['cancel', 'take_back'],
  complete: ['complete'],
};

const stepFor = (action: ExpertAction, party: ExpertParty, status: ExpertRequestStatus): Rule | undefined =>
  STEPS_OF[action].map((step): Rule => RULES[step]).find(({ by, from }) => by.includes(party) && from.includes(status));

/** What `party` may do now, in the order of the table. */
export const allowedExpertActions = (party: ExpertParty, status: ExpertRequestStatus): ExpertAction[] =>
  (Object.keys(STEPS_OF) as ExpertAction[]).filter(action => stepFor(action, party, status));

/** @throws Problem `wrong_state` where the table has no such step, with `state` and what is allowed instead */
export const decideExpert = (action: ExpertAction, party: ExpertParty, status: ExpertRequestStatus): Readonly<Rule> =>
  stepFor(action, party, status) ??
  raise('wrong_state', { members: { state: status, allowed_actions: allowedExpertActions(party, status) } });

/** What happens without anybody's act; undefined: the request is over already. */
export const stepByItself = (step: 'expire' | 'fall_away', status: ExpertRequestStatus): Readonly<Rule> | undefined => {
  const rule: Rule = RULES[step];
  return rule.from.includes(status) ? rule : undefined;
};

/** The table itself, for the test that walks it. */
export const expertTable: Readonly<Record<ExpertStep, Readonly<Rule>>> = RULES;

/** How long after its time a confirmed request still is somebody's business: whoever was left behind calls the next day. */
const OPEN_AFTER_MS = 86_400_000;

/** What is confirmed for a time that ended by then is over at `now`. */
export const overSince = (now: Date): Date => new Date(now.getTime() - OPEN_AFTER_MS);

/**
 * Whether nothing more comes of it: it ended, or it was confirmed and its time has passed, though nobody has said that the expert was
 * there. What was asked for and not answered ends by its clock.
 */
export const isOver = ({ status, to }: { status: ExpertRequestStatus; to: Date }, now: Date): boolean =>
  status === 'confirmed' ? to <= overSince(now) : status !== 'requested';

/** Whether whoever asked may read how to reach the expert. */
export const showsContact = (request: { status: ExpertRequestStatus; to: Date }, now: Date): boolean =>
  request.status === 'confirmed' && !isOver(request, now);
