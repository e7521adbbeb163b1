// What the checks stand on: the program under test, a wire that can be cut, waiting with a limit,
// and counting. Nothing here waits for a time to pass, only for something to be so.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import readline from 'node:readline';

const HOST = '127.0.0.1';

/** Longer than anything takes on a busy machine: who waits for it has found a bug. */
export const TOO_LONG = 20_000;

const counts = { passed: 0, failed: 0 };

/** Runs a check, which has failed if it throws or does not end. */
export async function check(name, run) {
  try {
    await within(3 * TOO_LONG, run());
    counts.passed += 1;
    console.log(`ok ${name}`);
  } catch (error) {
    counts.failed += 1;
    console.log(`FAILED ${name}`);
    console.log(String(error?.stack ?? error).replace(/^/gm, '    '));
  }
}

/** Prints the last line, and says how the process should end. */
export function summary() {
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  return counts.failed === 0 && counts.passed > 0 ? 0 : 1;
}

async function within(milliseconds, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${milliseconds} ms`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Asks until the answer is true. */
export async function until(what, ask) {
  const end = performance.now() + TOO_LONG;
  while (!await ask()) {
    if (performance.now() > end) throw new Error(`never so: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

const running = new Set();
process.on('exit', () => running.forEach(server => server.kill()));
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

/** The program under test, which does not outlive this one. */
export class Server {
  static async start(program, port = 0) {
    const server = new Server();
    server.process = spawn(program, ['--port', `${port}`], { stdio: ['ignore', 'pipe', 'pipe'] });
    server.log = '';
    server.process.stderr.on('data', data => { server.log += data; });
    server.ended = once(server.process, 'exit');
    running.add(server);
    const [line] = await within(TOO_LONG, once(readline.createInterface(server.process.stdout), 'line'));
    server.port = Number(/^listening on http:\/\/.*:(\d+)$/.exec(line)[1]);
    server.url = `http://${HOST}:${server.port}`;
    return server;
  }

  /** Sends SIGINT, and says how it ended and after how many milliseconds. */
  async stop() {
    const begin = performance.now();
    this.process.kill('SIGINT');
    const [status, signal] = await within(TOO_LONG, this.ended);
    return { status, signal, took: performance.now() - begin };
  }

  /** Whatever has become of it. */
  kill() {
    this.process.kill('SIGKILL');
    running.delete(this);
  }

  /** Asks over a connection of its own, which is closed when this is done. */
  async request(method, path, body) {
    const request = http.request(this.url + path, { method, agent: false });
    request.end(body);
    const [response] = await within(TOO_LONG, once(request, 'response'));
    response.setEncoding('utf8');
    let text = '';
    for await (const part of response) text += part;
    return { status: response.statusCode, headers: response.headers, text };
  }

  async say(name, text) {
    const { status } = await this.request('POST', '/messages', JSON.stringify({ name, text }));
    if (status !== 204) throw new Error(`POST /messages: ${status}`);
  }

  /** One number of /metrics. */
  async metric(name) {
    const { text } = await this.request('GET', '/metrics');
    return Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)[1]);
  }
}

/** A wire to a server that can be cut, and joined again. */
export class Wire {
  static async to(server) {
    const wire = new Wire();
    wire.sockets = new Set();
    wire.isCut = false;
    wire.listener = net.createServer(near => {
      const far = net.connect(server.port, HOST);
      for (const [socket, other] of [[near, far], [far, near]]) {
        wire.sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => { wire.sockets.delete(socket); other.destroy(); });
        socket.pipe(other);
      }
      if (wire.isCut) near.resetAndDestroy();
    });
    wire.listener.listen(0, HOST);
    await once(wire.listener, 'listening');
    wire.url = `http://${HOST}:${wire.listener.address().port}`;
    return wire;
  }

  cut() {
    this.isCut = true;
    for (const socket of this.sockets) socket.destroy();
  }

  join() {
    this.isCut = false;
  }

  close() {
    this.cut();
    this.listener.close();
  }
}
