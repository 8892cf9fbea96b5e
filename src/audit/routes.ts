import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { Type } from 'typebox';
import type { App } from '../api.ts';
import { answer } from '../platform/http/answer.ts';
import { Closed, document, Id, operation } from '../platform/http/openapi.ts';
import { pageOf } from '../platform/http/paging.ts';
import type { Services } from '../services.ts';
import { exportLog } from './export.ts';
import { confirmInquiry, openInquiry, readInquiry } from './inquiries.ts';
import { readCheckpoint, readConsistencyProof, readInclusionProof, readTileAt, readVerifierKey } from './log.ts';
import { listAuditEntries, readAuditEntry } from './query.ts';
import type { Read } from './read.ts';
import { AuditQuery, EntryView, ExportQuery, InquiryBody, InquiryView, Place, Size } from './schema.ts';

const auditor = { tag: 'Trail', recorded: true, scopes: ['audit.read'], caseworker: true } as const;
const inquiry = { tag: 'Trail', scopes: ['audit.read'], caseworker: true } as const;
const query = { ...auditor, action: 'audit.query' } as const;
const verify = { ...auditor, action: 'audit.verify', problems: ['not_found'] } as const;

/** Each is one call; filters narrow together, newest first unless `order=oldest`. */
const QUESTIONS = `Every filter narrows, alone or with others; cursors stay good while the log grows.

- Who saw this case: \`?case_id=cas_…&outcome=read\`
- What did this caseworker do: \`?agency_id=agy_…&caseworker=CH-1\`
- Which refusals in this week: \`?outcome=denied&from=2026-11-16T00:00:00Z&to=2026-11-23T00:00:00Z\`
- Which disclosures on a lawful ground: \`?lawful_ground=court_order\`
- What became of a referral, from the beginning: \`?referral_id=ref_…&order=oldest\``;

export function auditRoutes(app: App, services: Services): void {
  app.get(
    '/v1/audit/entries',
    operation({
      ...query,
      id: 'listAuditEntries',
      summary: 'Entries of the trail: of the own agency, for the audit body all',
      description: QUESTIONS,
      query: AuditQuery,
      answer: pageOf(EntryView),
    }),
    async (request, reply) => answer(reply, await listAuditEntries(services, request.actor, request.query)),
  );
  app.get(
    '/v1/audit/entries/:index',
    operation({
      ...query,
      id: 'getAuditEntry',
      summary: 'The entry in a place of the log',
      params: Closed({ index: Place() }),
      answer: EntryView,
    }),
    async (request, reply) => answer(reply, await readAuditEntry(services, request.actor, request.params.index)),
  );
  app.get(
    '/v1/audit/export',
    operation({
      ...auditor,
      id: 'exportLog',
      action: 'audit.export',
      problems: ['not_found', 'unprocessable', 'wrong_state'],
      summary: 'The log as a file to be checked offline with `npm run audit:verify`; for the audit body',
      description:
        'One line per entry, in the order of the log. One that broke off is gone on with: `from` the next index, `to` the size of the checkpoint on its first line; then the entries of both are one export under that checkpoint. Records of persons take an inquiry, and count as a disclosure of each case that they tell of.',
      query: ExportQuery,
      answer: document(
        ['application/x-ndjson', 'text/csv'],
        'A line with the checkpoint, then one for each entry; as CSV a header in place of the checkpoint',
      ),
    }),
    async (request, reply) => {
      const { lines, receipt, from, to } = await exportLog(services, request.actor, request.query);
      // No batch is read ahead of whoever takes it.
      const view = Readable.from(lines, { highWaterMark: 1 });
      if (request.query.format !== 'csv')
        return send(reply, 'application/x-ndjson', { view, receipt }, request.query.personal ? 'no-store' : 'private');
      void reply.header('content-disposition', `attachment; filename="trail-${from}-${to}.csv"`);
      return send(reply, 'text/csv; charset=utf-8; header=present', { view, receipt });
    },
  );
  logRoutes(app, services);
  inquiryRoutes(app, services);
}

