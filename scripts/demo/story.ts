import { expectThat } from './expect.ts';

/** A fictional person. Her words are nowhere in what is printed. */
export const STORY =
  'She cleans houses by day. Her passport lies in the drawer of the man who says that she owes him her journey.';
export const PERSON = {
  given_name: 'Testname',
  family_name: 'Placeholder',
  date_of_birth: '1999-04-02',
  sex: 'female',
  nationalities: ['XX'],
  languages: ['ar'],
  protection_status: 'unknown',
  safe_contact: { safe_to_call: true, method: 'phone', value: '+999 0000 0000', window: 'after 20:00', code_word: 'saffron' },
};
/** What nobody may read before acceptance, or anywhere in a webhook or the trail. */
export const PRIVATE = [STORY, PERSON.given_name, PERSON.family_name, PERSON.date_of_birth, PERSON.safe_contact.value, 'saffron'];
export const DANGER = ['trafficker_knows_address'];
/** What she agrees to have passed on. */
export const CONSENTED = ['identity', 'contact', 'demographics', 'narrative'];

export const expectNothingPrivate = (what: string, body: unknown): void => {
  const text = JSON.stringify(body);
  expectThat(`${what} holds nothing private`, !PRIVATE.some(secret => text.includes(secret)));
};
