import { type Static, Type } from 'typebox';
import { CRISIS_KINDS, CRISIS_PHASES } from '../../core/codes.ts';
import { REMOTE_ACTS, REMOTE_WAYS } from '../../core/crisis.ts';
import {
  Closed,
  Code,
  Id,
  Instant,
  Jurisdiction,
  Named,
  Nullable,
  Region,
  StaffCode,
  Text,
} from '../../platform/http/openapi.ts';

const { Optional } = Type;

export const JurisdictionParams = Closed({ code: Jurisdiction() });
export const CrisisModeParams = Closed({ code: Jurisdiction(), id: Id('crm') });

const ExpiresAt = () => ({ ...Instant(), description: 'Within 30 days; those where it is left out' });

export const CrisisModeBody = Named('NewCrisisMode', {
  kind: Code(CRISIS_KINDS),
  phase: Code(CRISIS_PHASES),
  regions: Optional(
    Type.Array(Region(), { maxItems: 100, uniqueItems: true, description: 'Empty or left out: the whole jurisdiction' }),
  ),
  reason: { ...Text(500, 1), description: 'In words, and of no person: everybody in the jurisdiction may read it' },
  expires_at: Optional(ExpiresAt()),
});
export type CrisisModeBody = Static<typeof CrisisModeBody>;

export const RenewBody = Closed({ expires_at: Optional(ExpiresAt()) });
export const PhaseBody = Closed({ phase: Code(CRISIS_PHASES) });

export const CrisisModeView = Named('CrisisMode', {
  id: Id('crm'),
  jurisdiction: Jurisdiction(),
  regions: Type.Array(Region()),
  kind: Code(CRISIS_KINDS),
  phase: Code(CRISIS_PHASES),
  reason: Type.String(),
  status: Code(['in_force', 'ended']),
  procedures: Type.Array(Closed({ act: Code(REMOTE_ACTS), how: Code(REMOTE_WAYS) }), {
    description: "What may be done from afar while it lasts, by the jurisdiction's plan",
  }),
  started_at: Instant(),
  expires_at: Instant(),
  renewed: Type.Integer({ description: 'How often' }),
  ended_at: Nullable(Instant()),
  staff_code: Optional(StaffCode()),
  version: Type.Integer(),
  updated_at: Instant(),
});
export type CrisisModeView = Static<typeof CrisisModeView>;
