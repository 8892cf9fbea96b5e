import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { readConfig } from '../../src/platform/config.ts';
import { createLogger } from '../../src/platform/log.ts';
import { openServices } from '../../src/services.ts';
import { startWebhookJobs } from '../../src/webhooks/jobs.ts';
import { cloneDatabase } from '../support/app.ts';
import { temporaryDataDir } from '../support/process.ts';
import { demoActors, emit, notice, registerEndpoint, startReceiver } from '../support/webhooks.ts';

/** "Ready for query", and the words with which a server ends a connection. */
const READY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);
const FATAL = Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0');
const GOOD_BYE = Buffer.concat([Buffer.from([0x45, 0, 0, 0, FATAL.length + 4]), FATAL]);

/** Stands before the database, and ends the next `count` connections in the breath in which they become ready. */
async function startMoodyServer(t: Test, database: string) {
  const listeners = new Set<Socket>();
  const moody = {
    url: '',
    count: 0,
    /** Ends the connections on which the queue listens. */
    endListeners: () => listeners.forEach(client => void client.destroy()),
  };
  const server = createServer(client => {
    const behind = connect(Number(new URL(database).port), '127.0.0.1');
    client.on('error', () => behind.destroy()).on('close', () => behind.destroy());
    behind.on('error', () => client.destroy()).on('close', () => client.destroy());
    client.on('close', () => listeners.delete(client));
    client.on('data', said => {
      if (said.includes('LISTEN bullmq')) listeners.add(client);
      behind.write(said);
    });
    let is_new = true;
    behind.on('data', (answered: Buffer) => {
      const hangs_up = is_new && moody.count > 0 && answered.subarray(-READY.length).equals(READY);
      if (answered.includes(READY)) is_new = false;
      if (!hangs_up) return void client.write(answered);
      moody.count -= 1;
      client.end(Buffer.concat([answered, GOOD_BYE]));
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  moody.url = Object.assign(new URL(database), { port: String((server.address() as AddressInfo).port) }).href;
  return moody;
}

t.test('a server that hangs up as soon as it has answered ends nothing', async t => {
  const moody = await startMoodyServer(t, await cloneDatabase(t));
  const { url } = moody;
  const config = readConfig({ DATABASE_URL: url, DATA_DIR: await temporaryDataDir(t), LOG_LEVEL: 'silent' });
  const services = await openServices(config, createLogger(config.log_level), url);
  t.teardown(() => services.close());
  const { helpline_a, health } = await demoActors(services);
  const receiver = await startReceiver(t);
  await registerEndpoint(services, health, receiver.url);

  moody.count = 4;
  const jobs = startWebhookJobs(services);
  t.teardown(() => jobs.stop());
  while (moody.count > 0) await pause(10);
  await emit(services, helpline_a, notice([health.agency_id]));
  await receiver.reached(1);

  moody.count = 2;
  while (moody.count > 0) {
    moody.endListeners();
    await pause(50);
  }
  await emit(services, helpline_a, notice([health.agency_id]));
  await receiver.reached(2);
  t.equal(receiver.received.length, 2);
});
