import { type Static, Type } from 'typebox';
import { DECISION_KINDS, DECISION_OUTCOMES, DECISION_REASONS } from '../../core/codes.ts';
import { Closed, Code, Id, Instant, Named, Nullable, StaffCode, Text } from '../../platform/http/openapi.ts';

export const DecisionBody = Named('NewDecision', {
  kind: Code(DECISION_KINDS),
  outcome: Code(DECISION_OUTCOMES),
  reason_code: Code(DECISION_REASONS),
  decided_at: Instant(),
  note: Type.Optional(Text(4_000, 1)),
});
export type DecisionBody = Static<typeof DecisionBody>;

export const ServeBody = Closed({
  served_at: Type.Optional({ ...Instant(), description: 'When the person was told; without it, now' }),
});
export type ServeBody = { served_at?: string };

export const ReconsiderationBody = Named('NewReconsideration', { reason: Text(4_000, 1) });
export type ReconsiderationBody = Static<typeof ReconsiderationBody>;

const request = {
  requested_at: Instant(),
  requested_by: Code(['owner', 'supporter']),
  reason: Text(4_000),
};

export const ReconsiderationView = Named('Reconsideration', {
  decision_id: Type.String({ ...Id('dec'), description: 'The decision that shall be looked at again' }),
  case_id: Id('cas'),
  ...request,
});
export type ReconsiderationView = Static<typeof ReconsiderationView>;

export const DecisionView = Named('Decision', {
  id: Id('dec'),
  case_id: Id('cas'),
  agency_id: Id('agy'),
  kind: Code(DECISION_KINDS),
  outcome: Code(DECISION_OUTCOMES),
  reason_code: Type.Optional({ ...Code(DECISION_REASONS), description: 'For owner and authority' }),
  note: Type.Optional(Text(4_000)),
  decided_at: Instant(),
  served_at: Nullable(Instant()),
  staff_code: Type.Optional(Type.String({ ...StaffCode(), description: "Of the reader's own agency only" })),
  reconsideration: Type.Optional(Closed(request, { description: 'For owner and authority: that somebody asked for it' })),
  version: Type.Integer(),
  created_at: Instant(),
  updated_at: Instant(),
});
export type DecisionView = Static<typeof DecisionView>;
