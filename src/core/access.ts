import type { AgencyKind, Role, Scope } from './codes.ts';
import { Problem } from './problem.ts';

/**
 * The first wall: who may do what, decided from what the caller is to the thing (its relations) and from the roles of the
 * caseworker who stands behind the request. Whoever has no relation gets the answer for what does not exist.
 */

/** On whose behalf a request or a job runs. */
export type Actor = AgencyActor | SystemActor;

export interface AgencyActor {
  type: 'agency';
  agency_id: string;
  agency_kind: AgencyKind;
  jurisdictions: readonly string[];
  competent_authority: boolean;
  first_responder: boolean;
  suspended: boolean;
  client_id: string;
  scopes: ReadonlySet<Scope>;
  caseworker: { id: string; staff_code: string; roles: readonly Role[] } | null;
  request: RequestContext;
}

/** What the conventions of HTTP say of a request, already parsed. */
export interface RequestContext {
  id: string;
  /** Versions that the caller takes the resource to have; `any`: it must exist. */
  if_match?: readonly number[] | 'any';
  if_none_match?: 'any';
  /** Why somebody who is not assigned to the case has to look at it: free words, kept sealed. */
  access_reason?: string;
  /** `content`: everything that makes two requests the same; kept as a keyed hash only. */
  idempotency?: { key: string; content: string };
}

/** Jobs run as one of these; each has policies of its own in the database. */
export type SystemRole =
  | 'router'
  | 'clock'
  | 'relay'
  | 'access'
  | 'trail'
  | 'retention'
  | 'setup'
  | 'timeline'
  | 'tree'
  | 'sequencer'
  | 'erasure'
  | 'matcher';

export interface SystemActor {
  type: 'system';
  role: SystemRole;
}

export const systemActor = (role: SystemRole): SystemActor => ({ type: 'system', role });

/**
 * What an agency is to a thing. `holder`: an accepted receiver; `self`: it is the agency's own thing, or one to be made;
 * `reader`: it may see it, as everybody may see the directory, and no more; `responsible`: a clock is its to meet; `called`: one of
 * its people was called because of the thing; `on_duty`: the person behind the request is on the duty roster for it; `authority`: a
 * competent authority that accepted to decide, or, of a decision, that made it; `supporter`: a holder that stands by the person.
 */
export type Relation =
  | 'self'
  | 'reader'
  | 'owner'
  | 'sender'
  | 'receiver'
  | 'responsible'
  | 'called'
  | 'on_duty'
  | 'holder'
  | 'former_holder'
  | 'authority'
  | 'supporter'
  | 'coordinator'
  | 'audit_body'
  | 'admin';

interface Permission {
  relations: readonly Relation[];
  /** Any of these; empty: no caseworker is asked for. */
  roles: readonly Role[];
}

const CASE_ROLES: readonly Role[] = ['operator', 'caseworker', 'screener'];
const FOR_SENDER: readonly Role[] = ['operator', 'caseworker'];
const FOR_RECEIVER: readonly Role[] = ['caseworker'];
const SUPERVISOR: readonly Role[] = ['supervisor'];

