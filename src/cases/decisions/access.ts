import type { AgencyActor, Relation } from '../../core/access.ts';
import { isSupport } from '../../core/support.ts';
import { asSystem, type Tx } from '../../platform/database.ts';
import type { CaseRow } from '../store.ts';
import { caseRelations } from '../view.ts';
import { type DecisionRow, listAuthorities, listDecisions } from './store.ts';

/** What an agency is to the decisions of a case. */
export interface Standing {
  relations: Relation[];
  /** Asked to decide, and accepted: it knows of what others decided before it. */
  decides: boolean;
  /** Since when it is asked. */
  asked_at?: Date;
}

/**
 * A competent authority with an accepted `identification` offer of the case is its `authority`, also where it has come to own the
 * case; so is, of its own decisions, one whose offer is over, until it confirms that it deleted what it held. An agency that holds
 * another offer stays a holder.
 */
export async function decisionStanding(tx: Tx, actor: AgencyActor, found: CaseRow): Promise<Standing> {
  const relations = await caseRelations(tx, actor, found);
  const holds = relations.includes('holder') || relations.includes('former_holder');
  if (!holds && !relations.includes('owner')) return { relations, decides: false };
  const { agency_id } = actor;
  const live = actor.competent_authority ? await asSystem(tx, 'router', tx => listAuthorities(tx, [found.id])) : [];
  const asked = live.findLast(authority => authority.agency_id === agency_id);
  const decided = asked || (holds && (await listDecisions(tx, { case_id: found.id, agency_id })).length > 0);
  if (decided) relations.push('authority');
  if (relations.includes('holder') && isSupport(actor.agency_kind)) relations.push('supporter');
  return { relations, decides: asked !== undefined, asked_at: asked?.asked_at };
}

/** The same, towards one decision. */
export const standingTo = ({ relations, decides }: Standing, actor: AgencyActor, decision: DecisionRow): Relation[] =>
  decides || decision.agency_id === actor.agency_id ? relations : relations.filter(relation => relation !== 'authority');
