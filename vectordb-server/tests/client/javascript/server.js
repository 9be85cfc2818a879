// Starts the server on free loopback ports with its data in a temporary directory, and stops it.

import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const PROGRAM = process.env.VECTORDB ?? fileURLToPath(new URL('../../../../target/debug/vectordb', import.meta.url));

/** A running server: its `url`, and `stop()`. */
export async function start() {
  const room = await mkdtemp(join(tmpdir(), 'vectordb-client-'));
  // What is a list has no form in the environment.
  await mkdir(join(room, 'config'));
  await writeFile(join(room, 'config/local.yaml'), 'storage: {snapshots_config: {recovery_allowed_hosts: ["127.0.0.1"]}}\n');
  const log = join(room, 'log');
  const output = await open(log, 'w');
  const settings = {
    VECTORDB__SERVICE__HOST: '127.0.0.1',
    VECTORDB__SERVICE__HTTP_PORT: '0',
    VECTORDB__SERVICE__GRPC_PORT: '0',
    VECTORDB__STORAGE__STORAGE_PATH: join(room, 'storage'),
    VECTORDB__STORAGE__SNAPSHOTS_PATH: join(room, 'snapshots'),
    VECTORDB__LOGGER__FORMAT: 'json',
  };
  const server = spawn(PROGRAM, [], { cwd: room, env: { ...process.env, ...settings }, stdio: ['ignore', output.fd, output.fd] });
  const ended = new Promise((resolve) => server.once('exit', (code, signal) => resolve(code ?? signal)));
  const stop = async () => {
    server.kill('SIGTERM');
    const killer = setTimeout(() => server.kill('SIGKILL'), 60_000);
    const status = await ended;
    clearTimeout(killer);
    const text = await readFile(log, 'utf8');
    await output.close();
    await rm(room, { recursive: true });
    if (status !== 0 || text.includes('panicked')) throw new Error(`the server ended with ${status}: ${text}`);
  };
  for (let tries = 0; tries < 3000 && server.exitCode === null; tries += 1) {
    const address = /"message":"listening","http_address":"([^"]+)"/.exec(await readFile(log, 'utf8'));
    if (address) return { url: `http://${address[1]}`, stop };
    await sleep(20);
  }
  await stop();
  throw new Error('the server does not start');
}
