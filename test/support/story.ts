import { SERVICES } from '../../src/core/codes.ts';
import type { DemoAgencyKey } from '../../src/demo.ts';
import type { TestApp } from './app.ts';
import { drain } from './drain.ts';
import { type Entry, everyEntry } from './entries.ts';
import { all, MINUTE, type ToldEvent } from './journey.ts';
import type { Answer, Client, Mechanism } from './mechanism.ts';
import { caseBody, consentBody, ok, PERSON, referralBody } from './night.ts';
import { countedOn } from './own-system.ts';

/**
 * The words in which a story is told: who did what, what the trail says of it, what each agency was told, which clocks run.
 * Each is a list of lines, and a list goes on where the one before it ended, so that a story reads from top to bottom.
 */

/** An agency's worker, or its supervisor. */
export type Who = DemoAgencyKey | `${DemoAgencyKey} supervisor`;

interface Beginning {
  by?: Who;
  kase?: object;
  /** What the person agreed to; `[]` for nothing. */
  consents?: object[];
  referral?: object;
}

/** What no event may hold: a person's data, or the service that was asked for. */
const UNSPEAKABLE = [
  'CANARY',
  PERSON.given_name,
  PERSON.family_name,
  PERSON.date_of_birth,
  PERSON.safe_contact.value,
  ...SERVICES.map(service => JSON.stringify(service)),
];

/** The clocks of every case, whatever becomes of its referrals: `floors.test.ts` tells of them. */
const OWED_FROM_THE_BEGINNING = /\b(screening|immediate_needs|authority_notification)$/;

const SHELTERED: readonly DemoAgencyKey[] = ['shelter_a', 'shelter_b'];

