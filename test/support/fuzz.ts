import fc from 'fast-check';
import { SCOPES, type Scope } from '../../src/core/codes.ts';
import { prefixOf } from '../../src/core/ids.ts';
import type { DemoAgencyKey } from '../../src/demo.ts';
import { newId } from '../../src/platform/ids.ts';
import type { TestApp } from './app.ts';
import { tracesOf } from './canaries.ts';
import { drain } from './drain.ts';
import { type Aim, aimAt, type Chance } from './fuzz-aims.ts';
import { type Answered, faultsOf, type Operation, type Published, readDocument } from './fuzz-document.ts';
import { type Change, changeAnywhere, type Distortion, distortion, type FuzzRequest } from './fuzz-nonsense.ts';
import { filled, fitted, type Slot, type Template, valuesOf } from './fuzz-values.ts';
import { World } from './fuzz-world.ts';
import type { Mechanism } from './mechanism.ts';

/**
 * A fuzzer of the whole HTTP side. fast-check draws what a request is made of from the published document; here it meets what
 * is known of the mechanism, is sent, and its answer is held against what must be true of every answer. It goes on when
 * something is wrong, so that one run tells everything that it finds.
 */

/** Begins every canary; what follows it tells them apart. */
export const CANARY = 'CANARY-';
/** Personal days lie in years in which nothing else here happens. */
export const PERSONAL_DAY = /\b19[5-9]\d-\d\d-\d\d\b/;

/** What fast-check draws for a request. */
interface Draft {
  operation: Operation;
  query: Record<string, Template>;
  path: Record<string, Template>;
  body: Template;
  changes: Change[];
  distortions: Distortion[];
  /** For everything that depends on what is known when it is sent. */
  chances: fc.Stream<number>;
}

export function draftsOf(document: Published): fc.Arbitrary<Draft> {
  const valueFor = valuesOf(document);
  const of = (operation: Operation): fc.Arbitrary<Draft> => {
    const parameters = (where: string) =>
      fc.record(
        Object.fromEntries(
          operation.parameters
            .filter(it => it.in === where && it.name !== 'wait')
            .map(({ name, required, schema }) => [name, required ? valueFor(schema, name) : seldom(valueFor(schema, name))]),
        ),
      );
    // Three in five are as they should be, one in five is slightly wrong, one in five wildly.
    const wrong: fc.Arbitrary<Pick<Draft, 'changes' | 'distortions'>> = fc.oneof(
      { weight: 3, arbitrary: fc.record({ changes: fc.constant<Change[]>([]), distortions: fc.constant<Distortion[]>([]) }) },
      {
        weight: 1,
        arbitrary: fc.record({
          changes: fc.array(changeAnywhere, { minLength: 1, maxLength: 1 }),
          distortions: fc.constant<Distortion[]>([]),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          changes: fc.array(changeAnywhere, { maxLength: 3 }),
          distortions: fc.array(distortion, { minLength: 1, maxLength: 3 }),
        }),
      },
    );
    return fc
      .record({
        query: parameters('query'),
        path: parameters('path'),
        body: operation.body ? valueFor(operation.body.schema) : fc.constant(undefined),
        wrong,
        chances: fc.infiniteStream(fc.noBias(fc.nat())),
      })
      .map(({ wrong, ...rest }) => ({ operation, ...rest, ...wrong }));
  };
  // What takes a body has more to go wrong.
  return fc.oneof(...document.operations.map(it => ({ weight: it.body ? 2 : 1, arbitrary: of(it) })));
}

const seldom = <T>(it: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: it });

interface Tally {
  sent: number;
  by_status: Map<number, number>;
}

const MOST_FAULTS = 25;
/** Done to those by whom everything is asked, these would leave nobody to ask. */
const SHUTS_OUT = ['revokeClient', 'changeCaseworker'];

/** What a fuzzer needs beside the app. */
interface Outside {
  /** Where webhooks may be posted to. */
  url: string;
  /** Posts what is due. */
  deliver(): Promise<unknown>;
  /** Brings more referrals under way. */
  restock(): Promise<unknown>;
  /** Of every row, but for those of the trail: what a refusal must leave as it was. */
  state(): Promise<string>;
}

interface Meant {
  by: DemoAgencyKey;
  request: FuzzRequest;
  /** It is what the schemas ask for, and the rules that no schema tells. */
  is_right: boolean;
}

