import type { DemoAgency } from '../../src/demo.ts';
import { type Client, clientOf } from './mechanism.ts';

/** An agency's system that asks the APIs in turn. */
export async function connect(base_urls: string[], agency: DemoAgency): Promise<Client> {
  let turn = 0;
  const next = () => base_urls[turn++ % base_urls.length]!;
  const login = await fetch(`${next()}/oauth/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${agency.client_id}:${agency.client_secret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  const { access_token } = (await login.json()) as { access_token: string };
  return clientOf(agency, async (method, path, body) => {
    const response = await fetch(next() + path, {
      method,
      headers: {
        authorization: `Bearer ${access_token}`,
        'acting-caseworker': agency.caseworkers[0].staff_code,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: {}, body: text === '' ? '' : JSON.parse(text) };
  });
}
