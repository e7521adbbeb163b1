"""HTTP with the clients of others: curl, Python's own, aiohttp, and wrk for many at once."""

import asyncio
import http.client
import os
import tempfile

from support import TOO_LONG, Case, needs_aiohttp, needs_curl, needs_wrk, with_asyncio

# Every byte there is, and more than fits into any buffer on the way.
LARGE = bytes(range(256)) * 8192


@needs_curl
class Curl(Case):
    def setUp(self):
        self.server = self.serve("hello")

    def status(self, *flags, **more):
        """What curl says of an exchange: its status, and how much of the body it sent."""
        written = ["--output", os.devnull, "--write-out", "%{http_code} %{size_upload}\n"]
        return self.curl(*written, *flags, **more).split()

    def test_one_connection_is_not_closed_after_one_request(self):
        one = ["--output", os.devnull, self.server.url + "/"]
        connects = self.curl("--write-out", "%{num_connects} ", *one * 5)
        self.assertEqual(connects, "1 0 0 0 0 ")
        post = ["--data", "x", *one]
        connects = self.curl("--write-out", "%{num_connects} ", *post * 5)
        self.assertEqual(connects, "1 0 0 0 0 ")
        self.ends_well(self.server)

    def test_a_body_does_not_come_back_changed(self):
        echo = self.server.url + "/echo"
        for flags in [
            ["--data-binary", "@-"],
            ["--data-binary", "@-", "--header", "Transfer-Encoding: chunked"],
            ["--request", "POST", "--header", "Transfer-Encoding: chunked", "--upload-file", "-"],
            ["--data-binary", "@-", "--http1.0"],
        ]:
            command = ["curl", "--silent", "--noproxy", "*", *flags, echo]
            self.assertTrue(self.output(*command, input=LARGE) == LARGE, flags)
        self.ends_well(self.server)

    def test_who_asks_before_sending_is_not_kept_waiting(self):
        # Without an answer curl would wait for longer than a test may take.
        patience = ["--expect100-timeout", str(10 * TOO_LONG)]
        flags = ["--header", "Expect: 100-continue", *patience, "--data-binary", "@-", "--include"]
        answer = self.output("curl", "--silent", *flags, self.server.url + "/echo", input=LARGE)
        self.assertTrue(answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"))
        self.assertTrue(answer.endswith(b"\r\n\r\n" + LARGE))
        self.ends_well(self.server)

    def test_who_asks_before_sending_too_much_does_not_send_it(self):
        too_much = bytes(17 * 1024 * 1024)
        ask = ["--header", "Expect: 100-continue", "--expect100-timeout", str(10 * TOO_LONG)]
        sent = self.status(*ask, "--data-binary", "@-", self.server.url + "/echo", input=too_much)
        self.assertEqual(sent, ["413", "0"])
        self.ends_well(self.server)

    def test_who_sends_too_much_unasked_does_not_miss_the_answer(self):
        too_much = bytes(17 * 1024 * 1024)
        for kind in ["Expect:", "Transfer-Encoding: chunked"]:
            flags = ["--header", kind, "--header", "Expect:", "--data-binary", "@-"]
            status, _ = self.status(*flags, self.server.url + "/echo", input=too_much)
            self.assertEqual(status, "413", kind)
        self.ends_well(self.server)

    def test_a_head_does_not_differ_from_that_of_a_get(self):
        head = self.curl("--head", self.server.url + "/")
        get = self.curl("--include", self.server.url + "/").partition("\r\n\r\n")[0] + "\r\n\r\n"
        undated = [line for line in head.splitlines() if not line.startswith("Date:")]
        self.assertEqual(undated, [one for one in get.splitlines() if not one.startswith("Date:")])
        self.assertIn("Content-Length: 13", undated)
        self.ends_well(self.server)

    def test_a_client_of_http_1_0_does_not_wait_for_more(self):
        answer = self.curl("--http1.0", "--include", self.server.url + "/")
        self.assertIn("\r\nConnection: close\r\n", answer)
        self.assertTrue(answer.endswith("\r\n\r\nHello, World!"), answer)
        # Unless it has asked for more.
        one = ["--output", os.devnull, self.server.url + "/"]
        keep = ["--http1.0", "--header", "Connection: keep-alive"]
        self.assertEqual(self.curl(*keep, "--write-out", "%{num_connects} ", *one * 3), "1 0 0 ")
        self.ends_well(self.server)

    def test_http_2_is_neither_promised_nor_waited_for(self):
        self.assertEqual(self.curl("--http2", self.server.url + "/"), "Hello, World!")
        prior = ["curl", "--silent", "--http2-prior-knowledge", "--max-time", str(TOO_LONG)]
        # Whatever curl makes of it: 28 would be the time-out.
        self.assertNotIn(self.exit_status(*prior, self.server.url), [0, 28])
        self.ends_well(self.server)

    def test_tls_is_not_waited_for(self):
        url = self.server.url.replace("http", "https")
        # 35: the handshake has failed; 28 would be the time-out.
        self.assertEqual(self.exit_status("curl", "--silent", "--max-time", str(TOO_LONG), url), 35)
        self.ends_well(self.server)

    def test_many_at_once_are_not_mixed_up(self):
        many = ["--parallel", "--parallel-immediate", "--parallel-max", "50"]
        numbers = [str(number) for number in range(200)]
        requests = []
        for number in numbers:
            requests += ["--next"] if requests else []
            requests += ["--data", number + ";", self.server.url + "/echo"]
        answers = self.curl(*many, *requests).split(";")
        self.assertEqual(sorted(answers[:-1]), sorted(numbers))
        self.ends_well(self.server)

    def test_a_unix_socket_is_no_less_than_a_port(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "socket")
            server = self.serve("on_unix_socket", "--path", path)
            self.assertEqual(server.path, path)
            flags = ["--unix-socket", path, "--data-binary", "@-", "http://localhost/"]
            self.assertEqual(self.curl(*flags, input=LARGE), "%d\n" % len(LARGE))
            one = ["--output", os.devnull, "http://localhost/"]
            flags = ["--unix-socket", path, "--write-out", "%{num_connects} "]
            self.assertEqual(self.curl(*flags, *one * 3), "1 0 0 ")
            self.ends_well(server)

    def exit_status(self, *command):
        return self.finished(*command).returncode


class PythonClient(Case):
    def setUp(self):
        self.server = self.serve("hello")
        where = (self.server.host, self.server.port)
        self.connection = http.client.HTTPConnection(*where, timeout=TOO_LONG)
        self.addCleanup(self.connection.close)

    def exchange(self, *request, **more):
        self.connection.request(*request, **more)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def test_a_connection_is_not_closed_between_requests(self):
        self.connection.connect()
        socket = self.connection.sock
        for number in range(20):
            body = b"%d" % number
            self.assertEqual(self.exchange("POST", "/echo", body), (200, body))
            self.assertEqual(self.exchange("HEAD", "/"), (200, b""))
            self.assertEqual(self.exchange("GET", "/"), (200, b"Hello, World!"))
            self.assertEqual(self.exchange("DELETE", "/")[0], 405)
        self.assertIs(self.connection.sock, socket)
        self.connection.close()
        self.ends_well(self.server)

    def test_chunks_are_not_lost_or_reordered(self):
        pieces = [b"%d " % number * (number % 50 + 1) for number in range(2000)]
        answer = self.exchange("POST", "/echo", iter(pieces), encode_chunked=True)
        self.assertTrue(answer == (200, b"".join(pieces)))
        self.connection.close()
        self.ends_well(self.server)

    def test_what_is_not_allowed_does_not_cost_the_connection(self):
        self.connection.request("PUT", "/", LARGE[:1000])
        answer = self.connection.getresponse()
        self.assertEqual((answer.status, answer.getheader("Allow")), (405, "GET, HEAD, POST"))
        answer.read()
        self.assertEqual(self.exchange("GET", "/")[0], 200)
        self.connection.close()
        self.ends_well(self.server)

    def test_a_hundred_clients_do_not_get_each_others_answers(self):
        async def client(number, reader, writer):
            for round in range(20):
                body = b"%d of %d" % (round, number)
                writer.write(b"POST /echo HTTP/1.1\r\nHost: a\r\n")
                writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
                head = await reader.readuntil(b"\r\n\r\n")
                self.assertIn(b"\r\nContent-Length: %d\r\n" % len(body), head)
                self.assertEqual(await reader.readexactly(len(body)), body)

        with_asyncio(self.server, 100, client)
        self.ends_well(self.server)


@needs_aiohttp
class Aiohttp(Case):
    def test_many_sessions_do_not_get_each_others_answers(self):
        import aiohttp

        server = self.serve("hello")

        async def pieces(number):
            for piece in range(20):
                yield b"%d of %d;" % (piece, number)

        async def client(session, number):
            expected = b"".join([piece async for piece in pieces(number)])
            for body in [pieces(number), expected]:
                async with session.post(server.url + "/echo", data=body) as answer:
                    self.assertEqual((answer.status, await answer.read()), (200, expected))
            async with session.head(server.url) as answer:
                self.assertEqual(answer.headers["Content-Length"], "13")

        async def all_of_them():
            connections = aiohttp.TCPConnector(limit=20)
            async with aiohttp.ClientSession(connector=connections) as session:
                await asyncio.gather(*(client(session, number) for number in range(100)))

        asyncio.run(asyncio.wait_for(all_of_them(), TOO_LONG))
        self.ends_well(server)


@needs_wrk
class Wrk(Case):
    def measure(self, *flags):
        server = self.serve("hello")
        output = self.output("wrk", "-t1", "-c32", "-d2s", *flags, server.url + "/").decode()
        self.assertNotIn("Socket errors", output)
        self.assertNotIn("Non-2xx", output)
        requests = int(output.split(" requests in ")[0].split()[-1])
        # Any machine does a hundred times as many.
        self.assertGreater(requests, 1000, output)
        self.ends_well(server)

    def test_no_request_of_many_fails(self):
        self.measure()

    def test_no_request_of_many_fails_without_waiting_for_answers(self):
        folder = os.path.dirname(os.path.abspath(__file__))
        self.measure("-s", os.path.join(folder, "pipeline.lua"))