export class Fuzz {
  readonly faults = new Map<string, string>();
  readonly tally = new Map<string, Tally>();
  readonly world: World;
  readonly document: Published;
  canaries = 0;
  private readonly it: TestApp;
  private readonly they: Mechanism;
  private readonly outside: Outside;
  private readonly isTold = tracesOf(CANARY);
  private readonly done: { by: DemoAgencyKey; request: FuzzRequest }[] = [];
  private sent = 0;

  constructor(it: TestApp, they: Mechanism, outside: Outside) {
    this.it = it;
    this.they = they;
    this.outside = outside;
    this.world = new World(they);
    this.document = readDocument(it.app.openapi());
    for (const { id } of this.document.operations) this.tally.set(id, { sent: 0, by_status: new Map() });
  }

  /** Sends what was drafted, and now and then lets time pass or looks around. */
  async run(draft: Draft): Promise<void> {
    const chance: Chance = below => draft.chances.next().value % below;
    const { by, request, is_right } = await this.requestOf(draft, chance);
    const is_watched = chance(12) === 0;
    const before = is_watched ? await this.outside.state() : '';
    const answer = await this.send(by, request);
    if (is_watched && answer.status >= 400 && before !== (await this.outside.state()))
      this.blame(request, by, answer, ['was refused, and something has changed']);
    if (is_right && saysInvalid(answer))
      this.blame(request, by, answer, ['is as the document asks, and is refused as invalid'], draft.operation);
    if (answer.status === 201) await this.readMade(by, request, answer);
    if (answer.status < 300 && request.headers['idempotency-key']) this.done.push({ by, request });
    if (this.done.length > 20) this.done.shift();

    this.it.clock.advance(chance(4_000));
    if (chance(150) === 0) this.it.clock.advance(chance(100) * 60_000);
    if (chance(30) === 0) await drain(this.it.services);
    this.sent += 1;
    if (this.sent % 400 === 0) await this.outside.restock();
    if (this.sent % 200 === 0) await this.lookAround();
    if (this.faults.size >= MOST_FAULTS) throw new Error('enough is wrong to stop here');
  }

  private async requestOf(draft: Draft, chance: Chance): Promise<Meant> {
    // The same again, with its key.
    const again = chance(60) === 0 ? this.done[chance(Math.max(1, this.done.length))] : undefined;
    if (again)
      return {
        by: again.by,
        is_right: false,
        request: { ...again.request, headers: { ...again.request.headers, ...(await this.login(again.by)) } },
      };

    const { operation, changes, distortions } = draft;
    const aimed = chance(20) > 0 ? aimAt(this.world, operation.id, chance, this.it.clock.now()) : undefined;
    const aim = aimed ?? this.stray(chance);
    const { by } = aim;
    const fill = (slot: Slot) => this.fill(slot, by, operation);
    const path = { ...(filled(draft.path, fill) as Record<string, string>), ...aim.params };
    if (SHUTS_OUT.includes(operation.id) && this.world.isKept(path.id!)) path.id = newId(prefixOf(path.id!)!);
    const query = Object.entries(filled(draft.query, fill) as Record<string, unknown>).filter(([, value]) => value !== undefined);
    const search = query.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join('&');
    const url =
      operation.path.replaceAll(/\{([\w*]+)\}/g, (_, name) => encodeURIComponent(path[name] ?? '')) + (search && `?${search}`);

    const headers = await this.headersOf(operation, aim, chance);
    const template = operation.body && { ...(draft.body as object), ...aim.body };
    const meant = filled(withoutUndefined(template), fill);
    const body = changes.reduce((value, change) => change(value), meant);
    const form = operation.body?.types[0] === 'application/x-www-form-urlencoded';
    const request: FuzzRequest = {
      method: operation.method,
      url,
      headers: {
        ...headers,
        ...(operation.body ? { 'content-type': operation.body.types[chance(operation.body.types.length)]! } : {}),
      },
      ...(operation.body ? { payload: form ? this.formOf(body, by, chance) : (JSON.stringify(body) ?? '') } : {}),
    };
    return {
      by,
      request: distortions.reduce((it, distort) => distort(it), request),
      is_right: aimed !== undefined && changes.length + distortions.length === 0,
    };
  }

