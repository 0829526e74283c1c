"""One connection: a stream of messages under TLS, over which both ends ask and answer.

The greeting comes first (`greeting`); until it is over nothing else is read, and only 4 KiB of it from who has come. Then either
end asks by name, and up to 64 questions wait at a time. Who asks too often, sends what is none, or lies still too long is let go.
"""

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from itertools import count
from typing import Any, cast

from fastmix.errors import FastmixError, NetworkFailure
from fastmix.tls.frames import ERROR_MAX, FRAME_MAX, GREETING_MAX, Message, Unpacker, pack

log = logging.getLogger(__name__)
ANSWER_S = 10.0
"""So long an answer is waited for."""
WAITING_MAX = 64
IDLE_S = 120.0
ASKS_A_SECOND, ASKS_AT_ONCE = 50.0, 200.0
BUFFER_MAX = 4 << 20
"""Bytes that may wait to be read by a slow peer; then it is let go."""

Handler = Callable[[bytes], Awaitable[bytes]]
"""Answers a question of some name: body to body. A `FastmixError` is told to who has asked."""


class Connection(asyncio.Protocol):
    """An end of a connection. `greet` is run when it is made, and has the stream to itself until it returns.

    `closed` is set once it is over, and `why` says for what reason.
    """

    def __init__(self, greet: Callable[["Connection"], Awaitable[Mapping[str, Handler]]], first_most: int = GREETING_MAX) -> None:
        self.why = ""
        self.closed = asyncio.Event()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())
        self._greet, self._handlers = greet, cast(Mapping[str, Handler], {})
        self._unpacker = Unpacker(first_most)
        self._greetings: deque[Message] = deque()
        self._stirred = asyncio.Event()
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._numbers = count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport | None = None
        self._greeting: asyncio.Task[None] | None = None
        self._tokens, self._counted_at = ASKS_AT_ONCE, 0.0
        self._heard_at = 0.0

    @property
    def tls(self) -> ssl.SSLObject:
        """What the handshake has come to."""
        return cast(ssl.SSLObject, self._open().get_extra_info("ssl_object"))

    @property
    def certificate(self) -> bytes | None:
        """What the other end has shown, DER."""
        return self.tls.getpeercert(binary_form=True)

    @property
    def address(self) -> tuple[str, int]:
        """Of the other end."""
        host, port, *_ = self._open().get_extra_info("peername")
        return host, port

    async def ask(self, name: str, body: bytes, timeout_s: float = ANSWER_S) -> bytes:
        """The answer. `NetworkFailure` where there is none in time, the other end refuses, or the connection ends."""
        if len(self._asked) >= WAITING_MAX:
            raise NetworkFailure(f"{WAITING_MAX} questions wait for this peer already")
        number, answer = next(self._numbers) & 0xFFFFFFFF, asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self.send(Message("ask", number, name, body))
            async with asyncio.timeout(timeout_s):
                return cast(bytes, await answer)
        except TimeoutError:
            raise NetworkFailure(f"no answer to {name} in {timeout_s:g} s") from None
        finally:
            self._asked.pop(number, None)

    def tell(self, name: str, body: bytes) -> None:
        """Without an answer. `NetworkFailure` where the connection is over."""
        self.send(Message("tell", 0, name, body))

    def send(self, message: Message) -> None:
        """Writes a message; lets go of a peer that does not read."""
        transport = self._open()
        transport.write(pack(message))
        if transport.get_write_buffer_size() > BUFFER_MAX:
            self.end("it does not read what it is sent")

    async def greeting(self) -> Message:
        """The next message of the greeting; `NetworkFailure` where the connection ends first."""
        while not self._greetings:
            if self.closed.is_set():
                raise NetworkFailure(self.why)
            self._stirred.clear()
            await self._stirred.wait()
        return self._greetings.popleft()

    def answer_by(self, handlers: Mapping[str, "Handler"]) -> None:
        """What the other end may ask from now on."""
        self._handlers = handlers

    def end(self, why: str, *, at_once: bool = False) -> None:
        """Closes it; who waits for answers is told why. `at_once`: nothing that was written is waited for."""
        self.why = self.why or why
        if self._transport is not None:
            (self._transport.abort if at_once else self._transport.close)()

    def look(self, now: float) -> None:
        """Ends a connection that nobody has used for a while. `now`: of the loop."""
        if now - self._heard_at > IDLE_S and not self._asked:
            self.end("nobody has used it for a while")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is over."""
        self._transport = cast(asyncio.Transport, transport)
        self._heard_at = self._counted_at = asyncio.get_running_loop().time()
        self._greeting = self._spawn(self._begin())

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        self._heard_at = asyncio.get_running_loop().time()
        try:
            for message in self._unpacker.feed(data):
                self._received(message)
        except NetworkFailure as failure:
            self.end(str(failure))

    def connection_lost(self, error: Exception | None) -> None:
        """It is over."""
        self.why = self.why or (str(error) if error else "the other end has closed it")
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(NetworkFailure(self.why))
        if not self.ready.done():
            self.ready.set_exception(NetworkFailure(self.why))
        self.closed.set()
        self._stirred.set()
        for task in self._tasks:
            if task is not self._greeting:
                task.cancel()

    async def _begin(self) -> None:
        try:
            self._handlers = await self._greet(self)
        except FastmixError as error:
            with suppress(NetworkFailure):
                self.send(Message("error", 0, "", str(error)[:ERROR_MAX].encode()))
            self.end(str(error))
            if not self.ready.done():
                self.ready.set_exception(NetworkFailure(str(error)))
            return
        self._unpacker.most = FRAME_MAX
        if not self.ready.done():
            self.ready.set_result(None)

    def _received(self, message: Message) -> None:
        if not self.ready.done():
            if len(self._greetings) > 1:
                raise NetworkFailure("it speaks before it is asked")
            self._greetings.append(message)
            self._stirred.set()
        elif message.kind in ("answer", "error"):
            self._answered(message)
        else:
            self._count()
            if len(self._tasks) >= WAITING_MAX:
                raise NetworkFailure(f"it has asked {WAITING_MAX} questions without waiting for an answer")
            self._spawn(self._answer(message))

    def _answered(self, message: Message) -> None:
        answer = self._asked.get(message.number)
        if answer is None or answer.done():
            return  # too late
        if message.kind == "answer":
            answer.set_result(message.body)
        else:
            answer.set_exception(NetworkFailure(f"refused: {shown(message.body)}"))

    async def _answer(self, message: Message) -> None:
        kind, body = "answer", b""
        try:
            if message.name not in self._handlers:
                raise NetworkFailure(f"{message.name!r} is nothing that is answered here")
            body = await self._handlers[message.name](message.body)
        except FastmixError as error:
            kind, body = "error", str(error)[:ERROR_MAX].encode()
        if message.kind == "ask":
            with suppress(NetworkFailure):  # nobody waits any more
                self.send(Message(cast(Any, kind), message.number, "", body))

    def _count(self) -> None:
        """A token for each question."""
        now = asyncio.get_running_loop().time()
        self._tokens = min(ASKS_AT_ONCE, self._tokens + (now - self._counted_at) * ASKS_A_SECOND) - 1
        self._counted_at = now
        if self._tokens < 0:
            raise NetworkFailure(f"it asks more than {ASKS_A_SECOND:g} questions a second")

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _open(self) -> asyncio.Transport:
        if self._transport is None or self._transport.is_closing():
            raise NetworkFailure(self.why or "the connection is over")
        return self._transport


def shown(body: bytes) -> str:
    """The words of another end, as they can be logged."""
    text = body[:ERROR_MAX].decode(errors="replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)
