import fc from 'fast-check';
import type { Published, Schema } from './fuzz-document.ts';

/**
 * Values made from the schemas of the document. What depends on the moment of sending (an id that exists, a time near now, a
 * canary) is a {@link Slot} until then.
 */
export class Slot {
  readonly kind: 'id' | 'staff' | 'instant' | 'personal' | 'cursor';
  /** The prefix of an id, or the name of the field. */
  readonly of: string;
  /** Chooses among what is known. */
  readonly pick: number;
  /** What stands around a canary, and how long all of it may be. */
  readonly around: string;
  readonly most: number;

  constructor(kind: Slot['kind'], of: string, pick: number, around = '', most = 0) {
    this.kind = kind;
    this.of = of;
    this.pick = pick;
    this.around = around;
    this.most = most;
  }
}

/** A JSON value with slots in it. */
export type Template = unknown;

/** Free words that name no person: everything else that somebody may write in a body is taken for personal. */
const NOT_PERSONAL = [
  'name',
  'duty_contact',
  'intake_hours',
  'eligibility',
  'suspended_reason',
  'description',
  'url',
  'course',
  'reference',
];
const OF_TOKENS = ['grant_type', 'client_id', 'client_secret', 'client_assertion', 'client_assertion_type', 'scope'];
const PERSONAL_DAYS = ['date_of_birth', 'from', 'to'];

const slot = (kind: Slot['kind'], of: string) => fc.noBias(fc.nat()).map(pick => new Slot(kind, of, pick));

/** Words in every script, with what trips up those who count bytes or units. */
export const words = fc.oneof(
  { arbitrary: fc.string({ maxLength: 20 }), weight: 3 },
  { arbitrary: fc.string({ unit: 'grapheme', maxLength: 20 }), weight: 3 },
  fc.constantFrom(
    'ليلى',
    'e\u0301\u0323\u0308',
    '\u202egnirts\u202c',
    '👩🏽‍👧🏽',
    '\u{10ffff}',
    '\u200f',
    "'; drop table x",
    '{{x}}',
    '\ufeff',
    '\u2028',
  ),
);

const storable = words.filter(text => text.isWellFormed() && !text.includes('\0'));

export function valuesOf(document: Published): (schema: Schema, name?: string) => fc.Arbitrary<Template> {
  const known = new Map<string, fc.Arbitrary<Template>>();

  function make(node: Schema, name: string): fc.Arbitrary<Template> {
    const schema = document.resolve(node);
    if (schema.enum) return fc.constantFrom(...schema.enum);
    if ('const' in schema) return fc.constant(schema.const);
    if (schema.anyOf) return fc.oneof(...schema.anyOf.map((it: Schema) => valueFor(it, name)));
    switch (schema.type) {
      case 'string':
        return text(schema, name);
      case 'integer':
        return fc.integer({ min: schema.minimum ?? 0, max: Math.min(schema.maximum ?? 1_000, 2 ** 31) });
      case 'number':
        return fc.double({ min: schema.exclusiveMinimum, minExcluded: true, max: schema.maximum, noNaN: true });
      case 'boolean':
        return fc.boolean();
      case 'null':
        return fc.constant(null);
      case 'array': {
        const item = valueFor(schema.items, name);
        const size = {
          minLength: schema.minItems ?? 0,
          maxLength: Math.min(schema.maxItems ?? 3, Math.max(schema.minItems ?? 0, 3)),
        };
        return schema.uniqueItems
          ? fc.uniqueArray(item, { ...size, comparator: (a, b) => JSON.stringify(a) === JSON.stringify(b) })
          : fc.array(item, size);
      }
      case 'object': {
        const { required = [], properties = {}, minProperties = 0 } = schema;
        const members = Object.entries<Schema>(properties).map(([member, it]) => [member, valueFor(it, member)] as const);
        return fc
          .record(Object.fromEntries(members), { requiredKeys: required })
          .filter(object => Object.keys(object).length >= minProperties);
      }
      case undefined:
        return fc.constantFrom(null, 7, '', [], {});
      default:
        throw new Error(`no values for ${JSON.stringify(schema)}`);
    }
  }

  function text({ pattern, format, maxLength = 100, minLength = 0 }: Schema, name: string): fc.Arbitrary<Template> {
    const prefix = /^\^([a-z]{3})_\[0-7\]/.exec(pattern ?? '')?.[1];
    if (name === 'cursor' || name === 'after') return slot('cursor', name);
    if (prefix) return slot('id', prefix);
    if (pattern === '^[\\x21-\\x7e]{1,64}$') return slot('staff', name);
    if (pattern?.startsWith('^[A-Z]{2}(-')) return fc.constantFrom('XA', 'XA', 'XA', 'XB');
    if (pattern?.startsWith('^[A-Z]{2}-')) return fc.constantFrom('XA-1', 'XA-2', 'XA-1', 'XB-1');
    if (pattern?.startsWith('^[a-z]{2,3}(-'))
      return fc.oneof(
        fc.constantFrom('ar', 'ckb', 'tr', 'en'),
        fc.stringMatching(new RegExp(pattern)).filter(it => it.length <= 35),
      );
    if (pattern) return fc.stringMatching(new RegExp(pattern), { maxLength: Math.min(maxLength, 200) });
    if (format === 'date-time') return slot('instant', name);
    if (format === 'date')
      return PERSONAL_DAYS.includes(name) ? slot('personal', 'day') : fc.constantFrom('2025-01-31', '2024-02-29');
    if (OF_TOKENS.includes(name)) return storable.filter(it => it.length >= minLength);
    if (name === 'url') return fc.nat().map(it => new Slot('id', 'url', it));
    if (NOT_PERSONAL.includes(name))
      return fc.tuple(fc.stringMatching(/^[A-Z][a-z]{3,9}$/), storable).map(it => fitted(it.join(' '), maxLength));
    const around = fc.oneof(
      { arbitrary: storable, weight: 20 },
      fc.constant('x'.repeat(maxLength)),
      fc.constant('🕊'.repeat(maxLength)),
    );
    return fc
      .tuple(fc.noBias(fc.nat()), around)
      .map(([pick, it]) => new Slot('personal', name, pick, it, Math.max(maxLength, minLength)));
  }

  function valueFor(schema: Schema, name = ''): fc.Arbitrary<Template> {
    const key = `${name} ${JSON.stringify(schema)}`;
    const made = known.get(key) ?? make(schema, name);
    known.set(key, made);
    return made;
  }
  return valueFor;
}

/** At most so many characters, as schemas count them. */
export const fitted = (text: string, most: number): string => [...text].slice(0, most).join('');

/** The template with its slots filled. */
export function filled(template: Template, fill: (slot: Slot) => unknown): unknown {
  if (template instanceof Slot) return fill(template);
  if (Array.isArray(template)) {
    const items = template.map(it => filled(it, fill));
    // Slots that differ may be filled alike, and lists of codes and ids hold each once.
    return template.some(it => it instanceof Slot) ? [...new Set(items)] : items;
  }
  if (typeof template !== 'object' || template === null) return template;
  return Object.fromEntries(Object.entries(template).map(([name, it]) => [name, filled(it, fill)]));
}
