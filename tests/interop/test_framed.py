"""nbNet's frames, with clients and a server that know nothing of ours."""

import asyncio
import signal
import socket
import socketserver
import subprocess
import threading

from support import (
    HOST,
    TOO_LONG,
    Case,
    Server,
    needs_nc,
    needs_socat,
    programs,
    read_to_end,
    with_asyncio,
)


class FramedServer(Server):
    """`framed serve`, whose command stands before its flags."""

    def __init__(self, *flags):
        command = [programs()["framed"], "serve", "--port", "0", *flags]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
        )
        line = self.process.stdout.readline()
        assert line.startswith("listening on "), line or self.process.stderr.read()
        self.host, _, port = line.split()[2].rpartition(":")
        self.port = int(port)


def frame(data):
    """As nbNet's clients do it."""
    return b"%010d%s" % (len(data), data)


class Framed(Case):
    def serve_frames(self, *flags):
        server = FramedServer(*flags)
        self.addCleanup(server.kill)
        return server

    def send(self, host, port, data, status=0):
        address = ["--address", host, "--port", port]
        return self.output(programs()["framed"], "send", *address, input=data, status=status)

    @needs_nc
    def test_nc_does_not_get_other_frames_back(self):
        server = self.serve_frames()
        frames = frame(b"hello") + frame(bytes(range(256)) * 4000) + frame(b"0000000001")
        answer = self.output("nc", "-N", server.host, server.port, input=frames)
        self.assertTrue(answer == frames, "%d bytes of %d" % (len(answer), len(frames)))
        self.ends_well(server)

    @needs_socat
    def test_socat_that_sends_in_small_blocks_does_not_tear_frames(self):
        server = self.serve_frames()
        frames = b"".join(frame(b"x" * size) for size in range(1, 200))
        address = "TCP:%s:%d,nodelay" % (server.host, server.port)
        answer = self.output("socat", "-b7", "-t20", "-", address, input=frames)
        self.assertTrue(answer == frames, "%d bytes" % len(answer))
        self.ends_well(server)

    @needs_nc
    def test_nc_that_speaks_http_is_not_left_waiting(self):
        server = self.serve_frames()
        terminal = self.open("nc", server.host, server.port)
        terminal.type("GET / HTTP/1.1\n")
        self.assertEqual(terminal.rest(), "")
        status, _ = server.finish()
        self.assertEqual(status, 0)

    def test_a_hundred_asyncio_clients_do_not_get_each_others_frames(self):
        server = self.serve_frames()

        async def client(number, reader, writer):
            for size in [1, 100, 10_000, 100_000]:
                data = b"%03d" % number * size
                writer.write(frame(b"sleep 20") + frame(data))
                self.assertEqual(await reader.readexactly(10), b"0000000000")
                self.assertTrue(await reader.readexactly(len(frame(data))) == frame(data))

        with_asyncio(server, 100, client)
        self.ends_well(server)

    def test_asyncio_that_reads_50_megabytes_slowly_does_not_lose_any(self):
        server = self.serve_frames("--read-timeout", "0.5")

        async def client(number, reader, writer):
            writer.write(frame(b"repeat 50000000 %d" % number))
            length = int(await reader.readexactly(10))
            received = 0
            while received < length:
                piece = await reader.readexactly(1_000_000)
                self.assertEqual(piece.count(b"%d" % number), len(piece))
                received += len(piece)
                # It is slow, which is the test.
                await asyncio.sleep(0.02)

        with_asyncio(server, 3, client)
        self.ends_well(server)

    def test_a_client_that_is_refused_in_the_middle_of_sending_is_not_reset(self):
        server = self.serve_frames("--max-frame", "1000000")
        with server.connect() as client:
            client.sendall(frame(b"x" * 30_000_000))
            self.assertEqual(read_to_end(client), b"")
        status, log = server.finish(signal.SIGINT)
        self.assertEqual(status, 0)
        self.assertIn("30000000", log)

    def test_send_does_not_need_our_own_server(self):
        class Reverse(socketserver.StreamRequestHandler):
            def handle(self):
                length = int(self.rfile.read(10))
                self.wfile.write(frame(self.rfile.read(length)[::-1]))

        with socketserver.TCPServer((HOST, 0), Reverse) as server:
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            host, port = server.server_address
            self.assertEqual(self.send(host, port, b"nuf"), b"fun")
            thread.join(TOO_LONG)

    def test_send_does_not_succeed_without_a_reply(self):
        server = self.serve_frames()
        self.assertEqual(self.send(server.host, server.port, b"", status=1), b"")
        self.assertEqual(self.send(server.host, server.port, b"repeat 0 x"), b"")
        status, _ = server.finish()
        self.assertEqual(status, 0)

    def test_a_status_is_not_in_the_way_of_the_next_request(self):
        server = self.serve_frames()
        with server.connect() as client:
            address = "%s:%d" % client.getsockname()
            for _ in range(3):
                client.sendall(frame(b"hello") + b"00000")
                self.assertEqual(client.recv(15, socket.MSG_WAITALL), frame(b"hello"))
                server.process.send_signal(signal.SIGUSR1)
                heading = server.process.stderr.readline()
                self.assertIn(": 1 connections", heading)
                line = server.process.stderr.readline()
                self.assertTrue(line.startswith(address + " state="), line)
                client.sendall(b"00002ok")
                self.assertEqual(client.recv(12, socket.MSG_WAITALL), frame(b"ok"))
        self.ends_well(server)
