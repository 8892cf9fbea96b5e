import { type Static, Type } from 'typebox';
import { SCREENING_MODES } from '../../core/codes.ts';
import { Closed, Code, Id, Instant, Language, Named, Nullable, StaffCode, Text } from '../../platform/http/openapi.ts';

const Answers = () => Type.Array(Closed({ indicator: Text(100, 1), present: Code(['yes', 'no', 'unknown']) }), { maxItems: 200 });

const circumstances = {
  mode: Code(SCREENING_MODES),
  interview_language: Language(),
  interpreter_used: Type.Boolean(),
};

export const ScreeningBody = Named('NewScreening', {
  instrument: Type.Optional(Text(60, 1)),
  version: Type.Optional(Text(40, 1)),
  answers: Type.Optional(Answers()),
  ...circumstances,
  decision: Closed({ presumed: Type.Boolean(), reason: Type.Optional(Text(2_000, 1)) }),
});
export type ScreeningBody = Static<typeof ScreeningBody>;

export const ScreeningView = Named('Screening', {
  id: Id('scr'),
  case_id: Id('cas'),
  ...circumstances,
  decision: Closed(
    { presumed: Type.Boolean(), reason: Nullable(Text(2_000)) },
    { description: 'What the named screener decided, whatever an instrument indicates' },
  ),
  agency_id: Id('agy'),
  staff_code: Type.Optional(Type.String({ ...StaffCode(), description: "Of the reader's own agency only" })),
  instrument: Type.Null({ description: 'Screened without one, as are the next three' }),
  dimensions: Type.Null(),
  indication: Type.Null(),
  explanation: Type.Null(),
  created_at: Instant(),
});
export type ScreeningView = Static<typeof ScreeningView>;