const PERMISSIONS = {
  'case.open': { relations: ['self'], roles: FOR_SENDER },
  'case.read': { relations: ['owner', 'holder', 'former_holder', 'coordinator'], roles: [...CASE_ROLES, 'coordinator'] },
  'case.list': { relations: ['self', 'coordinator'], roles: [...CASE_ROLES, 'coordinator'] },
  'case.amend': { relations: ['owner'], roles: ['caseworker'] },
  'case.close': { relations: ['owner'], roles: SUPERVISOR },
  'case.reopen': { relations: ['owner'], roles: SUPERVISOR },
  'case.assign': { relations: ['owner', 'holder'], roles: ['caseworker'] },
  'case.assignees': { relations: ['owner', 'holder'], roles: CASE_ROLES },
  'case.timeline': {
    relations: ['owner', 'sender', 'holder', 'former_holder', 'coordinator'],
    roles: [...CASE_ROLES, 'coordinator'],
  },
  'group.refer': { relations: ['owner'], roles: FOR_SENDER },
  'group.read': { relations: ['owner'], roles: CASE_ROLES },
  'case.separate': { relations: ['owner'], roles: FOR_SENDER },
  'case.separations': { relations: ['owner', 'coordinator'], roles: [...CASE_ROLES, 'coordinator'] },
  'case.agree_separation': { relations: ['owner', 'coordinator'], roles: [...FOR_SENDER, 'coordinator'] },
  'case.lift_separation': { relations: ['owner', 'coordinator'], roles: [...FOR_SENDER, 'coordinator'] },
  'disclosure.list': {
    relations: ['owner', 'holder', 'former_holder', 'coordinator'],
    roles: [...CASE_ROLES, 'coordinator'],
  },
  'disclosure.confirm_deletion': { relations: ['holder', 'former_holder'], roles: FOR_RECEIVER },
  'screening.record': { relations: ['owner'], roles: ['screener'] },
  'screening.list': { relations: ['owner'], roles: CASE_ROLES },
  'decision.make': { relations: ['authority'], roles: FOR_RECEIVER },
  'decision.list': { relations: ['owner', 'authority', 'coordinator'], roles: [...CASE_ROLES, 'coordinator'] },
  'decision.serve': { relations: ['owner', 'authority'], roles: ['caseworker'] },
  'decision.request_reconsideration': { relations: ['owner', 'supporter'], roles: FOR_SENDER },
  'consent.give': { relations: ['owner'], roles: FOR_SENDER },
  'consent.list': { relations: ['owner'], roles: CASE_ROLES },
  'consent.withdraw': { relations: ['owner'], roles: FOR_SENDER },
  'referral.make': { relations: ['owner', 'holder'], roles: FOR_SENDER },
  'referral.read': { relations: ['owner', 'sender', 'receiver', 'coordinator'], roles: [...CASE_ROLES, 'coordinator'] },
  'referral.list': { relations: ['self', 'coordinator'], roles: [...CASE_ROLES, 'coordinator'] },
  'referral.receive': { relations: ['receiver'], roles: FOR_RECEIVER },
  'referral.request_information': { relations: ['receiver'], roles: FOR_RECEIVER },
  'referral.provide_information': { relations: ['sender'], roles: FOR_SENDER },
  'referral.waitlist': { relations: ['receiver'], roles: FOR_RECEIVER },
  'referral.accept': { relations: ['receiver'], roles: FOR_RECEIVER },
  'referral.decline': { relations: ['receiver'], roles: FOR_RECEIVER },
  'referral.reroute': { relations: ['sender', 'coordinator'], roles: [...FOR_SENDER, 'coordinator'] },
  'referral.confirm_handover': { relations: ['receiver'], roles: FOR_RECEIVER },
  'referral.report_no_show': { relations: ['receiver'], roles: FOR_RECEIVER },
  'referral.review': { relations: ['receiver'], roles: FOR_RECEIVER },
  'referral.complete': { relations: ['receiver'], roles: FOR_RECEIVER },
  'referral.fail': { relations: ['receiver'], roles: FOR_RECEIVER },
  'referral.cancel': { relations: ['sender'], roles: FOR_SENDER },
  'referral.record_by_telephone': { relations: ['sender', 'coordinator'], roles: [...FOR_SENDER, 'coordinator'] },
  'referral.review_ground': { relations: ['sender', 'coordinator'], roles: [...SUPERVISOR, 'coordinator'] },
  'referral.contest': { relations: ['receiver'], roles: FOR_RECEIVER },
  'referral.candidates': { relations: ['sender', 'coordinator'], roles: [...FOR_SENDER, 'coordinator'] },
  'message.send': { relations: ['sender', 'receiver'], roles: ['caseworker'] },
  'message.list': { relations: ['sender', 'receiver'], roles: ['caseworker'] },
  'timer.list': { relations: ['self', 'coordinator'], roles: [...CASE_ROLES, 'coordinator'] },
  'timer.pause': { relations: ['responsible', 'coordinator'], roles: [...SUPERVISOR, 'coordinator'] },
  'timer.resume': { relations: ['responsible', 'coordinator'], roles: [...SUPERVISOR, 'coordinator'] },
  'timer.waive': { relations: ['supporter'], roles: FOR_SENDER },
  'timer.meet': { relations: ['owner', 'sender', 'coordinator'], roles: [...FOR_SENDER, 'coordinator'] },
  'timer.meet_as_receiver': { relations: ['receiver'], roles: FOR_RECEIVER },
  'timer.acknowledge_escalation': { relations: ['on_duty'], roles: [] },
  'timer.acknowledge_as_coordinator': { relations: ['coordinator'], roles: ['coordinator'] },
  'agency.acknowledge_escalation': { relations: ['on_duty'], roles: [] },
  'agency.acknowledge_as_coordinator': { relations: ['coordinator'], roles: ['coordinator'] },
  'duty_roster.read': { relations: ['coordinator', 'reader'], roles: [...CASE_ROLES, 'coordinator'] },
  'duty_roster.set': { relations: ['coordinator'], roles: ['coordinator'] },
  'coverage.read': { relations: ['reader', 'coordinator'], roles: [...CASE_ROLES, 'coordinator'] },
  'agency.create': { relations: ['admin'], roles: [] },
  'agency.change': { relations: ['admin', 'self'], roles: SUPERVISOR },
  'directory.import': { relations: ['admin'], roles: [] },
  'caseworker.manage': { relations: ['admin', 'self'], roles: SUPERVISOR },
  'caseworker.change': { relations: ['self'], roles: SUPERVISOR },
  'client.manage': { relations: ['admin', 'self'], roles: SUPERVISOR },
  'client.enable': { relations: ['self'], roles: SUPERVISOR },
  'expert.manage': { relations: ['self'], roles: SUPERVISOR },
  'expert.read': { relations: ['self'], roles: FOR_RECEIVER },
  'expert.match': { relations: ['self', 'owner', 'holder'], roles: FOR_SENDER },
  'expert_request.make': { relations: ['self', 'owner', 'holder'], roles: FOR_SENDER },
  'expert_request.read': { relations: ['sender', 'receiver'], roles: CASE_ROLES },
  'expert_request.list': { relations: ['self'], roles: CASE_ROLES },
  'expert_request.confirm': { relations: ['receiver'], roles: FOR_RECEIVER },
  'expert_request.decline': { relations: ['receiver'], roles: FOR_RECEIVER },
  'expert_request.cancel': { relations: ['sender', 'receiver'], roles: FOR_SENDER },
  'expert_request.complete': { relations: ['sender'], roles: FOR_SENDER },
  'service.manage': { relations: ['self'], roles: SUPERVISOR },
  'calendar.manage': { relations: ['admin'], roles: [] },
  'rule_pack.put': { relations: ['admin'], roles: [] },
  'crisis_mode.declare': { relations: ['coordinator'], roles: ['coordinator'] },
  'crisis_mode.read': { relations: ['reader'], roles: [] },
  'webhook_endpoint.manage': { relations: ['self'], roles: SUPERVISOR },
  'audit.query': { relations: ['self'], roles: ['auditor'] },
  'audit.verify': { relations: ['self'], roles: ['auditor'] },
  'audit.export': { relations: ['audit_body'], roles: ['auditor'] },
  'inquiry.open': { relations: ['audit_body'], roles: ['auditor'] },
  'inquiry.read': { relations: ['audit_body'], roles: ['auditor'] },
  'inquiry.confirm': { relations: ['audit_body'], roles: ['auditor'] },
} as const satisfies Record<string, Permission>;

