import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Test } from 'tap';

export interface ConnectProxy {
  port: number;
  /** What was asked for: the target and the credentials. */
  asked: { target: string | undefined; authorization: string | undefined }[];
  /** Where a target really leads; what is missing is out of reach. */
  routes: Map<string, number>;
  /** What the next requests are answered instead, in turn. */
  replies: string[];
}

/** An HTTP proxy on this machine that takes CONNECT and nothing else. */
export async function startConnectProxy(t: Test): Promise<ConnectProxy> {
  const proxy: ConnectProxy = { port: 0, asked: [], routes: new Map(), replies: [] };
  const sockets = new Set<Socket>();
  const server = createServer((_, response) => response.writeHead(405).end());
  server.on('connection', socket => sockets.add(socket.on('error', () => {})));
  server.on('connect', (request, client: Socket) => {
    proxy.asked.push({ target: request.url, authorization: request.headers['proxy-authorization'] });
    const reply = proxy.replies.shift();
    const route = proxy.routes.get(request.url!);
    if (reply !== undefined) return client.end(reply);
    if (route === undefined) return client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
    const upstream = connect(route, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      upstream.pipe(client).pipe(upstream);
    });
    sockets.add(upstream.on('error', () => client.destroy()));
    client.on('error', () => upstream.destroy()).on('close', () => upstream.destroy());
    return undefined;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  proxy.port = (server.address() as AddressInfo).port;
  return proxy;
}
