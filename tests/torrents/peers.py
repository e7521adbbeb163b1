"""What tests of the peer need: a tracker that remembers, and peers that are scripts."""

import random
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote_to_bytes

from support import HOST, TOO_LONG
from torrents import bencode, new_address


class Tracker:
    """The least that clients take for a tracker. It remembers who has announced what."""

    def __init__(self):
        tracker = self
        self.seen = []
        self.peers = {}
        self.changed = threading.Condition()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                tracker.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.server.daemon_threads = True
        # Who leaves does not wait for the answer.
        self.server.handle_error = lambda *_: None
        self.url = "http://%s:%d/announce" % self.server.server_address
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def answer(self, request):
        if not request.path.startswith("/announce?"):
            return request.send_error(404)
        query = dict(item.split("=", 1) for item in request.path.partition("?")[2].split("&"))
        info_hash = unquote_to_bytes(query["info_hash"])
        host = request.client_address[0]
        peer = socket.inet_aton(host) + struct.pack(">H", int(query["port"]))
        with self.changed:
            peers = self.peers.setdefault(info_hash, set())
            others = b"".join(other for other in peers if other != peer)
            if query.get("event") == "stopped":
                peers.discard(peer)
            else:
                peers.add(peer)
            self.seen.append((host, query.get("event") or None, int(query["left"])))
            self.changed.notify_all()
        reply = bencode({"interval": 1800, "peers": others})
        request.send_response(200)
        request.send_header("Content-Length", str(len(reply)))
        request.end_headers()
        request.wfile.write(reply)

    def wait_for(self, host, event=..., left=...):
        """Until this host has announced that."""

        def matches(seen):
            wanted = (host, event, left)
            return all(want in (..., got) for want, got in zip(wanted, seen))

        with self.changed:
            came = self.changed.wait_for(lambda: any(map(matches, self.seen)), 2 * TOO_LONG)
            assert came, "no announce of %s, only %s" % ((host, event, left), self.seen)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


CHOKE, UNCHOKE, INTERESTED, NOT_INTERESTED, HAVE, BITFIELD, REQUEST, PIECE, CANCEL = range(9)
BLOCK = 16 * 1024


class Wire:
    """One end of a connection between peers. It takes nothing but what BEP 3 has."""

    def __init__(self, stream, info_hash, peer_id=None):
        self.stream = stream
        stream.settimeout(TOO_LONG)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unread = b""
        self.received = 0
        peer_id = peer_id or b"-PY0000-" + random.randbytes(12)
        stream.sendall(b"\x13BitTorrent protocol" + bytes(8) + info_hash + peer_id)
        greeting = self._read(68)
        assert greeting[:20] == b"\x13BitTorrent protocol", greeting
        assert greeting[28:48] == info_hash, greeting

    @staticmethod
    def connect(source, address, info_hash):
        stream = socket.create_connection(address, TOO_LONG, source_address=(source, 0))
        return Wire(stream, info_hash)

    def send(self, kind, *numbers, data=b""):
        body = struct.pack(">%dI" % len(numbers), *numbers) + data
        self.stream.sendall(struct.pack(">IB", 1 + len(body), kind) + body)

    def message(self):
        """The next that is not just a sign of life: its kind, and what follows."""
        while True:
            (length,) = struct.unpack(">I", self._read(4))
            assert length <= 9 + BLOCK, length
            if length:
                body = self._read(length)
                return body[0], body[1:]

    def expect(self, wanted):
        """Reads on to a message of this kind."""
        while True:
            kind, body = self.message()
            if kind == wanted:
                return body

    def close(self):
        self.stream.close()

    def _read(self, count):
        while len(self.unread) < count:
            piece = self.stream.recv(256 * 1024)
            if not piece:
                raise ConnectionError("the peer has closed")
            self.unread += piece
            self.received += len(piece)
        data, self.unread = self.unread[:count], self.unread[count:]
        return data


class ScriptedSeed:
    """A seed that says it has everything and sends what `block(piece, begin, length)` makes up."""

    def __init__(self, torrent, block):
        self.torrent = torrent
        self.block = block
        self.address = new_address()
        self.listener = socket.create_server((self.address, 0))
        self.port = self.listener.getsockname()[1]
        self.sent = 0
        self.accepted = 0
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            thread = threading.Thread(target=self._serve, args=[stream])
            self.threads.append(thread)
            thread.start()

    def _serve(self, stream):
        with stream:
            try:
                wire = Wire(stream, self.torrent.info_hash)
                pieces = self.torrent.pieces
                bits = int("1" * pieces + "0" * (-pieces % 8), 2)
                wire.send(BITFIELD, data=bits.to_bytes(-(-pieces // 8), "big"))
                wire.expect(INTERESTED)
                wire.send(UNCHOKE)
                while True:
                    piece, begin, length = struct.unpack(">III", wire.expect(REQUEST))
                    wire.send(PIECE, piece, begin, data=self.block(piece, begin, length))
                    self.sent += 1
            except (OSError, AssertionError):
                return

    def close(self):
        # Closing alone does not wake who waits in accept().
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(TOO_LONG)
