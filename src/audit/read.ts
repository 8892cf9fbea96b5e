import type { AgencyActor } from '../core/access.ts';
import { type Tx, transact } from '../platform/database.ts';
import type { Services } from '../services.ts';
import { record, type SubjectRecord } from './record.ts';

/** What a read answers, and the receipt of its entry in the trail. */
export interface Read<View> {
  view: View;
  receipt: string;
}

/**
 * Reads what belongs to no case (the directory, who acts for an agency, endpoints, codes), and records that it was read: in one
 * transaction, before the answer.
 * @param action `agency.read`: the noun is the kind of resource
 * @param subject what was named; null where nothing was
 */
export const read = <View>(
  services: Services,
  actor: AgencyActor,
  action: string,
  subject: SubjectRecord | null,
  look: (tx: Tx) => Promise<View>,
): Promise<Read<View>> =>
  transact(services, actor, async tx => {
    const view = await look(tx);
    const receipt = await record(services, tx, actor, {
      action,
      outcome: 'read',
      resource_type: action.split('.')[0]!,
      subjects: subject ? [subject] : [],
    });
    return { view, receipt };
  });