  private stray(chance: Chance): Aim {
    const { keys } = this.world;
    return {
      by: keys[chance(keys.length)]!,
      staff: (['worker', 'worker', 'supervisor', 'supervisor', 'nobody'] as const)[chance(5)],
    };
  }

  private fill({ kind, of, pick, around, most }: Slot, by: DemoAgencyKey, operation: Operation): unknown {
    const now = this.it.clock.now().getTime();
    switch (kind) {
      case 'id':
        return of === 'url' ? `${this.outside.url}/${pick % 1_000}` : this.world.anyId(of, pick);
      case 'staff':
        return this.world.agencies[pick % 3 ? by : this.world.keys[pick % this.world.keys.length]!].caseworkers[pick % 2]!
          .staff_code;
      case 'cursor':
        return this.world.cursor(by, operation.id);
      case 'instant': {
        const ahead = ['expires_at', 'review_at', 'next_review_at', 'due_before', 'to'].includes(of);
        return new Date(now + (ahead ? 1 : -1) * (pick % (ahead ? 90 * 86_400_000 : 3_600_000))).toISOString();
      }
      case 'personal': {
        this.canaries += 1;
        if (of === 'day') return `19${50 + (pick % 50)}-0${1 + (pick % 9)}-1${pick % 10}`;
        return fitted(`${CANARY}${this.canaries.toString(36)} ${around}`, most);
      }
    }
  }

  private async headersOf(
    operation: Operation,
    { by, staff = 'worker', version }: Aim,
    chance: Chance,
  ): Promise<FuzzRequest['headers']> {
    const names = new Set(operation.parameters.filter(it => it.in === 'header').map(({ name }) => name));
    const { caseworkers } = this.world.agencies[by];
    const scopes = operation.is_closed && chance(15) === 0 ? SCOPES.filter(() => chance(2) === 0) : SCOPES;
    const needs_version = ['PUT', 'PATCH'].includes(operation.method);
    return {
      ...(operation.is_closed ? await this.login(by, scopes) : {}),
      ...(operation.is_closed && staff !== 'nobody'
        ? { 'acting-caseworker': caseworkers[staff === 'worker' ? 0 : 1].staff_code }
        : {}),
      ...(names.has('Access-Reason') && chance(3) > 0 ? { 'access-reason': `${CANARY}reason ${chance(100)}` } : {}),
      ...(names.has('Idempotency-Key') && chance(4) === 0 ? { 'idempotency-key': `key ${chance(2_000)}` } : {}),
      ...(names.has('If-None-Match') && chance(2) ? { 'if-none-match': '*' } : this.ifMatch(needs_version, version, chance)),
    };
  }

  private ifMatch(needed: boolean, version: number | undefined, chance: Chance): FuzzRequest['headers'] {
    if (needed ? chance(20) === 0 : chance(10) > 0) return {};
    return { 'if-match': version !== undefined && chance(2) ? `"${version}"` : chance(8) ? '*' : '"7"' };
  }

  private async login(by: DemoAgencyKey, scopes: readonly Scope[] = SCOPES): Promise<FuzzRequest['headers']> {
    return { authorization: `Bearer ${await this.they.tokenFor(by, scopes)}` };
  }

  /** A log-in: right more often than not. */
  private formOf(body: unknown, by: DemoAgencyKey, chance: Chance): string {
    const { client_id, client_secret } = this.world.agencies[by];
    const good = { grant_type: 'client_credentials', client_id, client_secret };
    const given = chance(3) ? good : { ...(body as object), ...(chance(2) ? good : {}) };
    const members = Object.entries(given).map(([name, value]): [string, string] => [name, String(value).toWellFormed()]);
    return new URLSearchParams(members).toString();
  }

