import { type Static, Type } from 'typebox';
import { LAWFUL_GROUNDS } from '../core/codes.ts';
import { idPattern } from '../core/ids.ts';
import { INQUIRY_STATES } from '../core/inquiry.ts';
import { Closed, Code, Id, Instant, Named, Nullable, StaffCode } from '../platform/http/openapi.ts';
import { PageQuery } from '../platform/http/paging.ts';

const Optional = Type.Optional;
const Outcome = () => Code(['done', 'read', 'denied', 'failed']);

const ClientId = () =>
  Type.String({
    pattern: `${idPattern('cli')}|^system:[a-z]{1,20}$`,
    maxLength: 40,
    description: 'A client; `system:clock` and its like are what the service did by itself, which the audit body alone sees',
  });

/** Every filter narrows; without any, all that the caller may see. */
export const AuditQuery = {
  case_id: Optional(Id('cas')),
  referral_id: Optional(Id('ref')),
  report_id: Optional(Id('rpt')),
  agency_id: Optional(Id('agy')),
  caseworker: Optional(StaffCode()),
  client_id: Optional(ClientId()),
  action: Optional(Type.String({ pattern: '^[a-z_]{1,40}\\.[a-z_]{1,40}$', description: 'Noun and verb: `referral.accept`' })),
  outcome: Optional(Outcome()),
  resource_type: Optional(Type.String({ pattern: '^[a-z_]{1,40}$' })),
  lawful_ground: Optional(Code(LAWFUL_GROUNDS)),
  from: Optional(Type.String({ ...Instant(), description: 'Recorded then or later' })),
  to: Optional(Type.String({ ...Instant(), description: 'Recorded before' })),
  order: Optional(Type.Unsafe<'newest' | 'oldest'>({ ...Code(['newest', 'oldest']), default: 'newest' })),
  ...PageQuery,
};
const Query = Closed(AuditQuery);
export type AuditQuery = Static<typeof Query>;

const Bytes = (description: string) => Type.String({ contentEncoding: 'base64', description });

// Both are committed to as a whole: what a later version adds must reach whoever verifies it.
const Meta = Type.Object(
  {
    v: Type.Integer(),
    at: Instant(),
    action: Type.String(),
    outcome: Outcome(),
    actor: Type.Object(
      {
        agency_id: Nullable(Id('agy')),
        client_id: Nullable(ClientId()),
        caseworker: Nullable(StaffCode()),
        assurance: Code(['asserted', 'token']),
      },
      { additionalProperties: true },
    ),
    resource_type: Type.String(),
    code: Nullable(Type.String({ description: '`not_visible`: absent, or not for the actor to know of' })),
    lawful_ground: Nullable(Code(LAWFUL_GROUNDS)),
    request_id: Nullable(Type.String()),
    subjects: Type.Integer({ description: 'How many' }),
  },
  { additionalProperties: true, description: 'Its RFC 8785 text is what `entry` commits to' },
);
const SubjectRecord = Type.Object(
  { subject_id: Type.String() },
  { additionalProperties: true, description: 'Its RFC 8785 text is what `commit` commits to' },
);

/** A count of entries, or a place among them. */
export const Size = () => Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
export const Place = () => ({ ...Size(), maximum: Number.MAX_SAFE_INTEGER - 1 });

export const ExportQuery = {
  from: Optional(Size()),
  to: Optional({ ...Size(), description: 'Exclusive; unless said, the size of the checkpoint' }),
  witnessed: Optional({ ...Type.Boolean(), description: 'The newest that the quorum of witnesses cosigned' }),
  format: Optional(
    Type.Unsafe<'ndjson' | 'csv'>({
      ...Code(['ndjson', 'csv']),
      default: 'ndjson',
      description: '`csv`: what `meta` says, for spreadsheets; what one would take for a formula has an apostrophe in front',
    }),
  ),
  personal: Optional({
    ...Type.Boolean(),
    description: 'With the records of persons, as far as they are not erased: needs `inquiry_id`',
  }),
  inquiry_id: Optional({ ...Id('inq'), description: 'A confirmed inquiry of the caller; `from` and `to` are its, or within' }),
};

export const EntryView = Closed({
  index: Type.Integer({ description: 'Its place in the log' }),
  entry_id: Bytes('16 bytes'),
  entry: Bytes('The 93 bytes that stand in the log'),
  receipt: Type.String({ description: 'Hex leaf hash of `entry`: what the act answered as `Audit-Receipt`' }),
  meta: Meta,
  salt_meta: Bytes('32 bytes'),
  salt_personal: Bytes('32 bytes'),
  subjects: Type.Array(
    Closed({
      commit: Bytes('32 bytes'),
      record: Optional(SubjectRecord),
      salt: Optional(Bytes('32 bytes')),
      erased: Optional(Type.Boolean({ description: 'The person was forgotten; the commitment stays' })),
    }),
    { description: 'One per case or report; without `record` where it is not for the caller to open' },
  ),
});
export type EntryView = Static<typeof EntryView>;

export const InquiryBody = Named('NewInquiry', {
  reference: Type.String({
    pattern: '^[A-Za-z0-9][A-Za-z0-9._/:-]{0,63}$',
    description: 'By which the inquiry is known elsewhere: a code, never a name',
  }),
  from: Optional(Place()),
  to: Optional({ ...Size(), description: 'Exclusive; unless said, all that is published now' }),
});
export type InquiryBody = Static<typeof InquiryBody>;

export const InquiryView = Named('Inquiry', {
  id: Id('inq'),
  reference: Type.String(),
  from: Type.Integer({ description: 'A place in the log' }),
  to: Type.Integer({ description: 'Exclusive' }),
  state: Code(INQUIRY_STATES),
  opened_by: StaffCode(),
  opened_at: Instant(),
  confirmed_by: Nullable(StaffCode()),
  confirmed_at: Nullable(Instant()),
  expires_at: Type.String({ ...Instant(), description: 'Until when it waits, or once it is confirmed is good' }),
  version: Type.Integer(),
});
export type InquiryView = Static<typeof InquiryView>;
