"""Starts our servers, and the programs of others that talk to them.

Nothing here sleeps: whatever a test waits for comes through a pipe or a socket, with a time-out
that ends the test.
"""

import asyncio
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import unittest
from functools import lru_cache
from importlib.util import find_spec

HOST = "127.0.0.1"

# Longer than anything takes on a busy machine: who waits for it has found a bug.
TOO_LONG = 20


def has_nc():
    """OpenBSD's: others have no way to half-close (-N)."""
    if not shutil.which("nc"):
        return False
    usage = subprocess.run(["nc", "-h"], stdin=subprocess.DEVNULL, capture_output=True)
    return b"-N" in usage.stdout + usage.stderr


needs_nc = unittest.skipUnless(has_nc(), "nc (netcat-openbsd) is not installed")
needs_socat = unittest.skipUnless(shutil.which("socat"), "socat is not installed")
needs_curl = unittest.skipUnless(shutil.which("curl"), "curl is not installed")
needs_wrk = unittest.skipUnless(shutil.which("wrk"), "wrk is not installed")
needs_aiohttp = unittest.skipUnless(find_spec("aiohttp"), "Python's aiohttp is not installed")

# Debian has it where only root looks.
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
needs_nginx = unittest.skipUnless(NGINX, "nginx is not installed")


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


needs_ipv6 = unittest.skipUnless(has_ipv6(), "there is no ::1 here")


@lru_cache()
def programs():
    """The examples and the servers made for tests, by name; the first who asks has them built."""
    command = ["cargo", "build", "--package", "squall-examples", "--package", "squall-tests"]
    command.append("--bins")
    command.append("--message-format=json-render-diagnostics")
    folder = os.path.dirname(os.path.abspath(__file__))
    built = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return {
        message["target"]["name"]: message["executable"]
        for message in messages
        if message.get("executable")
    }


class Server:
    """One of our programs, on a port that the system chooses; `log` is its RUST_LOG."""

    def __init__(self, name, *flags, log=""):
        command = [programs()[name], "--port", "0", *flags]
        environment = {**os.environ, "RUST_LOG": log}
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        assert line.startswith("listening on "), line or self.process.stderr.read()
        where = line.split()[2]
        if where.startswith("unix:"):
            self.path = where[len("unix:") :]
            return
        self.host, _, port = where.replace("http://", "").rpartition(":")
        self.host = self.host.strip("[]")
        self.port = int(port)
        self.url = "http://%s:%d" % (self.host, self.port)

    def connect(self):
        return socket.create_connection((self.host, self.port), timeout=TOO_LONG)

    def finish(self, number=signal.SIGTERM):
        """Sends a signal and waits for the end; returns the status and the log."""
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=TOO_LONG)
        return self.process.returncode, log

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class Terminal:
    """A program in a terminal of its own: one types a line, one reads a line."""

    def __init__(self, *command):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, bufsize=0)
        self.unread = b""

    def type(self, text):
        self.process.stdin.write(text.encode())

    def end_of_input(self):
        self.process.stdin.close()

    def line(self):
        """The next line, without its end; none at the end of the output."""
        while b"\n" not in self.unread:
            if not self._read():
                return None
        line, _, self.unread = self.unread.partition(b"\n")
        return line.decode()

    def expect(self, text):
        """Reads exactly this, which need not be a line."""
        while len(self.unread) < len(text) and self._read():
            pass
        text = text.encode()
        assert self.unread.startswith(text), "%r, not %r" % (self.unread[:100], text)
        self.unread = self.unread[len(text) :]

    def rest(self):
        """Everything up to the end of the program, which ends when the server has closed the
        connection and nothing more is typed: nc waits for both."""
        self.end_of_input()
        while self._read():
            pass
        self.process.wait(TOO_LONG)
        return self.unread.decode()

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def _read(self):
        ready, _, _ = select.select([self.process.stdout], [], [], TOO_LONG)
        assert ready, "nothing for %d s after %r" % (TOO_LONG, self.unread[-100:])
        piece = self.process.stdout.read(65536)
        self.unread += piece
        return piece


class Case(unittest.TestCase):
    """What every test file has: servers and terminals that are gone after the test."""

    maxDiff = 1000

    def serve(self, name, *flags, log=""):
        server = Server(name, *flags, log=log)
        self.addCleanup(server.kill)
        return server

    def open(self, *command):
        terminal = Terminal(*map(str, command))
        self.addCleanup(terminal.kill)
        return terminal

    def output(self, *command, input=b"", status=0):
        """What a program prints that is given this input."""
        done = self.finished(*command, input=input)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout

    def finished(self, *command, input=b""):
        """A program that was given this input and has ended."""
        command = list(map(str, command))
        pipe = subprocess.PIPE
        return subprocess.run(command, input=input, stdout=pipe, stderr=pipe, timeout=TOO_LONG)

    def curl(self, *flags, **more):
        command = ["curl", "--silent", "--show-error", "--noproxy", "*"]
        command += ["--max-time", str(TOO_LONG), *flags]
        return self.output(*command, **more).decode()

    def ends_well(self, server, number=signal.SIGTERM):
        """The server ends with success, and has had nothing to complain about."""
        status, log = server.finish(number)
        self.assertEqual(status, 0, log)
        self.assertEqual(complaints(log), [])


def complaints(log):
    """What a server has warned of, except of a busy machine that took the processor away."""
    lines = [line for line in log.splitlines() if "WARN" in line or "ERROR" in line]
    return [line for line in lines if "held the loop" not in line]


def with_asyncio(server, count, client):
    """Runs `count` clients at once, each with a reader and a writer of asyncio's streams."""

    async def connect(number):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        await client(number, reader, writer)
        writer.close()
        await writer.wait_closed()

    async def all_of_them():
        await asyncio.wait_for(asyncio.gather(*map(connect, range(count))), TOO_LONG)

    asyncio.run(all_of_them())


def read_to_end(stream):
    """Everything that a socket gives until its peer closes."""
    pieces = []
    while True:
        piece = stream.recv(65536)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
