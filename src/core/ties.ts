/**
 * Whom an expert must not meet at work, found again although a name is written in another way. Of a person nothing is compared but
 * composites: two parts of the name together, each part together with the date of birth, and all letters. One composite in common is a tie, for
 * one expert too few is better than the suspect's brother as the interpreter. Pure; whoever keeps composites keeps keyed hashes of
 * them (`experts/ties.ts`), never the words.
 *
 * Names in two scripts cannot be compared: there one date of birth is enough. Where it is not known, whoever declares a tie, or asks,
 * gives each spelling that is known.
 */

export interface NamedPerson {
  given_name?: string;
  family_name?: string;
  /** `YYYY-MM-DD` */
  date_of_birth?: string;
}

/** Letters that are written for one another, once they stand without their marks. */
const VARIANTS: Readonly<Record<string, string>> = {
  ٱ: 'ا',
  ى: 'ي',
  ی: 'ي',
  ې: 'ي',
  ک: 'ك',
  ڪ: 'ك',
  ة: 'ه',
  ە: 'ه',
  ہ: 'ه',
  ھ: 'ه',
  ø: 'o',
  ł: 'l',
  đ: 'd',
  ð: 'd',
  ı: 'i',
  ß: 'ss',
  æ: 'ae',
  œ: 'oe',
  þ: 'th',
};

/** Marks on letters, lengthening, hamza, apostrophes, and what only steers the direction of writing. */
const WITHOUT_MEANING = /[\p{Mark}\p{Format}\u0640\u0621\u02b0-\u02ff'’‘`´]/gu;
/** What some write before a name and others leave out. */
const PARTICLES = new Set(['al', 'el', 'ul', 'bin', 'ben', 'ibn', 'bint', 'de', 'van', 'von', 'بن', 'ابن', 'بنت', 'ال']);
const ARTICLE = /^ال(?=.{3})/u;

/** More parts than a name has: of longer ones the longest count, for what is compared grows with their square. */
const MOST_PARTS = 8;

/** The parts of a name as they are compared: no case, no marks, no order, nothing twice. */
export function namePartsOf({ given_name = '', family_name = '' }: NamedPerson): string[] {
  const parts = `${given_name} ${family_name}`
    .normalize('NFKD')
    .toLowerCase()
    .normalize('NFKD')
    .replace(WITHOUT_MEANING, '')
    .replace(/./gu, letter => VARIANTS[letter] ?? letter)
    .split(/[^\p{Letter}]+/u)
    .filter(part => part !== '' && !PARTICLES.has(part))
    // Whether a letter is doubled is a matter of whoever writes a foreign name.
    .map(part => part.replace(ARTICLE, '').replace(/(.)\1+/gu, '$1'));
  const longest_first = [...new Set(parts)].sort((a, b) => b.length - a.length || (a < b ? -1 : 1));
  return longest_first.slice(0, MOST_PARTS).sort();
}

/** Scripts in everyday use: Unicode Standard Annex #31, table 5. */
const SCRIPTS = [
  ...['Arabic', 'Armenian', 'Bengali', 'Bopomofo', 'Cyrillic', 'Devanagari', 'Ethiopic', 'Georgian', 'Greek', 'Gujarati'],
  ...['Gurmukhi', 'Han', 'Hangul', 'Hebrew', 'Hiragana', 'Kannada', 'Katakana', 'Khmer', 'Lao', 'Latin', 'Malayalam'],
  ...['Myanmar', 'Oriya', 'Sinhala', 'Tamil', 'Telugu', 'Thaana', 'Thai', 'Tibetan'],
].map(name => ({ name, letter: new RegExp(`\\p{Script=${name}}`, 'u') }));
const OTHER = 'another';

/** In which of them a name is written. */
function scriptsOf(person: NamedPerson): string[] {
  const letters = namePartsOf(person).join('');
  const found = SCRIPTS.filter(({ letter }) => letter.test(letters)).map(({ name }) => name);
  return found.length > 0 ? found : [OTHER];
}

/**
 * What is kept of somebody whom an expert declares. Beside the {@link compositesOf} the person: the date of birth with each script of
 * the name.
 */
export const declaredAs = (person: NamedPerson): string[] => [
  ...compositesOf(person),
  ...bornAndWritten(person, scriptsOf(person)),
];

/**
 * What somebody whom the expert must not know is looked for by: the counterpart of {@link declaredAs}. Beside the
 * {@link compositesOf} the person: the date of birth with each script in which the name is not.
 */
export function soughtAs(person: NamedPerson): string[] {
  const own = scriptsOf(person);
  const others = [...SCRIPTS.map(({ name }) => name), OTHER].filter(name => !own.includes(name));
  return [...compositesOf(person), ...bornAndWritten(person, others)];
}

const bornAndWritten = ({ date_of_birth }: NamedPerson, scripts: readonly string[]): string[] =>
  date_of_birth === undefined ? [] : scripts.map(script => `born ${date_of_birth}, written in ${script} script`);

/**
 * What of a person is compared. A single name without a date of birth says too little: it agrees with nobody who has more than it.
 */
function compositesOf(person: NamedPerson): string[] {
  const parts = namePartsOf(person);
  const pairs = parts.flatMap((one, i) => parts.slice(i + 1).map(other => `name ${one} ${other}`));
  const dated = person.date_of_birth === undefined ? [] : parts.map(part => `born ${person.date_of_birth} ${part}`);
  // Where one writer sets a space, another sets none.
  const joined = parts.length > 0 ? [`letters ${[...parts.join('')].sort().join('')}`] : [];
  return [...pairs, ...joined, ...dated];
}

/** Whether what is declared and what is sought, or the hashes of that, have one in common. */
export const isTied = (declared: readonly string[], against: readonly string[]): boolean => {
  const known = new Set(declared);
  return against.some(composite => known.has(composite));
};
