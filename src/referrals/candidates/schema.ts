import { type Static, Type } from 'typebox';
import { AGENCY_KINDS, TOLD_EXCLUSIONS } from '../../core/codes.ts';
import { Closed, Code, Codes, Id, Named } from '../../platform/http/openapi.ts';
import { Placed } from '../schema.ts';

export const CandidateParams = Closed({ id: Id('ref') });

export const CandidateView = Named('Candidate', {
  agency_id: Type.Optional(Id('agy')),
  placed: Type.Optional(Placed),
  kind: Type.Optional(Code(AGENCY_KINDS)),
  score: Type.Integer({ description: 'The sum of the points of `reasons`' }),
  reasons: Type.Array(Closed({ rule: Type.String(), points: Type.Integer(), text: Type.String() })),
  excluded_by: Codes(TOLD_EXCLUSIONS, {
    description:
      'Codes; empty: could be asked now. `not_eligible`: does not take this person, and the reader may not know why; `not_told`: of a protected place',
  }),
  places: Code(['none', 'some']),
  available: Type.Optional(
    Type.Union([Type.Integer(), Type.Null()], {
      description: 'Places left; null without a count; left out for a protected place',
    }),
  ),
});
export type CandidateView = Static<typeof CandidateView>;
