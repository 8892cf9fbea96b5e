import type { App } from '../api.ts';
import { answer } from '../platform/http/answer.ts';
import { operation } from '../platform/http/openapi.ts';
import { PageQuery, pageOf } from '../platform/http/paging.ts';
import type { Services } from '../services.ts';
import {
  changeAgency,
  createAgency,
  getAgency,
  getCapacity,
  getService,
  listAgencies,
  listServices,
  setCapacity,
  setService,
} from './commands.ts';
import {
  Agency,
  AgencyFilters,
  AgencyParams,
  AgencyPatch,
  Capacity,
  NewAgency,
  Service,
  ServiceParams,
  SetCapacity,
  SetService,
} from './schema.ts';

const tag = 'Directory';
const READ = ['directory', 'directory.read'] as const;

export function agencyRoutes(app: App, services: Services): void {
  const create = operation({
    id: 'createAgency',
    tag,
    summary: 'Enter an agency into the directory',
    action: 'agency.create',
    problems: ['unprocessable'],
    scopes: ['admin'],
    body: NewAgency,
    status: 201,
    answer: Agency,
  });
  app.post('/v1/agencies', create, async (request, reply) => {
    const outcome = await createAgency(services, request.actor, request.body);
    return answer(reply, outcome, { location: `/v1/agencies/${outcome.view.id}` });
  });

  const list = operation({
    id: 'listAgencies',
    tag,
    summary: 'The directory, newest first',
    action: 'agency.list',
    recorded: true,
    scopes: READ,
    query: { ...AgencyFilters, ...PageQuery },
    answer: pageOf(Agency),
  });
  app.get('/v1/agencies', list, async (request, reply) =>
    answer(reply, await listAgencies(services, request.actor, request.query)),
  );

  const get = operation({
    id: 'getAgency',
    tag,
    summary: 'One agency',
    action: 'agency.read',
    recorded: true,
    scopes: READ,
    params: AgencyParams,
    answer: Agency,
  });
  app.get('/v1/agencies/:id', get, async (request, reply) =>
    answer(reply, await getAgency(services, request.actor, request.params.id)),
  );

  const change = operation({
    id: 'changeAgency',
    tag,
    summary: 'Change an agency',
    description:
      'Merge patch (RFC 7396). A supervisor of the agency may change `languages`, `operating_mode`, `duty_contact` and `calendar_id`, the scope `admin` everything.',
    action: 'agency.change',
    problems: ['unprocessable'],
    scopes: ['directory', 'admin'],
    caseworker: 'unless_admin',
    params: AgencyParams,
    body: AgencyPatch,
    consumes: ['application/json', 'application/merge-patch+json'],
    answer: Agency,
  });
  app.patch('/v1/agencies/:id', change, async (request, reply) =>
    answer(reply, await changeAgency(services, request.actor, request.params.id, request.body)),
  );

  serviceRoutes(app, services);
}

function serviceRoutes(app: App, services: Services): void {
  const list = operation({
    id: 'listServices',
    tag,
    summary: 'What an agency offers, by code',
    action: 'service.list',
    recorded: true,
    scopes: READ,
    params: AgencyParams,
    query: PageQuery,
    answer: pageOf(Service),
  });
  app.get('/v1/agencies/:id/services', list, async (request, reply) =>
    answer(reply, await listServices(services, request.actor, request.params.id, request.query)),
  );

  const get = operation({
    id: 'getService',
    tag,
    summary: 'One service of an agency',
    action: 'service.read',
    recorded: true,
    scopes: READ,
    params: ServiceParams,
    answer: Service,
  });
  app.get('/v1/agencies/:id/services/:service', get, async (request, reply) =>
    answer(reply, await getService(services, request.actor, request.params.id, request.params.service)),
  );

  const set = operation({
    id: 'setService',
    tag,
    summary: 'Say what the agency offers',
    description: 'Whole: what is left out has its default. A first time with `If-None-Match: *`, later with `If-Match`.',
    action: 'service.set',
    problems: ['unprocessable'],
    scopes: ['directory'],
    caseworker: true,
    params: ServiceParams,
    body: SetService,
    may_create: true,
    answer: Service,
  });
  app.put('/v1/agencies/:id/services/:service', set, async (request, reply) => {
    const { id, service } = request.params;
    const outcome = await setService(services, request.actor, id, service, request.body);
    return answer(reply, outcome, outcome.created ? { location: request.url } : undefined);
  });

  const getPlaces = operation({
    id: 'getCapacity',
    tag,
    summary: 'How many places a service has',
    description: 'Of a service whose location is protected, others than its agency see only whether there is a place.',
    action: 'capacity.read',
    recorded: true,
    scopes: READ,
    params: ServiceParams,
    answer: Capacity,
  });
  app.get('/v1/agencies/:id/services/:service/capacity', getPlaces, async (request, reply) =>
    answer(reply, await getCapacity(services, request.actor, request.params.id, request.params.service)),
  );

  const setPlaces = operation({
    id: 'setCapacity',
    tag,
    summary: 'Say how many places a service has',
    description: 'Needs no `If-Match`. Without a capacity record a service is unlimited.',
    action: 'capacity.set',
    unversioned: true,
    scopes: ['directory'],
    caseworker: true,
    params: ServiceParams,
    body: SetCapacity,
    may_create: true,
    answer: Capacity,
  });
  app.put('/v1/agencies/:id/services/:service/capacity', setPlaces, async (request, reply) => {
    const { id, service } = request.params;
    const outcome = await setCapacity(services, request.actor, id, service, request.body);
    return answer(reply, outcome, outcome.created ? { location: request.url } : undefined);
  });
}
