"""Takes apart what a server sends: its responses, one behind the other."""

import re

STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: [^\r\n]*)?")


class Fault(Exception):
    """What the server sent is not HTTP/1.x."""


class Response:
    def __init__(self, status, fields):
        self.status = status
        self.fields = fields
        self.body = b""


class Responses:
    """Reads responses from the pieces in which they arrive.

    `methods` are those of the requests, in order, as far as they are not GET: whether a response
    has a body depends on them.
    """

    def __init__(self, methods=()):
        self.complete = []
        # The statuses of interim responses, as 100.
        self.interim = []
        # Why these are no responses, if they are not.
        self.fault = None
        self._methods = methods
        self._unread = bytearray()
        self._at_end = False
        self._is_inside = False
        self._reader = self._read()
        next(self._reader)

    def feed(self, piece):
        self._unread += piece
        self._go_on()

    def end(self):
        """No more will come."""
        self._at_end = True
        self._go_on()

    def is_between(self):
        """Whether nothing is missing of the response that has begun."""
        return not self._is_inside and not self._unread

    def _go_on(self):
        if self.fault is None:
            try:
                next(self._reader)
            except StopIteration:
                pass
            except Fault as fault:
                self.fault = str(fault)

    # What follows are generators: they yield when they need more bytes.

    def _read(self):
        while (yield from self._has_more()):
            status, fields = self._split(bytes((yield from self._head())))
            if 100 <= status < 200 and status != 101:
                self.interim.append(status)
                continue
            self._is_inside = True
            response = Response(status, fields)
            response.body = bytes((yield from self._body(response)))
            self._is_inside = False
            self.complete.append(response)

    def _has_more(self):
        while not self._unread and not self._at_end:
            yield
        return bool(self._unread)

    def _head(self):
        while not self._unread.startswith(b"HTTP/1."):
            if not b"HTTP/1.".startswith(self._unread):
                raise Fault("no HTTP/1.x response: %r" % bytes(self._unread[:60]))
            yield from self._more()
        return (yield from self._until(b"\r\n\r\n"))

    def _split(self, head):
        status_line, *lines = head.split(b"\r\n")
        found = STATUS_LINE.fullmatch(status_line)
        if not found:
            raise Fault("a bad status line: %r" % status_line[:60])
        fields = {}
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon or line[:1] in b" \t":
                raise Fault("a bad field line: %r" % line[:60])
            name = name.decode("latin-1").lower()
            value = value.strip().decode("latin-1")
            fields[name] = fields[name] + ", " + value if name in fields else value
        return int(found.group(1)), fields

    def _body(self, response):
        answered = len(self.complete)
        method = self._methods[answered] if answered < len(self._methods) else "GET"
        status, fields = response.status, response.fields
        if status in (101, 204, 304) or (method == "CONNECT" and 200 <= status < 300):
            return b""
        length = fields.get("content-length", "")
        if method == "HEAD":
            # A request that was not understood need not have been taken for a HEAD.
            if status >= 400 and length.isdigit() and not self._unread.startswith(b"HTTP/"):
                del self._unread[: int(length)]
            return b""
        if "transfer-encoding" in fields:
            return (yield from self._chunks())
        if "content-length" in fields:
            if not re.fullmatch("[0-9]+", length):
                raise Fault("a bad Content-Length: %r" % length)
            return (yield from self._take(int(length)))
        return (yield from self._rest())

    def _chunks(self):
        body = bytearray()
        while True:
            line = yield from self._until(b"\r\n")
            try:
                size = int(bytes(line).partition(b";")[0], 16)
            except ValueError:
                raise Fault("a bad chunk: %r" % bytes(line[:60])) from None
            if size == 0:
                break
            body += yield from self._take(size)
            if (yield from self._take(2)) != b"\r\n":
                raise Fault("a chunk longer than its size")
        while (yield from self._until(b"\r\n")):
            pass
        return body

    def _until(self, delimiter):
        searched = 0
        while (found := self._unread.find(delimiter, searched)) < 0:
            searched = max(0, len(self._unread) - len(delimiter))
            yield from self._more()
        taken = self._unread[:found]
        del self._unread[: found + len(delimiter)]
        return taken

    def _take(self, count):
        while len(self._unread) < count:
            yield from self._more()
        taken = self._unread[:count]
        del self._unread[:count]
        return taken

    def _rest(self):
        while not self._at_end:
            yield
        taken = self._unread[:]
        self._unread.clear()
        return taken

    def _more(self):
        if self._at_end:
            raise Fault("the connection ends within a response")
        yield
