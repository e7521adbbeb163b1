"""A connection that plays a case: sends its bytes as the case wants them sent, and listens."""

import asyncio
import socket
import struct
import time

from responses import Responses


class Connection:
    """`async with Connection(address, methods)`: connected, and listening all the time."""

    def __init__(self, address, methods):
        self.responses = Responses(methods)
        # The server has closed, or the client has given up: nothing more will come.
        self.ended = asyncio.Event()
        # The client has vanished: what it did not hear is nobody's fault.
        self.was_abandoned = False
        self.was_reset = False
        self.is_sending = False
        self._tasks = []
        self._address = address
        self._last_news = self._begun = time.monotonic()

    async def __aenter__(self):
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        self._socket = socket.socket(family)
        self._socket.setblocking(False)
        self._loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(self._loop.sock_connect(self._socket, self._address), 5)
        except BaseException:
            self._socket.close()
            raise
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tasks.append(asyncio.create_task(self._listen()))
        return self

    async def __aexit__(self, *_):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._socket.close()

    async def _listen(self):
        while not self.ended.is_set():
            try:
                piece = await self._loop.sock_recv(self._socket, 1 << 18)
            except OSError:
                piece, self.was_reset = b"", True
            self._last_news = time.monotonic()
            if piece:
                self.responses.feed(piece)
            else:
                self.responses.end()
                self.ended.set()

    def silence(self):
        """For how long nothing was sent or received."""
        return time.monotonic() - self._last_news

    def age(self):
        return time.monotonic() - self._begun

    def has_answer(self):
        return bool(self.responses.complete or self.responses.fault)

    async def until(self, holds, seconds):
        """Whether it holds before so much time has passed or the connection ends."""
        deadline = time.monotonic() + seconds
        while not holds() and not self.ended.is_set() and time.monotonic() < deadline:
            await self.end_within(min(TICK, deadline - time.monotonic()))
        return holds()

    async def end_within(self, seconds):
        try:
            await asyncio.wait_for(self.ended.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    def begin_to_send(self, data, seconds):
        """Like `send`, of which nobody waits for the end."""
        self.is_sending = True
        self._tasks.append(asyncio.create_task(self.send(data, seconds)))

    async def send(self, data, seconds):
        """Sends as much as the server takes in this time, and until it closes."""
        self.is_sending = True
        sending = asyncio.create_task(self._loop.sock_sendall(self._socket, data))
        ending = asyncio.create_task(self.ended.wait())
        first = asyncio.FIRST_COMPLETED
        try:
            await asyncio.wait([sending, ending], timeout=seconds, return_when=first)
        finally:
            sending.cancel()
            ending.cancel()
            # A server that has gone may have said something before, and that is what counts.
            await asyncio.gather(sending, ending, return_exceptions=True)
            self.is_sending = False
            self._last_news = time.monotonic()

    def half_close(self):
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def reset(self):
        """Vanishes as a client does that was killed with unread bytes."""
        now = struct.pack("ii", 1, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        self.was_abandoned = True
        self.ended.set()


async def play(steps, connection, seconds):
    """Does what the steps say; returns what stands against going on, if anything does."""
    responses = connection.responses
    for step, *arguments in steps:
        if step == "send":
            await connection.send(arguments[0].encode("latin-1"), seconds)
        elif step == "send_repeat":
            unit, count = arguments
            await connection.send(unit.encode("latin-1") * count, seconds)
        elif step == "send_slow":
            text, pause = arguments
            for byte in text.encode("latin-1"):
                await connection.send(bytes([byte]), seconds)
                await connection.end_within(pause)
        elif step == "sleep":
            await connection.end_within(arguments[0])
        elif step == "await":
            count, patience = arguments
            await connection.until(lambda: len(responses.complete) >= count, patience)
        elif step == "expect_interim":
            status, patience = arguments

            def is_answered():
                return status in responses.interim or connection.has_answer()

            if not await connection.until(is_answered, patience):
                return "no %d within %s s" % (status, patience)
            if connection.has_answer():
                return None
        elif step == "shutdown_wr":
            connection.half_close()
        elif step == "abort":
            connection.reset()
            return None
        else:
            raise ValueError("an unknown step: %s" % step)
    return None


# How often something is looked at that has no event of its own.
TICK = 0.02