/** Two auditors agree before records of persons leave with an export. */
function inquiryRoutes(app: App, services: Services): void {
  const params = Closed({ id: Id('inq') });
  app.post(
    '/v1/audit/inquiries',
    operation({
      ...inquiry,
      id: 'openInquiry',
      action: 'inquiry.open',
      problems: ['not_found', 'unprocessable'],
      summary: 'Ask to see what entries of the trail say of persons; for the audit body',
      description: 'Waits for a day until another auditor confirms it, and is good for a day from then on.',
      body: InquiryBody,
      status: 201,
      answer: InquiryView,
    }),
    async (request, reply) => {
      const opened = await openInquiry(services, request.actor, request.body);
      return answer(reply, opened, { location: `/v1/audit/inquiries/${opened.view.id}` });
    },
  );
  app.get(
    '/v1/audit/inquiries/:id',
    operation({
      ...inquiry,
      recorded: true,
      id: 'getInquiry',
      action: 'inquiry.read',
      summary: 'An inquiry, and whether it waits, was confirmed or is over',
      params,
      answer: InquiryView,
    }),
    async (request, reply) => answer(reply, await readInquiry(services, request.actor, request.params.id)),
  );
  app.post(
    '/v1/audit/inquiries/:id/confirm',
    operation({
      ...inquiry,
      id: 'confirmInquiry',
      action: 'inquiry.confirm',
      problems: ['wrong_state'],
      summary: 'Agree to an inquiry that another auditor opened',
      params,
      answer: InquiryView,
    }),
    async (request, reply) => answer(reply, await confirmInquiry(services, request.actor, request.params.id)),
  );
}

/** What it takes to check the log without trusting us. */
function logRoutes(app: App, services: Services): void {
  app.get(
    '/v1/audit/checkpoint',
    operation({
      ...verify,
      id: 'getCheckpoint',
      summary: 'What the log signed last: a c2sp.org/tlog-checkpoint',
      query: { witnessed: ExportQuery.witnessed },
      answer: document('text/plain', 'A signed note'),
    }),
    async (request, reply) =>
      send(reply, 'text/plain; charset=utf-8', await readCheckpoint(services, request.actor, request.query)),
  );
  app.get(
    '/v1/audit/verifier-key',
    operation({
      ...verify,
      id: 'getVerifierKey',
      summary: 'The key that it signs with; pin it as you got it from elsewhere',
      answer: document('text/plain', 'A verifier key line of c2sp.org/signed-note'),
    }),
    async (request, reply) => send(reply, 'text/plain; charset=utf-8', await readVerifierKey(services, request.actor)),
  );
  app.get(
    '/v1/audit/tile/*',
    operation({
      ...verify,
      id: 'getTile',
      summary: 'A tile of the tree, or a bundle of entries, as in c2sp.org/tlog-tiles',
      params: Closed({
        '*': Type.String({ maxLength: 100, description: '`{level}/{index}[.p/{width}]` or `entries/{index}[.p/{width}]`' }),
      }),
      answer: document('application/octet-stream', 'Hashes of 32 bytes; of entries u16 big-endian length ‖ entry'),
    }),
    async (request, reply) =>
      send(reply, 'application/octet-stream', await readTileAt(services, request.actor, request.params['*'])),
  );
  app.get(
    '/v1/audit/entries/:index/proof',
    operation({
      ...verify,
      id: 'getInclusionProof',
      summary: 'That an entry is in the log: a c2sp.org/tlog-proof@v1',
      params: Closed({ index: Place() }),
      answer: document('text/plain', 'The proof with its checkpoint'),
    }),
    async (request, reply) =>
      send(reply, 'text/plain; charset=utf-8', await readInclusionProof(services, request.actor, request.params.index)),
  );
  app.get(
    '/v1/audit/consistency',
    operation({
      ...verify,
      id: 'getConsistencyProof',
      summary: 'That the log of one size goes on from that of a smaller one',
      query: {
        from: Type.Optional({ ...Size(), default: 0 }),
        to: Type.Optional({ ...Size(), description: 'The published size, unless said' }),
      },
      answer: Type.Array(Type.String({ contentEncoding: 'base64' }), { description: 'Hashes, RFC 6962, section 2.1.2' }),
    }),
    async (request, reply) => {
      void reply.header('cache-control', 'private');
      return answer(reply, await readConsistencyProof(services, request.actor, request.query));
    },
  );
}

function send(
  reply: FastifyReply,
  type: string,
  { view, receipt }: Read<string | Buffer | Readable>,
  caches: 'private' | 'no-store' = 'private',
): FastifyReply {
  return reply.header('audit-receipt', receipt).header('cache-control', caches).type(type).send(view);
}
