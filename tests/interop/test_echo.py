"""The echo server, with clients that others wrote."""

import signal
import socket

from support import Case, needs_ipv6, needs_nc, needs_socat, read_to_end, with_asyncio


class Echo(Case):
    @needs_nc
    def test_nc_that_half_closes_does_not_lose_its_answers(self):
        server = self.serve("echo")
        answer = self.output("nc", "-N", server.host, server.port, input=b"a\nb\n")
        self.assertEqual(answer, b"a\nb\n")
        self.ends_well(server)

    @needs_nc
    def test_nc_with_a_file_does_not_get_another_one_back(self):
        server = self.serve("echo")
        text = b"".join(b"%d %s\n" % (n, b"x" * (n % 300)) for n in range(20_000))
        answer = self.output("nc", "-N", server.host, server.port, input=text)
        self.assertTrue(answer == text, "%d bytes of %d" % (len(answer), len(text)))
        self.ends_well(server)

    @needs_nc
    def test_nc_in_a_terminal_does_not_wait_for_its_line(self):
        server = self.serve("echo")
        terminal = self.open("nc", server.host, server.port)
        for line in ["hello", "", "how are you?"]:
            terminal.type(line + "\n")
            self.assertEqual(terminal.line(), line)
        self.ends_well(server, signal.SIGINT)
        self.assertEqual(terminal.rest(), "")

    @needs_nc
    def test_nc_that_is_killed_or_only_looks_does_not_disturb_the_server(self):
        server = self.serve("echo")
        for _ in range(10):
            self.output("nc", "-z", server.host, server.port)
            terminal = self.open("nc", server.host, server.port)
            terminal.type("hello\n")
            self.assertEqual(terminal.line(), "hello")
            terminal.type("half a li")
            terminal.kill()
        answer = self.output("nc", "-N", server.host, server.port, input=b"still here\n")
        self.assertEqual(answer, b"still here\n")
        status, _ = server.finish()
        self.assertEqual(status, 0)

    @needs_nc
    @needs_ipv6
    def test_nc_over_ipv6_is_not_turned_away(self):
        server = self.serve("echo", "--address", "::1")
        answer = self.output("nc", "-6", "-N", server.host, server.port, input=b"six\n")
        self.assertEqual(answer, b"six\n")
        self.ends_well(server)

    @needs_socat
    def test_socat_that_half_closes_does_not_lose_its_answers(self):
        server = self.serve("echo")
        address = "TCP:%s:%d" % (server.host, server.port)
        answer = self.output("socat", "-t20", "-", address, input=b"a\nb\n" * 5000)
        self.assertEqual(answer, b"a\nb\n" * 5000)
        self.ends_well(server)

    @needs_socat
    def test_socat_in_between_does_not_change_what_arrives(self):
        server = self.serve("echo")
        there = "TCP:%s:%d" % (server.host, server.port)
        # Waits for one connection and passes it on, both halves; it says where on standard error.
        socat = "exec socat -d -d -t20 TCP-LISTEN:0,bind=127.0.0.1 %s 2>&1" % there
        proxy = self.open("sh", "-c", socat)
        line = proxy.line()
        while "listening on" not in line:
            line = proxy.line()
        port = int(line.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(b"through\nsomebody\n")
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(client), b"through\nsomebody\n")
        proxy.rest()
        self.ends_well(server)

    def test_bytes_sent_one_by_one_are_not_taken_for_lines(self):
        server = self.serve("echo")
        with server.connect() as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in b"one\r\ntwo\n":
                client.sendall(bytes([byte]))
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(client), b"one\r\ntwo\n")
        self.ends_well(server)

    def test_bytes_that_are_not_text_do_not_come_back_changed(self):
        server = self.serve("echo")
        line = bytes(byte for byte in range(256) if byte != 10) + b"\n"
        with server.connect() as client:
            client.sendall(line * 100)
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(client), line * 100)
        self.ends_well(server)

    def test_a_hundred_asyncio_clients_do_not_get_each_others_lines(self):
        server = self.serve("echo")

        async def client(number, reader, writer):
            for round in range(30):
                line = b"%d of %d\n" % (round, number)
                writer.write(line)
                await writer.drain()
                self.assertEqual(await reader.readline(), line)
            writer.write_eof()
            self.assertEqual(await reader.read(), b"")

        with_asyncio(server, 100, client)
        self.ends_well(server)

    def test_asyncio_clients_that_read_late_do_not_lose_anything(self):
        server = self.serve("echo")
        lines = b"".join(b"%d %s\n" % (n, b"x" * 200) for n in range(3000))

        async def client(_, reader, writer):
            writer.write(lines)
            writer.write_eof()
            self.assertTrue(await reader.read() == lines)

        with_asyncio(server, 20, client)
        self.ends_well(server)
