import { registerHooks } from 'node:module';

/**
 * Takes the first wall away: what the application decides of who may what is replaced, as the sources are loaded, by yes, and
 * put back by a word. Nothing of this is known to the sources. Import what is to be without it only after `undermine`.
 */

/** The checks, and what stands in their place: everybody is everything to everything, and no query names an agency. */
const CHECKS: Record<string, Record<string, string>> = {
  'src/core/access.ts': {
    authorise: '() => {}',
    isAllowed: '() => true',
    hasRole: '() => true',
    coordinates: '() => true',
  },
  'src/cases/decisions/access.ts': {
    decisionStanding: "async () => ({ relations: ['owner', 'authority', 'supporter', 'coordinator'], decides: true })",
    standingTo: '({ relations }) => relations',
  },
  'src/cases/view.ts': { caseRelations: "async () => ['owner', 'holder', 'coordinator']" },
  'src/referrals/locked.ts': {
    referralRelations: "() => ['owner', 'sender', 'receiver', 'coordinator']",
    ownOffer: '(_, offers) => offers.at(-1)',
  },
  'src/experts/roster.ts': { expertRelations: "() => ['self']" },
  'src/experts/request-view.ts': { partiesOf: "() => ['requester', 'keeper']" },
  'src/referrals/disclosures.ts': { disclosureRelations: "async () => ['owner', 'holder', 'coordinator']" },
  'src/timers/view.ts': { timerRelations: "() => ['responsible', 'owner', 'sender', 'receiver', 'supporter', 'coordinator']" },
  'src/access/commands.ts': { relationsTo: "() => ['self', 'admin']" },
  'src/agencies/commands.ts': { relationsTo: "() => ['reader', 'self', 'admin']" },
  'src/audit/store.ts': {
    findEntry: "(tx, index) => tx.selectFrom('audit_log').selectAll().where('index', '=', index).executeTakeFirst()",
  },
  'src/webhooks/store.ts': {
    endpoints: "tx => tx.selectFrom('webhook_endpoints').selectAll().where('deleted_at', 'is', null)",
    findEndpointOfDelivery: `async (tx, _, id) =>
      (await tx.selectFrom('deliveries').select('endpoint_id').where('id', '=', id).executeTakeFirst())?.endpoint_id`,
  },
};

const state = globalThis as { first_wall_is_down?: boolean };

export const firstWall = {
  takeDown: () => {
    state.first_wall_is_down = true;
  },
  putUp: () => {
    state.first_wall_is_down = false;
  },
};

/**
 * From now on the checks are loaded so that the wall can be taken down.
 * @returns which files of theirs were not loaded since
 * @throws where a check is not where it was
 */
export function undermine(): () => string[] {
  const loaded: string[] = [];
  registerHooks({
    load(url, context, nextLoad) {
      const result = nextLoad(url, context);
      const file = Object.keys(CHECKS).find(name => url.endsWith(`/${name}`));
      if (!file) return result;
      loaded.push(file);
      return { ...result, source: Object.entries(CHECKS[file]!).reduce(replaceable, String(result.source)) };
    },
  });
  return () => Object.keys(CHECKS).filter(file => !loaded.includes(file));
}

/** The source with this declaration under another name, and one in its place that asks whether the wall stands. */
function replaceable(source: string, [name, open]: [string, string]): string {
  const declaration = new RegExp(`^(export )?((?:async )?function|const) ${name}\\b`, 'm');
  const [found, exported = '', keyword] = declaration.exec(source) ?? [];
  if (found === undefined) throw new Error(`there is no ${name} any more`);
  return `${source.replace(found, `${keyword} checked_${name}`)}
${exported}function ${name}(...args) {
  return globalThis.first_wall_is_down ? (${open})(...args) : checked_${name}(...args);
}
`;
}
