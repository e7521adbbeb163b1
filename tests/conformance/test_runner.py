"""The runner itself: a server that takes everything as it comes is not passed."""

import asyncio
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from responses import Responses
from run import load, parse_arguments, run_all


class Lenient(BaseHTTPRequestHandler):
    """Python's, which was not made for strangers."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


class Quiet(ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, *_):
        """Its handler does not expect what it gets here."""


class Runner(unittest.TestCase):
    def test_what_is_not_allowed_is_not_passed(self):
        server = Quiet(("127.0.0.1", 0), Lenient)
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        verdicts = {
            "base-get": None,
            "base-echo-binary": None,
            "host-missing": "status 200",
            "cl-dup-different": ".",
            "te-chunked": ".",
            "conn-lines-keep-close": "2 responses",
            "pipe-10-echo": None,
            "split-http10": None,
            "exp-waits": None,
            "half-close-in-length": "status 200",
        }
        cases = [case for name in parse_arguments([]).cases for case in load(name)]
        cases = [case for case in cases if case["id"] in verdicts]
        results = asyncio.run(run_all(server.server_address, cases, strict=False))
        self.assertEqual(len(results), len(verdicts))
        for result in results:
            expected = verdicts[result.case["id"]]
            with self.subTest(result.case["id"], got=result.got):
                if expected is None:
                    self.assertIsNone(result.objection)
                else:
                    self.assertRegex(result.objection or "passed", expected)

    def test_no_server_is_not_a_pass(self):
        server = Quiet(("127.0.0.1", 0), Lenient)
        server.server_close()
        cases = [case for case in load(parse_arguments([]).cases[0]) if case["id"] == "base-get"]
        [result] = asyncio.run(run_all(server.server_address, cases, strict=False))
        self.assertIn("no connection", result.objection)

    def test_ids_are_not_given_twice(self):
        ids = [case["id"] for name in parse_arguments([]).cases for case in load(name)]
        self.assertEqual(sorted(ids), sorted(set(ids)))


class ResponsesInPieces(unittest.TestCase):
    def test_pieces_do_not_change_what_was_said(self):
        text = (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
            b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0\r\nT: v\r\n\r\n"
            b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.0 404 Not Found\r\n\r\nto the end"
        )
        for size in range(1, len(text) + 1):
            responses = Responses()
            for start in range(0, len(text), size):
                responses.feed(text[start : start + size])
            responses.end()
            got = [(one.status, one.body) for one in responses.complete]
            whole = [(200, b"hello"), (200, b"abc"), (204, b""), (404, b"to the end")]
            self.assertEqual(got, whole)
            self.assertEqual((responses.interim, responses.fault), ([100], None))

    def test_what_is_no_response_is_not_taken_for_one(self):
        for text in [
            b"hello",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nrubbish",
        ]:
            responses = Responses()
            responses.feed(text)
            responses.end()
            self.assertIsNotNone(responses.fault, text)


if __name__ == "__main__":
    unittest.main()
