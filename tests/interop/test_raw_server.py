"""The RawServer, with clients that others wrote."""

import http.client
import signal
import socket
import struct
import urllib.error
import urllib.request

from support import (
    HOST,
    TOO_LONG,
    Case,
    needs_curl,
    needs_nc,
    needs_socat,
    read_to_end,
    with_asyncio,
)


class Echo(Case):
    @needs_nc
    def test_nc_does_not_get_back_anything_else(self):
        server = self.serve("raw_server", "--handler", "echo")
        text = bytes(range(256)) * 8000
        answer = self.output("nc", "-N", server.host, server.port, input=text)
        self.assertTrue(answer == text, "%d bytes of %d" % (len(answer), len(text)))
        self.ends_well(server)

    @needs_socat
    def test_socat_does_not_get_back_anything_else(self):
        server = self.serve("raw_server", "--handler", "echo")
        address = "TCP:%s:%d" % (server.host, server.port)
        text = bytes(range(256)) * 2000
        answer = self.output("socat", "-t20", "-", address, input=text)
        self.assertTrue(answer == text, "%d bytes of %d" % (len(answer), len(text)))
        self.ends_well(server)

    @needs_nc
    def test_nc_that_says_nothing_is_not_kept(self):
        server = self.serve("raw_server", "--timeout", "1")
        silent = self.open("nc", server.host, server.port)
        self.assertEqual(silent.rest(), "")
        self.ends_well(server)

    @needs_nc
    def test_nc_beyond_the_limit_is_not_left_waiting(self):
        server = self.serve("raw_server", "--max-connections", "1")
        first = self.open("nc", server.host, server.port)
        first.type("hello\n")
        self.assertEqual(first.line(), "hello")
        self.assertEqual(self.open("nc", server.host, server.port).rest(), "")
        first.type("still here\n")
        self.assertEqual(first.line(), "still here")
        self.ends_well(server, signal.SIGINT)
        self.assertEqual(first.rest(), "")

    def test_a_hundred_asyncio_clients_do_not_get_each_others_bytes(self):
        server = self.serve("raw_server", "--handler", "echo")

        async def client(number, reader, writer):
            for size in [1, 100, 10_000, 100_000]:
                message = b"%03d" % number * size
                writer.write(message)
                self.assertTrue(await reader.readexactly(len(message)) == message)

        with_asyncio(server, 100, client)
        self.ends_well(server)


class Frames(Case):
    FRAMES = [b"", b"a", b"hello", b"\x00\x00\x00\x09", b"x" * 100_000]

    def packed(self):
        return b"".join(struct.pack(">I", len(frame)) + frame for frame in self.FRAMES)

    @needs_nc
    def test_nc_does_not_get_its_frames_in_another_shape(self):
        server = self.serve("raw_server", "--handler", "frames")
        answer = self.output("nc", "-N", server.host, server.port, input=self.packed())
        self.assertTrue(answer == self.packed(), "%d bytes" % len(answer))
        self.ends_well(server)

    @needs_socat
    def test_socat_that_sends_in_small_blocks_does_not_tear_frames(self):
        server = self.serve("raw_server", "--handler", "frames")
        address = "TCP:%s:%d,nodelay" % (server.host, server.port)
        answer = self.output("socat", "-b7", "-t20", "-", address, input=self.packed())
        self.assertTrue(answer == self.packed(), "%d bytes" % len(answer))
        self.ends_well(server)

    def test_half_a_frame_is_not_answered(self):
        server = self.serve("raw_server", "--handler", "frames")
        with server.connect() as client:
            client.sendall(b"\x00\x00\x00\x02ok\x00\x00\x00\x05hell")
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(client), b"\x00\x00\x00\x02ok")
        self.ends_well(server)

    def test_a_hundred_asyncio_clients_do_not_get_each_others_frames(self):
        server = self.serve("raw_server", "--handler", "frames")

        async def client(number, reader, writer):
            for round in range(20):
                frame = b"%d of %d" % (round, number)
                writer.write(struct.pack(">I", len(frame)) + frame)
                (length,) = struct.unpack(">I", await reader.readexactly(4))
                self.assertEqual(await reader.readexactly(length), frame)

        with_asyncio(server, 100, client)
        self.ends_well(server)


