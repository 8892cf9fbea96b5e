import { Type } from 'typebox';
import type { App } from '../../api.ts';
import { answer } from '../../platform/http/answer.ts';
import { operation } from '../../platform/http/openapi.ts';
import type { Services } from '../../services.ts';
import { exportDirectory } from './export.ts';
import { importDirectory } from './import.ts';
import { ExportQuery, ImportBody, ImportReport } from './schema.ts';

const tag = 'Directory';
const MIB = 1_048_576;
/** Directories of whole countries come in one piece. */
const LARGEST_IMPORT = 16 * MIB;
/** In HSDS a language of a phone of a contact of a location of a service of an organisation is no error. */
const DEEPEST_IMPORT = 24;

export function hsdsRoutes(app: App, services: Services): void {
  const take = operation({
    id: 'importDirectory',
    tag,
    summary: 'Take over a directory in HSDS 3',
    description:
      'Whole or not at all: where a row is broken every one is named, and nothing is written. What is imported again changes what was imported before; what the directory does not mention stays, and so does what the agency itself said, but for what was surely assured since then; what it suspended goes on when it says so. Where a protected place lies and what is free there is not taken over. Persons and addresses are not taken over, nor are mandates; of a place only its region is kept. The body may hold 16 MiB.',
    action: 'directory.import',
    problems: ['unprocessable', 'forbidden'],
    scopes: ['admin'],
    deepest: DEEPEST_IMPORT,
    body: ImportBody,
    answer: ImportReport,
  });
  app.post('/v1/directory/import', { ...take, bodyLimit: LARGEST_IMPORT }, async (request, reply) =>
    answer(reply, await importDirectory(services, request.actor, request.body)),
  );

  const give = operation({
    id: 'exportDirectory',
    tag,
    summary: 'The directory of a jurisdiction in HSDS 3.1',
    description:
      'As organizations with everything within one another, or as a Data Package with inline rows. Of protected places neither region nor numbers are told. Imported again it changes nothing.',
    action: 'directory.export',
    problems: ['unprocessable'],
    recorded: true,
    scopes: ['directory', 'directory.read'],
    query: ExportQuery,
    answer: Type.Object({}, { additionalProperties: true, description: 'HSDS 3.1' }),
  });
  app.get('/v1/directory/export', give, async (request, reply) =>
    answer(reply, await exportDirectory(services, request.actor, request.query)),
  );
}