  /** Sends it and holds the answer to what must be true of every answer. */
  async send(by: DemoAgencyKey, request: FuzzRequest): Promise<Answered> {
    const remoteAddress = `203.0.${(this.sent >> 8) % 256}.${this.sent % 256}`;
    if (request.url.startsWith('/v1/audit/')) await this.it.sequence();
    const response = await this.it.app.inject({ ...request, remoteAddress } as never);
    const answer: Answered = {
      status: response.statusCode,
      headers: response.headers as Answered['headers'],
      text: response.payload,
    };
    const operation = this.document.find(request.method, request.url);
    const faults = faultsOf(this.document, request.method, operation, answer);
    const outside = JSON.stringify(answer.headers) + (answer.status >= 400 ? answer.text : '');
    if (this.isTold(outside) || PERSONAL_DAY.test(outside)) faults.push('tells personal data');
    if (faults.length > 0) this.blame(request, by, answer, faults, operation);

    const tally = operation && this.tally.get(operation.id);
    if (tally) {
      tally.sent += 1;
      tally.by_status.set(answer.status, (tally.by_status.get(answer.status) ?? 0) + 1);
    }
    if (answer.status < 300 && answer.text.startsWith('{') && operation?.id !== 'exportLog')
      this.world.learn(by, operation?.id ?? '', JSON.parse(answer.text));
    return answer;
  }

  /** What was made can be read where the answer says. */
  private async readMade(by: DemoAgencyKey, { headers }: FuzzRequest, { headers: { location } }: Answered): Promise<void> {
    const { authorization, 'acting-caseworker': staff, 'access-reason': reason } = headers as Record<string, string>;
    const request = {
      method: 'GET',
      url: String(location),
      headers: {
        authorization,
        ...(staff ? { 'acting-caseworker': staff } : {}),
        ...(reason ? { 'access-reason': reason } : {}),
      },
    } as FuzzRequest;
    const answer = await this.send(by, request);
    if (answer.status !== 200 && answer.status !== 403) this.blame(request, by, answer, ['is a Location that cannot be read']);
  }

  /** Everybody looks at what there is, so that later requests know of it. */
  async lookAround(): Promise<void> {
    await drain(this.it.services);
    await this.outside.deliver();
    for (const by of this.world.keys) {
      const look = async (url: string, staff: 0 | 1 = 0) => {
        const headers = {
          ...(await this.login(by)),
          'acting-caseworker': this.world.agencies[by].caseworkers[staff].staff_code,
          'access-reason': `${CANARY}look`,
        };
        return this.send(by, { method: 'GET', url, headers });
      };
      if (by === 'audit_body') continue;
      const inbox = await look('/v1/referrals?box=all&limit=40');
      for (const { id, version } of JSON.parse(inbox.text).data ?? [])
        if (!this.world.hasRead(id, by, version)) await look(`/v1/referrals/${id}`);
      await look('/v1/timers?limit=100');
      for (const { view } of this.world.seen(
        'ref',
        ({ case_id, deletion_due_at }, reader) => reader === by && case_id && deletion_due_at,
      ))
        await look(`/v1/cases/${view.case_id}/disclosures`);
      const endpoints = await look('/v1/webhook-endpoints', 1);
      for (const { id } of JSON.parse(endpoints.text).data ?? [])
        await look(`/v1/webhook-endpoints/${id}/deliveries?limit=20`, 1);
    }
  }

  private blame(
    request: FuzzRequest,
    by: DemoAgencyKey,
    answer: Answered,
    faults: readonly string[],
    operation?: Operation,
  ): void {
    const { authorization, ...headers } = request.headers;
    const payload = Buffer.isBuffer(request.payload)
      ? { base64: request.payload.toString('base64') }
      : request.payload?.slice(0, 3_000);
    for (const fault of faults) {
      const name = `${operation?.id ?? request.method}: ${fault.replaceAll(/[a-z]{3}_[0-9a-z]{26}/g, '…')}`;
      if (this.faults.has(name)) continue;
      const url = request.url.slice(0, 2_000);
      this.faults.set(
        name,
        JSON.stringify(
          {
            request: {
              by,
              method: request.method,
              url,
              headers,
              authorization: authorization === undefined ? 'none' : String(authorization).slice(0, 12),
              payload,
            },
            answer: { ...answer, text: answer.text.slice(0, 1_500) },
          },
          null,
          1,
        ),
      );
    }
  }
}

const saysInvalid = ({ status, text }: Answered): boolean => {
  if (status !== 400) return false;
  const { code, errors = [] } = JSON.parse(text);
  // A page goes on in the list in which it began.
  return (
    code === 'invalid_request' &&
    !errors.every(({ pointer }: { pointer: string }) => /^querystring:(cursor|after)$/.test(pointer))
  );
};

const withoutUndefined = (template: unknown): Template =>
  template && Object.fromEntries(Object.entries(template as object).filter(([, value]) => value !== undefined));