class Http(Case):
    @needs_curl
    def test_curl_does_not_complain_about_the_answer(self):
        server = self.serve("raw_server", "--handler", "http")
        answer = self.curl("--include", server.url + "/")
        head, _, body = answer.partition("\r\n\r\n")
        self.assertTrue(head.startswith("HTTP/1.0 200 OK\r\n"), head)
        self.assertIn("\r\nContent-Length: %d\r\n" % len(body), head)
        self.assertEqual(self.curl("--http1.0", server.url + "/"), body)
        self.assertEqual(self.curl("--head", server.url + "/"), head + "\r\n\r\n")
        self.ends_well(server)

    @needs_curl
    def test_curl_is_not_told_that_all_is_well_when_it_is_not(self):
        server = self.serve("raw_server", "--handler", "http")
        status = ["--output", "/dev/null", "--write-out", "%{http_code}"]
        cookie = "Cookie: " + "a" * 9000
        for flags, expected in [
            (["/nowhere"], "404"),
            (["/", "--data", "x"], "501"),
            (["/", "--request", "DELETE"], "501"),
            (["/", "--header", cookie], "431"),
            (["/", "--request", "BAD METHOD"], "400"),
        ]:
            path, *flags = flags
            self.assertEqual(self.curl(*status, *flags, server.url + path), expected, flags)
        # 22 is its word for a status from 400 on.
        self.curl("--fail", server.url + "/nowhere", status=22)
        self.ends_well(server)

    @needs_curl
    def test_curl_does_not_get_a_second_answer_over_a_closed_connection(self):
        server = self.serve("raw_server", "--handler", "http")
        url = server.url + "/"
        self.assertEqual(self.curl(url, url, url), self.curl(url) * 3)
        self.ends_well(server)

    @needs_curl
    def test_an_answer_from_another_thread_is_not_lost(self):
        server = self.serve("raw_server", "--handler", "http")
        self.assertEqual(self.curl(server.url + "/primes"), "9592 primes below 100000\n")
        self.ends_well(server)

    @needs_curl
    def test_a_port_is_not_called_reachable_unless_it_is(self):
        server = self.serve("raw_server", "--handler", "http")
        with socket.create_server((HOST, 0)) as listener:
            page = "%s/reachable/%d" % (server.url, listener.getsockname()[1])
            self.assertEqual(self.curl(page), "reachable\n")
        self.assertRegex(self.curl(page), "^not reachable: ")
        self.ends_well(server)

    @needs_nc
    def test_a_request_typed_into_nc_is_not_refused(self):
        server = self.serve("raw_server", "--handler", "http")
        for request in [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.0\n\n"]:
            answer = self.output("nc", "-N", server.host, server.port, input=request)
            self.assertTrue(answer.startswith(b"HTTP/1.0 200 OK\r\n"), answer)
        self.ends_well(server)

    def test_python_does_not_complain_about_the_answer(self):
        server = self.serve("raw_server", "--handler", "http")
        with urllib.request.urlopen(server.url + "/", timeout=TOO_LONG) as answer:
            self.assertEqual(answer.status, 200)
            self.assertIn(b"/primes", answer.read())
        with self.assertRaises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(server.url + "/nowhere", timeout=TOO_LONG)
        self.assertEqual(refusal.exception.code, 404)
        refusal.exception.close()
        connection = http.client.HTTPConnection(server.host, server.port, timeout=TOO_LONG)
        connection.request("HEAD", "/")
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.version, answer.read()), (200, 10, b""))
        connection.close()
        self.ends_well(server)

    def test_a_hundred_asyncio_clients_are_not_turned_away(self):
        server = self.serve("raw_server", "--handler", "http")

        async def client(number, reader, writer):
            page = "/" if number % 2 else "/primes"
            writer.write(b"GET %s HTTP/1.0\r\n\r\n" % page.encode())
            answer = await reader.read()
            self.assertTrue(answer.startswith(b"HTTP/1.0 200 OK\r\n"), answer)
            self.assertTrue(answer.endswith(b"\n"), answer)

        with_asyncio(server, 100, client)
        self.ends_well(server)
