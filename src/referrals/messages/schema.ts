import { type Static, Type } from 'typebox';
import { Closed, Code, Id, Instant, Named, StaffCode, Text } from '../../platform/http/openapi.ts';
import { Placed } from '../schema.ts';

export const MessageBody = Named('NewMessage', { text: Text(4_000, 1) });
export type MessageBody = Static<typeof MessageBody>;

export const MessageParams = Closed({ id: Id('ref') });

export const MessageView = Named('Message', {
  id: Id('msg'),
  referral_id: Id('ref'),
  offer_id: Type.String({ ...Id('off'), description: 'The offer that was accepted when it was written' }),
  from: Code(['sender', 'receiver']),
  agency_id: Type.Optional(Id('agy')),
  placed: Type.Optional(Placed),
  staff_code: Type.Optional(Type.String({ ...StaffCode(), description: "Of the reader's own agency only" })),
  text: Type.String(),
  created_at: Instant(),
});
export type MessageView = Static<typeof MessageView>;
