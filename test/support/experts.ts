import type { TestApp } from './app.ts';
import type { Answer, Client, Mechanism } from './mechanism.ts';
import { ok } from './night.ts';

/** A roster of experts, and those who ask for them. In all of it `civil_society` keeps the experts and `helpline_a` asks. */

export const CONTACT = { name: 'CANARY-EXPERT Example', phone: '+999 CANARY-PHONE', email: 'canary-mail@example.org' };

export const expertBody = (more: object = {}) => ({
  skills: ['interpretation'],
  languages: [{ tag: 'ku-Arab', level: 'native', modes: ['spoken', 'written'] }],
  sex: 'female',
  jurisdictions: ['XA'],
  contact: CONTACT,
  ...more,
});

const HOUR = 3_600_000;

export function experts({ clock }: Pick<TestApp, 'clock'>, { as }: Mechanism) {
  const keeper = as('civil_society', 'supervisor');
  const requester = as('helpline_a');
  /** From so many hours from now on, for as many hours. */
  const time = (from = 48, hours = 2) => {
    const at = (after: number) => new Date(clock.now().getTime() + after * HOUR).toISOString();
    return { from: at(from), to: at(from + hours) };
  };
  const matchBody = (more: object = {}) => ({ skill: 'interpretation', jurisdiction: 'XA', ...time(), ...more });
  const requestBody = (expert_id: string, more: object = {}) => ({
    expert_id,
    skill: 'interpretation',
    language: 'ku-Arab',
    jurisdiction: 'XA',
    region: 'XA-1',
    mode: 'in_person',
    urgency: 'urgent',
    ...time(),
    ...more,
  });
  const enter = async (more: object = {}): Promise<Answer['body']> => ok(await keeper.post('/v1/experts', expertBody(more)));
  const match = async (more: object = {}, who: Client = requester): Promise<string[]> =>
    ok(await who.post('/v1/experts/match', matchBody(more))).data.map(({ id }: { id: string }) => id);
  const request = async (expert_id: string, more: object = {}, who: Client = requester): Promise<Answer['body']> =>
    ok(await who.post('/v1/expert-requests', requestBody(expert_id, more)));
  const answer = (who: Client, { id }: { id: string }, verb: string, body: object = {}) =>
    who.post(`/v1/expert-requests/${id}/${verb}`, body);
  const look = async (who: Client, { id }: { id: string }) => ok(await who.get(`/v1/expert-requests/${id}`));
  const declare = async ({ id }: { id: string }, conflicts: object) =>
    ok(await keeper.patch(`/v1/experts/${id}`, { conflicts }, { 'if-match': '*' }));
  return { keeper, requester, time, matchBody, requestBody, enter, match, request, answer, look, declare };
}
