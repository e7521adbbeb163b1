"""The demo application with the clients of others, and behind a proxy."""

import asyncio
import hashlib
import json
import os
import subprocess
import tempfile

from support import NGINX, TOO_LONG, Case, programs, with_asyncio
from support import needs_aiohttp, needs_curl, needs_nginx

# More than a request's body may have unless a handler says otherwise.
UPLOAD = b"0123456789abcdef" * (20 * 1024 * 1024 // 16)


class App(Case):
    def setUp(self):
        if "http_app" not in programs():
            self.skipTest("there is no example http_app yet")
        self.server = self.serve("http_app")

    def assertIsUpload(self, answer):
        digest = hashlib.sha256(UPLOAD).hexdigest()
        self.assertEqual(json.loads(answer), {"length": len(UPLOAD), "sha256": digest})


@needs_curl
class Curl(App):
    def test_what_is_uploaded_does_not_arrive_changed(self):
        for flags in [
            ["--data-binary", "@-"],
            ["--request", "POST", "--header", "Transfer-Encoding: chunked", "--upload-file", "-"],
            ["--data-binary", "@-", "--header", "Expect: 100-continue", "--limit-rate", "100M"],
        ]:
            self.assertIsUpload(self.curl(*flags, self.server.url + "/upload", input=UPLOAD))
        self.ends_well(self.server)

    def test_a_stream_does_not_lose_a_part(self):
        url = self.server.url + "/stream?chunks=500&bytes=20000&delay_ms=0"
        self.assertEqual(len(self.curl(url)), 500 * 20000)
        self.assertEqual(len(self.curl("--http1.0", url)), 500 * 20000)
        self.assertEqual(len(self.curl("--limit-rate", "8M", url)), 500 * 20000)
        # Chunks leave the connection as it was.
        one = ["--output", os.devnull, self.server.url + "/stream?chunks=3&delay_ms=0"]
        self.assertEqual(self.curl("--write-out", "%{num_connects} ", *one * 3), "1 0 0 ")
        self.ends_well(self.server)

    def test_a_page_that_is_not_there_is_not_a_success(self):
        status = ["--output", os.devnull, "--write-out", "%{http_code}"]
        self.assertEqual(self.curl(*status, self.server.url + "/nowhere"), "404")
        answer = self.curl("--include", "--request", "DELETE", self.server.url + "/plaintext")
        self.assertTrue(answer.startswith("HTTP/1.1 405 "), answer)
        self.assertIn("\r\nAllow: GET, HEAD\r\n", answer)
        self.ends_well(self.server)

    def test_what_is_said_does_not_wait_for_the_next_event(self):
        events = self.open("curl", "--silent", "--no-buffer", self.server.url + "/events")
        self.assertEqual(events.line(), "retry: 1000")
        say = ["--header", "Content-Type: application/json", "--data", "@-"]
        text = b'{"name": "anna", "text": "hello"}'
        self.curl("--fail", *say, self.server.url + "/messages", input=text)
        while (line := events.line()) != "event: message":
            self.assertIsNotNone(line, "the stream has ended")
        said = [events.line(), events.line()][1]
        self.assertIn('"text":"hello"', said)
        self.ends_well(self.server)


class ManyClients(App):
    def test_streams_are_not_mixed_up(self):
        async def client(number, reader, writer):
            query = b"chunks=%d&bytes=1000&delay_ms=1" % (number % 7 + 1)
            writer.write(b"GET /stream?%s HTTP/1.1\r\nHost: a\r\n\r\n" % query)
            await reader.readuntil(b"\r\n\r\n")
            for _ in range(number % 7 + 1):
                self.assertEqual(await reader.readline(), b"3e8\r\n")
                self.assertEqual(await reader.readexactly(1002), b"." * 1000 + b"\r\n")
            self.assertEqual(await reader.readexactly(5), b"0\r\n\r\n")

        with_asyncio(self.server, 100, client)
        self.ends_well(self.server)


@needs_aiohttp
class WebSocket(App):
    def with_session(self, client):
        import aiohttp

        async def run():
            async with aiohttp.ClientSession() as session:
                await client(session)

        asyncio.run(asyncio.wait_for(run(), TOO_LONG))

    def test_a_websocket_does_not_say_back_something_else(self):
        async def client(session):
            async with session.ws_connect(self.server.url + "/ws") as socket:
                for text in ["", "hello", "x" * 60000]:
                    await socket.send_str(text)
                    self.assertEqual(await socket.receive_str(), text)
                    await socket.send_bytes(text.encode())
                    self.assertEqual(await socket.receive_bytes(), text.encode())
                await socket.ping(b"are you there?")
            self.assertEqual(socket.close_code, 1000)

        self.with_session(client)
        self.ends_well(self.server)

    def test_a_message_over_the_limit_is_not_said_back(self):
        async def client(session):
            async with session.ws_connect(self.server.url + "/ws") as socket:
                await socket.send_bytes(bytes(100_000))
                await socket.receive()
                self.assertEqual(socket.close_code, 1009)

        self.with_session(client)
        self.assertEqual(self.server.finish()[0], 0)

    def test_a_hundred_websockets_do_not_get_each_others_messages(self):
        async def client(session):
            async def one(number):
                async with session.ws_connect(self.server.url + "/ws") as socket:
                    for round in range(10):
                        text = "%d of %d" % (round, number)
                        await socket.send_str(text)
                        self.assertEqual(await socket.receive_str(), text)

            await asyncio.gather(*(one(number) for number in range(100)))

        self.with_session(client)
        self.ends_well(self.server)


@needs_curl
@needs_nginx
class BehindNginx(App):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.socket = os.path.join(folder.name, "front")
        settings = os.path.join(folder.name, "nginx.conf")
        with open(settings, "w", encoding="utf-8") as file:
            file.write(SETTINGS % {"folder": folder.name, "port": self.server.port})
        command = [NGINX, "-p", folder.name, "-c", settings, "-e", "stderr"]
        nginx = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.addCleanup(nginx.communicate)
        self.addCleanup(nginx.terminate)
        # It says so when it listens.
        while "event method" not in (line := nginx.stderr.readline()):
            self.assertTrue(line, "nginx has ended")

    def front(self, path, *flags, **more):
        return self.curl("--unix-socket", self.socket, *flags, "http://front" + path, **more)

    def test_its_connections_are_not_closed_between_requests(self):
        for _ in range(30):
            self.assertEqual(self.front("/plaintext"), "Hello, World!")
        # Beside the one that asks, there is one that nginx has kept.
        metrics = self.curl(self.server.url + "/metrics")
        self.assertIn("\nhttp_app_connections 2\n", metrics)
        self.ends_well(self.server)

    def test_bodies_do_not_arrive_changed(self):
        chunked = ["--request", "POST", "--header", "Transfer-Encoding: chunked"]
        chunked += ["--upload-file", "-"]
        for path in ["/upload", "/unbuffered/upload"]:
            self.assertIsUpload(self.front(path, "--data-binary", "@-", input=UPLOAD))
            self.assertIsUpload(self.front(path, *chunked, input=UPLOAD))
        answer = self.front("/stream?chunks=500&bytes=20000&delay_ms=0")
        self.assertEqual(answer, "." * 500 * 20000)
        self.ends_well(self.server)


SETTINGS = """
daemon off;
master_process off;
pid %(folder)s/pid;
error_log stderr notice;
events {}
http {
    access_log off;
    client_max_body_size 0;
    client_body_temp_path %(folder)s/client;
    proxy_temp_path %(folder)s/proxy;
    fastcgi_temp_path %(folder)s/fastcgi;
    uwsgi_temp_path %(folder)s/uwsgi;
    scgi_temp_path %(folder)s/scgi;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    upstream app {
        server 127.0.0.1:%(port)d;
        keepalive 4;
    }
    server {
        listen unix:%(folder)s/front;
        location / {
            proxy_pass http://app;
        }
        location /unbuffered/ {
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_pass http://app/;
        }
    }
}
"""