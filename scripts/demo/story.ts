import { expectThat } from './expect.ts';

/** Somebody in the night, fictional like everything here. What they say is nowhere in what is printed. */
export interface Somebody {
  story: string;
  person: {
    given_name: string;
    family_name: string;
    date_of_birth: string;
    protection_status: string;
    safe_contact: { value: string; code_word: string; [field: string]: unknown };
    [field: string]: unknown;
  };
  /** What of a case is neither the person nor their words. */
  more: { risk: string; [field: string]: unknown };
  channel: string;
}

const about = (number: number, code_word: string, more: { date_of_birth: string; sex: string; protection_status: string }) => ({
  given_name: `Testname-${number}`,
  family_name: `Placeholder-${number}`,
  nationalities: ['XX'],
  languages: ['ar'],
  safe_contact: { safe_to_call: true, method: 'phone', value: `+999 0000 000${number}`, window: 'after 20:00', code_word },
  ...more,
});

export const DANGER = ['trafficker_knows_address'];
const CALLER = { risk: 'immediate', needs: ['shelter_accommodation'], danger_flags: DANGER };
const SITE = { forms: ['withheld_wages', 'confined_to_site'], sectors: ['construction'] };

/** A woman who cleans houses. */
export const FIRST_CALLER: Somebody = {
  story: 'She cleans houses by day. Her passport lies in the drawer of the man who says that she owes him her journey.',
  person: about(1, 'saffron', { date_of_birth: '1999-04-02', sex: 'female', protection_status: 'unknown' }),
  more: CALLER,
  channel: 'hotline',
};
export const SECOND_CALLER: Somebody = {
  story: 'The doors of the workshop are locked from outside at night. She has the key for one hour.',
  person: about(2, 'cardamom', { date_of_birth: '1991-09-17', sex: 'female', protection_status: 'unknown' }),
  more: CALLER,
  channel: 'hotline',
};
export const THIRD_CALLER: Somebody = {
  story: 'She jumped from the van at a red light and waits behind the bakery, her wrist badly swollen.',
  person: about(3, 'tamarind', { date_of_birth: '1994-12-30', sex: 'female', protection_status: 'unknown' }),
  more: { ...CALLER, needs: ['shelter_accommodation', 'medical'], danger_flags: ['trafficker_nearby', 'medical_emergency'] },
  channel: 'hotline',
};
export const FOUND_MAN: Somebody = {
  story: 'He was paid twice in nine months. The foreman keeps the papers of the whole crew in his car.',
  person: about(4, 'juniper', { date_of_birth: '1988-02-11', sex: 'male', protection_status: 'irregular' }),
  more: { risk: 'high', exploitation: SITE },
  channel: 'inspection',
};
export const FOUND_WOMAN: Somebody = {
  story: 'She cooks for the crew. Her brother still works for the same people in another town.',
  person: about(5, 'sesame', { date_of_birth: '1992-06-08', sex: 'female', protection_status: 'unknown' }),
  more: { risk: 'high', exploitation: SITE },
  channel: 'inspection',
};

/** The body of `POST /v1/cases`. */
export const caseOf = ({ story, person, more, channel }: Somebody, jurisdiction: string) => ({
  track: 'named',
  jurisdiction,
  region: `${jurisdiction}-1`,
  intake: { channel, received_at: new Date().toISOString(), narrative: story },
  person,
  ...more,
});

/** What the law makes the inspection report of the site: nobody's name, nobody's words. */
export const nameless = (jurisdiction: string) => ({
  track: 'anonymous',
  jurisdiction,
  region: `${jurisdiction}-1`,
  risk: 'high',
  intake: { channel: 'inspection', received_at: new Date().toISOString() },
  exploitation: SITE,
});

/** What nobody may read of somebody before acceptance, or anywhere in a webhook or the trail. */
export const privateWords = ({ story, person }: Somebody): string[] => {
  const { given_name, family_name, date_of_birth, safe_contact } = person;
  return [story, given_name, family_name, date_of_birth, safe_contact.value, safe_contact.code_word];
};
const EVERYBODY = [FIRST_CALLER, SECOND_CALLER, THIRD_CALLER, FOUND_MAN, FOUND_WOMAN];
export const PRIVATE = EVERYBODY.flatMap(privateWords);

/** What the callers agree to have passed on to a shelter. */
export const CONSENTED = ['identity', 'contact', 'demographics', 'narrative'];
export const TO_A_SHELTER = {
  recipient: { agency_kind: 'shelter' },
  purposes: ['shelter_accommodation'],
  categories: CONSENTED,
};
export const SHELTER_TONIGHT = {
  service: 'shelter_accommodation',
  urgency: 'emergency',
  routing: 'automatic',
  categories: CONSENTED,
};

export const expectNothingPrivate = (what: string, body: unknown): void => {
  const text = JSON.stringify(body);
  expectThat(`${what} holds nothing private`, !PRIVATE.some(secret => text.includes(secret)));
};