export type Action = keyof typeof PERMISSIONS;

/** A supervisor may what a caseworker may, and a caseworker what an operator may (domain.md: "also", "the same, and"). */
const IMPLIED: Partial<Record<Role, readonly Role[]>> = { supervisor: ['caseworker', 'operator'], caseworker: ['operator'] };

/** Whether the caseworker behind the request has `role`, directly or by what a higher role implies. */
export const hasRole = (actor: AgencyActor, role: Role): boolean =>
  actor.caseworker?.roles.some(held => held === role || IMPLIED[held]?.includes(role)) ?? false;

/**
 * Lets `actor` do `action` on something to which it has `relations`, or throws.
 *
 * The relation `coordinator` counts only with the role of that name, `admin` only by the token's scope (and then no role is
 * asked for): an agency whose one relation does not count sees the thing but may not act.
 * @throws Problem `not_found` without any relation, `forbidden` where relation or role do not suffice
 */
export function authorise(actor: AgencyActor, action: Action, relations: readonly Relation[]): void {
  if (relations.length === 0) throw new Problem('not_found');
  if (!isAllowed(actor, action, relations)) throw new Problem('forbidden');
}

/** Whether relation and role suffice for `action`. */
export function isAllowed(actor: AgencyActor, action: Action, relations: readonly Relation[]): boolean {
  const permission: Permission = PERMISSIONS[action];
  const counted = relations.filter(relation => permission.relations.includes(relation));
  if (counted.includes('admin')) return true;
  return counted.some(relation =>
    relation === 'coordinator'
      ? permission.roles.includes('coordinator') && hasRole(actor, 'coordinator')
      : permission.roles.length === 0 || permission.roles.some(role => role !== 'coordinator' && hasRole(actor, role)),
  );
}

/** Whether `actor` is the coordination committee of `jurisdiction`. */
export const coordinates = (actor: AgencyActor, jurisdiction: string): boolean =>
  actor.agency_kind === 'coordination_committee' && actor.jurisdictions.includes(jurisdiction);

/**
 * Holds the caller to the version that it read.
 * @throws Problem `precondition_required` where a version must be named and is not, `precondition_failed` where it is another
 */
export function expectVersion(actor: AgencyActor, version: number, { required = false } = {}): void {
  const expected = actor.request.if_match;
  if (expected === undefined) {
    if (required) throw new Problem('precondition_required');
    return;
  }
  if (expected !== 'any' && !expected.includes(version)) throw new Problem('precondition_failed');
}

/**
 * The same for what is said whole: what exists is replaced only by whoever read it; `If-None-Match: *` asks for there to be nothing.
 * @throws Problem `precondition_required`, `precondition_failed`
 */
export function expectFirstOrVersion(actor: AgencyActor, before: { version: number } | undefined): void {
  const { if_match, if_none_match } = actor.request;
  if (before && if_none_match) throw new Problem('precondition_failed');
  if (before) expectVersion(actor, before.version, { required: true });
  else if (if_match !== undefined) throw new Problem('precondition_failed');
}
