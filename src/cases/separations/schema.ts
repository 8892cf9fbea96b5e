import { type Static, Type } from 'typebox';
import { SEPARATION_STATES } from '../../core/codes.ts';
import { Closed, Code, Id, Instant, Named, Nullable } from '../../platform/http/openapi.ts';

export const SeparationBody = Named('NewSeparation', {
  case_id: { ...Id('cas'), description: 'From whom: a case that the caller knows' },
  until: Type.Optional({ ...Instant(), description: 'Without it, until it is lifted' }),
});
export type SeparationBody = Static<typeof SeparationBody>;

export const SeparationView = Named('Separation', {
  id: Id('sep'),
  case_id: Type.Optional({ ...Id('cas'), description: 'From whom, where the caller knows that case' }),
  said_by_agency_id: Type.Optional({
    ...Id('agy'),
    description: 'Who said it; left out where that would tell where somebody is',
  }),
  state: Code(SEPARATION_STATES),
  until: Nullable(Instant()),
  created_at: Instant(),
});
export type SeparationView = Static<typeof SeparationView>;

export const SeparationParams = Closed({ id: Id('cas'), separation_id: Id('sep') });
