import { execFile } from 'node:child_process';
import { chmod, copyFile, cp, link, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parse } from 'yaml';

/** Dockerfile and compose.yaml as they are written, so that what they start can be started without Docker. */

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (name: string): Promise<string> => readFile(join(ROOT, name), 'utf8');

export interface Image {
  env: Record<string, string>;
  user: string;
  command: string[];
  healthcheck: string[];
  /** What the last stage copies out of the repository. */
  copied: string[];
}

/** The last stage. @throws Error at what it does not understand */
export async function readDockerfile(): Promise<Image> {
  const lines = (await read('Dockerfile'))
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll('\\\n', ' ')
    .split('\n');
  const image: Image = { env: {}, user: 'root', command: [], healthcheck: [], copied: [] };
  for (const line of lines.slice(lines.findLastIndex(line => line.startsWith('FROM ')))) {
    const [, instruction, rest] = /^([A-Z]+) +(.*)$/.exec(line) ?? [];
    if (instruction === 'ENV') Object.assign(image.env, Object.fromEntries(rest!.split(' ').map(pair => pair.split('='))));
    else if (instruction === 'USER') image.user = rest!;
    else if (instruction === 'CMD') image.command = JSON.parse(rest!);
    else if (instruction === 'HEALTHCHECK') image.healthcheck = JSON.parse(/CMD (.*)$/.exec(rest!)![1]!);
    else if (instruction === 'COPY' && !rest!.startsWith('--from')) image.copied.push(...rest!.split(' ').slice(0, -1));
    else if (line !== '' && !['FROM', 'WORKDIR', 'EXPOSE', 'COPY', 'RUN'].includes(instruction!))
      throw new Error(`not understood: ${line}`);
  }
  return image;
}

export interface Service {
  image?: string;
  command?: string[];
  environment?: Record<string, string>;
  deploy?: { replicas: number };
  healthcheck?: { test?: string[]; disable?: boolean };
  depends_on?: Record<string, { condition: string }>;
  ports?: string[];
}

export interface Compose {
  services: Record<string, Service>;
  configs: Record<string, { content: string }>;
  secrets: Record<string, { file: string }>;
}

/** compose.yaml with `settings` in the places of its variables. @throws Error where one is missing that it needs */
export async function readCompose(settings: Record<string, string>): Promise<Compose> {
  const text = (await read('compose.yaml'))
    .replaceAll(/^ *#.*\n/gm, '')
    .replaceAll(/\$(?:(\$)|\{(\w+)(?::\?[^}]*|:-([\w/-]*))?\})/g, (_, dollar?: string, name = '', otherwise?: string) => {
      const value = dollar ?? settings[name] ?? otherwise;
      if (value === undefined) throw new Error(`compose.yaml needs ${name}`);
      return value;
    });
  return parse(text, { merge: true });
}

/** What `npm ci --omit=dev` installs, of what is installed here. */
async function productionPackages(): Promise<string[]> {
  const { packages } = JSON.parse(await read('package-lock.json')) as {
    packages: Record<string, { dev?: boolean; devOptional?: boolean; optional?: boolean }>;
  };
  return Object.entries(packages)
    .filter(
      ([path, { dev, devOptional, optional }]) =>
        /^node_modules\/(@[^/]+\/)?[^/]+$/.test(path) && !dev && !devOptional && !optional,
    )
    .map(([path]) => path);
}

/** Lays `folder` out as the image: sources, production dependencies, and this Node.js on the PATH. Everybody may read it. */
export async function layOut(folder: string, { copied }: Image): Promise<{ app: string; bin: string }> {
  const app = join(folder, 'app');
  const bin = join(folder, 'bin');
  await mkdir(app);
  await mkdir(bin);
  const sources = copied.map(name => (name === './' ? '.' : name));
  for (const name of sources) await cp(join(ROOT, name), join(app, name), { recursive: true });
  const copy = 'umask 022 && cp --recursive --no-preserve=mode --parents "$@"';
  await promisify(execFile)('sh', ['-c', copy, 'sh', ...(await productionPackages()), app], { cwd: ROOT });
  await promisify(execFile)('chmod', ['-R', 'a+rX', app]);
  const node = join(bin, 'node');
  await link(process.execPath, node).catch(() => copyFile(process.execPath, node));
  for (const dir of [app, bin]) await chmod(dir, 0o755);
  return { app, bin };
}