/** Tells stories in one mechanism, each of one case. */
export function storyteller({ services, clock }: TestApp, { as, agencies }: Mechanism) {
  const keys = Object.keys(agencies) as DemoAgencyKey[];
  const key_of = new Map(keys.map(key => [agencies[key].id, key]));
  /** What the storyteller looked at is no part of the story. */
  const own_reads = new Set<string>();
  const pulled = new Map<DemoAgencyKey, { events: ToldEvent[]; after: string }>();

  const person = (who: Who): Client => {
    const [key, supervisor] = who.split(' ') as [DemoAgencyKey, string | undefined];
    return as(key, supervisor ? 'supervisor' : 'worker');
  };
  const aside = (client: Client): Client => ({
    ...client,
    async get(path, headers) {
      const answer = await client.get(path, headers);
      own_reads.add(String(answer.headers['audit-receipt']));
      return answer;
    },
  });

  /** "who outcome action code": `shelter_a done referral.decline no_capacity`. */
  const lineOf = ({ meta: { actor, outcome, action, code } }: Entry): string =>
    [nameOf(actor), outcome, action, ...(code === null ? [] : [code])].join(' ');

  function nameOf({ agency_id, client_id, caseworker }: Entry['meta']['actor']): string {
    if (agency_id === null) return client_id.replace('system:', '');
    const key = key_of.get(agency_id)!;
    return caseworker === agencies[key].caseworkers[1].staff_code ? `${key} supervisor` : key;
  }

  /** The lines that `auditor` finds, oldest first, without the storyteller's own. */
  const linesFor = async (auditor: Who, query: string): Promise<string[]> => {
    const entries = await everyEntry(aside(person(auditor)), `order=oldest&${query}`);
    const lines = entries.filter(({ receipt }) => !own_reads.has(receipt)).map(lineOf);
    return lines.filter(line => !OWED_FROM_THE_BEGINNING.test(line));
  };

  /** Everybody's system takes events, so that nobody is passed by for want of one. */
  let listening: Promise<unknown> | undefined;
  const listen = () => {
    const endpoint = { url: 'http://127.0.0.1:9/hook', event_types: ['*'] };
    listening ??= Promise.all(keys.map(async key => ok(await as(key, 'supervisor').post('/v1/webhook-endpoints', endpoint))));
    return listening;
  };

  /** A case, what was agreed to, and a referral where one is described. */
  async function begin({ by = 'helpline_a', kase: about = {}, consents = [{}], referral: asked }: Beginning = {}) {
    const [sender_key] = by.split(' ') as [DemoAgencyKey];
    await listen();
    const began_at = clock.now().getTime();
    const kase = ok(await person(by).post('/v1/cases', caseBody(about as never)));
    const path = `/v1/cases/${kase.id}`;
    const grants: Answer['body'][] = [];
    for (const grant of consents) grants.push(ok(await person(by).post(`${path}/consents`, consentBody(grant as never))));
    const referral_ids = new Set<string>();
    const refer = async (more: object): Promise<Answer['body']> => {
      const made = ok(await person(by).post(`${path}/referrals`, referralBody(more as never)));
      referral_ids.add(made.id);
      return made;
    };
    const referral = asked && (await refer(asked));

    /** Who may be told the id of the case. */
    const knowing = new Set<DemoAgencyKey>([sender_key, 'committee']);
    /** Sheltered places that the person's consent names. */
    const named = new Set(
      consents.map(grant => key_of.get((grant as { recipient?: { agency_id: string } }).recipient?.agency_id ?? '')),
    );
    const heard = new Map<string, number>();
    const goOn = (reader: string, lines: string[]): string[] => {
      const from = heard.get(reader) ?? 0;
      heard.set(reader, lines.length);
      return lines.slice(from);
    };

    const attempt = (who: Who, verb: string, body: object = {}, id: string = referral!.id): Promise<Answer> =>
      person(who).post(`/v1/referrals/${id}/${verb}`, body);

    return {
      kase,
      grants,
      referral,
      path,
      knowing,
      refer,

      /** Does it, and says where the referral then stands for whoever did. */
      async act(who: Who, verb: string, body: object = {}, id?: string): Promise<string> {
        return ok(await attempt(who, verb, body, id)).status;
      },

      /** Tries it, and says how that was answered: `409 wrong_state`. */
      async refused(who: Who, verb: string, body: object = {}, id?: string): Promise<string> {
        const { status, body: problem } = await attempt(who, verb, body, id);
        return `${status} ${problem.code}`;
      },

      /** Reads the referral, which the trail keeps. */
      read: async (who: Who, id: string = referral!.id): Promise<Answer['body']> =>
        ok(await person(who).get(`/v1/referrals/${id}`)),

      async withdraw(more: object = {}, grant = grants[0]): Promise<void> {
        ok(await person(by).post(`/v1/consents/${grant.id}/withdraw`, { spoken_in_private: true, ...more }));
      },

      /** What was done, seen and refused on the case since it was last asked for, as the audit body reads it. */
      async trail(): Promise<string[]> {
        await drain(services);
        return goOn('trail', await linesFor('audit_body', `case_id=${kase.id}`));
      },

      /** What the agency was told of the case since it was last asked for; a line says `!` where an event should not be so. */
      async told(key: DemoAgencyKey): Promise<string[]> {
        await drain(services);
        return goOn(`told ${key}`, await toldSoFar(key));
      },

      /** Who was told something of the case that nobody has asked for yet. */
      async othersTold(): Promise<DemoAgencyKey[]> {
        await drain(services);
        const others: DemoAgencyKey[] = [];
        for (const key of keys) if ((await toldSoFar(key)).length > (heard.get(`told ${key}`) ?? 0)) others.push(key);
        return others;
      },

      /** The clocks of the case that concern the agency, the next due first, then by name: "name state responsible due". */
      async timers(key: DemoAgencyKey): Promise<string[]> {
        const rows = await all(aside(as(key)), '/v1/timers');
        rows.sort((a, b) => Date.parse(a.due_at) - Date.parse(b.due_at) || a.name.localeCompare(b.name));
        const ours = rows.filter(
          ({ name, subject, referral_id }) =>
            (referral_ids.has(referral_id) || subject.id === kase.id) && !OWED_FROM_THE_BEGINNING.test(name),
        );
        return ours.map(({ name, state, responsible_agency_id, due_at, started_at, clock }) => {
          const responsible = responsible_agency_id === undefined ? 'placed' : key_of.get(responsible_agency_id);
          const due = clock === 'elapsed' ? after(Date.parse(due_at) - began_at) : daysAfter(started_at, due_at);
          return `${name} ${state} ${responsible} ${due}`;
        });
      },
    };

    async function toldSoFar(key: DemoAgencyKey): Promise<string[]> {
      const events = await pull(key);
      const ours = events.filter(({ data }) => referral_ids.has(data.referral_id) || data.case_id === kase.id);
      const lines = ours.map(event => [lineOfEvent(event), ...faultsOf(key, event, events)].join(' '));
      return lines.filter(line => !OWED_FROM_THE_BEGINNING.test(line));
    }

    function faultsOf(key: DemoAgencyKey, { data }: ToldEvent, events: readonly ToldEvent[]): string[] {
      const text = JSON.stringify(data);
      const position = events.findIndex(event => event.data === data) + 1;
      const sequence = events.slice(0, position).filter(event => countedOn(event) === countedOn({ data })).length;
      return [
        UNSPEAKABLE.some(word => text.includes(word)) && '!says too much',
        text.includes(kase.id) && !knowing.has(key) && '!names the case',
        SHELTERED.some(it => it !== key && !named.has(it) && text.includes(agencies[it].id)) && '!names a shelter',
        data.position !== position && `!position ${data.position} for ${position}`,
        data.sequence !== sequence && `!sequence ${data.sequence} for ${sequence}`,
      ].filter(fault => fault !== false);
    }
  }

  /** All that the agency was told so far: what it did not have yet is pulled. */
  async function pull(key: DemoAgencyKey): Promise<ToldEvent[]> {
    const known = pulled.get(key) ?? { events: [], after: '' };
    pulled.set(key, known);
    for (let more = true; more; ) {
      const { data, next_cursor } = ok(await aside(as(key, 'nobody')).get(`/v1/events?limit=200${known.after}`));
      known.events.push(...data);
      if (next_cursor !== null) known.after = `&after=${next_cursor}`;
      more = data.length === 200;
    }
    return known.events;
  }

  /** Lets time pass, and the worker do what then falls due. */
  async function wait(ms: number): Promise<void> {
    clock.advance(ms);
    await drain(services);
  }

  /** The shelters in this order, whatever falls otherwise: the first works in the language of the person. */
  async function preferShelter(first: DemoAgencyKey): Promise<void> {
    for (const key of SHELTERED) await setService(key, 'shelter_accommodation', { languages: [key === first ? 'ar' : 'fr'] });
  }

  /** Changes a service of the agency, or adds it. */
  async function setService(key: DemoAgencyKey, service: string, change: object = {}): Promise<void> {
    const supervisor = as(key, 'supervisor');
    const path = `/v1/agencies/${agencies[key].id}/services/${service}`;
    const found = await supervisor.get(path);
    if (found.status === 404) {
      ok(await supervisor.put(path, { ...NEW_SERVICE, ...change }, { 'if-none-match': '*' }));
      return;
    }
    const known = Object.fromEntries(Object.keys(NEW_SERVICE).map(name => [name, found.body[name]]));
    ok(await supervisor.put(path, { ...known, ...change }, { 'if-match': '*' }));
  }

  const placesOf = (key: DemoAgencyKey) => `/v1/agencies/${agencies[key].id}/services/shelter_accommodation/capacity`;
  const setPlaces = async (key: DemoAgencyKey, total: number): Promise<void> => {
    const supervisor = as(key, 'supervisor');
    const { held } = ok(await supervisor.get(placesOf(key)));
    ok(await supervisor.put(placesOf(key), { total: held + total, held_elsewhere: 0 }));
  };
  const placesLeft = async (key: DemoAgencyKey): Promise<number> => ok(await as(key, 'supervisor').get(placesOf(key))).available;

  return { begin, linesFor, person, wait, preferShelter, setService, setPlaces, placesLeft };
}

/** `referral.accepted`; of a clock, which one: `timer.breached respond`. */
const lineOfEvent = ({ type, data }: ToldEvent): string => (data.timer ? `${type} ${data.timer}` : type);

/** `+1h15m` since the story began. */
function after(ms: number): string {
  const minutes = Math.round(ms / MINUTE);
  const [days, hours] = [Math.floor(minutes / 1440), Math.floor((minutes % 1440) / 60)];
  const rest = minutes % 60;
  return `+${days ? `${days}d` : ''}${hours ? `${hours}h` : ''}${rest || minutes === 0 ? `${rest}m` : ''}`;
}

export const NEW_SERVICE = {
  regions: [],
  sexes: [],
  min_age: null,
  max_age: null,
  accepts_dependants: true,
  languages: [],
  protection_statuses: [],
  intake_hours: null,
  location_protected: false,
  status: 'active',
  suspended_reason: null,
};

/** "day 14": in the time zone of the illustrative packs, whatever the hour. */
function daysAfter(from: string, to: string): string {
  const [start, end] = [from, to].map(at => Temporal.Instant.from(at).toZonedDateTimeISO('Africa/Cairo').toPlainDate());
  return `day ${start!.until(end!).days}`;
}
