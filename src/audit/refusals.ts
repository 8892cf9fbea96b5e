import type { AgencyActor } from '../core/access.ts';
import type { ProblemCode } from '../core/problem.ts';
import { asSystem, transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { record } from './record.ts';
import { findNamedSubject } from './store.ts';

/** Refusals that are said only of what the caller may see: its own auditors may see what it was, too. */
const OF_THE_VISIBLE: ReadonlySet<ProblemCode> = new Set<ProblemCode>([
  'forbidden',
  'access_reason_required',
  'wrong_state',
  'consent_missing',
  'no_capacity',
  'too_early',
  'already_exists',
  'secret_already_shown',
]);

/**
 * The entry of a refusal, in a transaction of its own, before the answer. Absent and forbidden leave the same entry by the same
 * statements: one code, one subject, which the audit body alone can open and find by its case.
 */
export async function recordRefusal(
  services: Services,
  actor: AgencyActor,
  code: ProblemCode,
  { action, named_id }: { action: string; named_id?: string },
): Promise<void> {
  await transact(services, actor, tx =>
    asSystem(tx, 'trail', async tx => {
      const subject = named_id === undefined ? undefined : await findNamedSubject(tx, named_id);
      // A referral may be visible while its case is not.
      const withheld = subject && named_id !== subject.subject_id ? [subject.subject_id] : [];
      await record(services, tx, actor, {
        action,
        outcome: 'denied',
        resource_type: action.split('.')[0]!,
        code: code === 'not_found' ? 'not_visible' : code,
        subjects: subject ? [subject] : [],
        subjects_withheld: OF_THE_VISIBLE.has(code) ? withheld : true,
      });
    }),
  );
}
