import type { DemoAgencyKey } from '../../src/demo.ts';
import { newId } from '../../src/platform/ids.ts';
import type { Mechanism } from './mechanism.ts';

/**
 * What a fuzzer has learnt of a running mechanism from the answers so far: which ids there are, and who saw them as what. With
 * it requests can be aimed, so that they go deep instead of being refused at the door.
 */

// biome-ignore lint/suspicious/noExplicitAny: whatever came
export type View = any;

export interface Seen {
  id: string;
  by: DemoAgencyKey;
  view: View;
}

const ID = /^([a-z]{3})_[0-7][0-9a-hjkmnp-tv-z]{25}$/;
/** So many of the latest are aimed at. */
const AT_HAND = 80;

export class World {
  readonly keys: DemoAgencyKey[];
  readonly agencies: Mechanism['agencies'];
  private readonly views = new Map<string, Map<DemoAgencyKey, View>>();
  private readonly ids = new Map<string, Set<string>>();
  private readonly cursors = new Map<string, string>();
  /** Without them the fuzzer would shut itself out. */
  private readonly kept = new Set<string>();

  constructor({ agencies }: Mechanism) {
    this.agencies = agencies;
    this.keys = Object.keys(agencies) as DemoAgencyKey[];
    for (const { id, client_id } of Object.values(agencies)) {
      this.note(id);
      this.note(client_id);
      this.kept.add(id).add(client_id);
    }
  }

  /** Keeps what an answer tells. */
  learn(by: DemoAgencyKey, operation: string, body: View): void {
    if (typeof body?.next_cursor === 'string') this.cursors.set(`${by} ${operation}`, body.next_cursor);
    this.walk(by, body);
  }

  private walk(by: DemoAgencyKey, node: View): void {
    if (typeof node === 'string') this.note(node);
    if (typeof node !== 'object' || node === null) return;
    for (const member of Object.values(node)) this.walk(by, member);
    const { id, version } = node;
    if (typeof id !== 'string' || !ID.test(id)) return;
    const known = this.views.get(id) ?? new Map<DemoAgencyKey, View>();
    // Latest last.
    this.views.delete(id);
    this.views.set(id, known);
    const before = known.get(by);
    known.set(by, before?.version === version ? { ...before, ...node } : node);
    if (this.views.size > 5_000) this.views.delete(this.views.keys().next().value!);
  }

  private note(text: string): void {
    const prefix = ID.exec(text)?.[1];
    if (!prefix) return;
    const known = this.ids.get(prefix) ?? new Set();
    this.ids.set(prefix, known.add(text));
    if (known.size > 400) known.delete([...known][50]!);
  }

  /** Those caseworkers are kept with whose codes everything is asked. */
  keep(ids: readonly string[]): void {
    for (const id of ids) this.kept.add(id);
  }

  isKept = (id: string): boolean => this.kept.has(id);

  anyId(prefix: string, pick: number): string {
    const known = [...(this.ids.get(prefix) ?? [])];
    return known.length > 0 && pick % 20 > 0
      ? known[known.length - 1 - (pick % Math.min(known.length, AT_HAND))]!
      : newId(prefix as never);
  }

  cursor = (by: DemoAgencyKey, operation: string): string | undefined => this.cursors.get(`${by} ${operation}`);

  /** What somebody saw of the latest things of a kind. */
  seen(prefix: string, suits: (view: View, by: DemoAgencyKey) => boolean = () => true): Seen[] {
    const found: Seen[] = [];
    for (const [id, known] of this.views) {
      if (!id.startsWith(`${prefix}_`)) continue;
      const latest = Math.max(...[...known.values()].map(view => view.version ?? 0));
      for (const [by, view] of known) if ((view.version ?? 0) === latest && suits(view, by)) found.push({ id, by, view });
    }
    return found.slice(-AT_HAND);
  }

  /** Whether somebody has read a thing, and not only seen it in a list, as it now is. */
  hasRead(id: string, by: DemoAgencyKey, version: number): boolean {
    const view = this.views.get(id)?.get(by);
    return view?.version === version && 'allowed_actions' in view;
  }

  keyOf = (agency_id: string): DemoAgencyKey | undefined => this.keys.find(key => this.agencies[key].id === agency_id);
}
