import { chmodSync, linkSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Writes a file for its owner alone to read, unless there is one: whole or not at all, and of processes that start together all
 * read what the first one wrote.
 * @throws NodeJS.ErrnoException where the folder cannot be written
 */
export function writeUnlessThere(path: string, content: string | Buffer): void {
  const draft = `${path}.${process.pid}.new`;
  mkdirSync(dirname(path), { recursive: true });
  try {
    writeFileSync(draft, content, { mode: 0o600, flush: true });
    chmodSync(draft, 0o600);
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** That a file was made in this folder outlives a crash. @throws NodeJS.ErrnoException */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path);
  await folder.sync().finally(() => folder.close());
}
