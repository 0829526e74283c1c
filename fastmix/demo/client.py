"""One client of the demo, a process of its own: sends the load and checks the answers, or receives, hashes and answers.

It is told what to do by JSON lines (`{"op": "go" | "hush" | "report"}`) and says what happens the same way.
"""

import asyncio
import hashlib
import random
import struct
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fastmix.client import Address, Client, Message
from fastmix.demo.load import PART, PART_SIZE, Load
from fastmix.demo.observer import KX_HOPS
from fastmix.demo.talk import hear, say, standard_input
from fastmix.errors import FastmixError
from fastmix.packet.geometry import GEOMETRIES

TOLD_EVERY = 0.2
"""Seconds between two lines of progress."""
SENDING_SHARE = 0.85
"""Of the client's slots, so many are offered messages: the queue stays short, the rest is cover and acknowledgements."""
CATCH_UP = 0.5
"""Seconds of the pace that a late client makes up for."""
IN_FLIGHT = 160
"""Messages under way at a time, at most."""
OVERHEAD = 2.5
"""Slots that a message takes besides those of its content: SURBs for the answer, a poll, the answer's acknowledgement."""
QUIET = 0.15
"""Seconds without a packet after which nothing more is on its way."""


class Role(Protocol):
    """What a client does."""

    async def work(self) -> None:
        """All of it."""
        ...

    def told(self) -> dict[str, Any]:
        """What happened since the last call."""
        ...


class Background:
    """Tasks that run beside each other, kept until they end."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Begins one."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class Sender:
    """Sends the load at an even pace; each message brings SURBs, and its answer must be the SHA-256 of what was sent."""

    def __init__(self, client: Client, load: Load, to: Address, setup: dict[str, Any]) -> None:
        self._client, self._load, self._to = client, load, to
        self._timeout, self._classes = float(setup["timeout"]), int(setup["classes"])
        self._rate = SENDING_SHARE * float(setup["send_rate"])
        self._data_size = GEOMETRIES[setup["geometry"]].data_size
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._sending = Background()
        self._digests: dict[bytes, bytes] = {}
        self._answers: dict[bytes, bytes] = {}
        self._started: list[tuple[int, int]] = []
        self.failed = self.acknowledged = self.replied = self.wrong = 0
        self.done = False

    async def work(self) -> None:
        """Sends everything, then waits for the answers."""
        answers = asyncio.create_task(self._receive())
        next_at = time.monotonic()
        for at in range(len(self._load)):
            await self._room.acquire()
            if next_at > time.monotonic():
                await asyncio.sleep(next_at - time.monotonic())
            next_at = max(next_at, time.monotonic() - CATCH_UP) + (self._load.size(at) / self._data_size + OVERHEAD) / self._rate
            self._sending.start(self._send(at))
        while self._sending.tasks:
            await asyncio.wait(self._sending.tasks)
        end = time.monotonic() + self._timeout
        while self._digests and time.monotonic() < end:
            await asyncio.sleep(0.02)
        answers.cancel()
        self.done = True

    async def _send(self, at: int) -> None:
        data = self._load.message(at)
        self._started.append((at, time.monotonic_ns()))
        try:
            sent = await self._client.send(self._to, data, timeout=self._timeout, reply=True, class_=at % self._classes)
        except FastmixError:
            self.failed += 1
        else:
            self.acknowledged += 1
            self._digests[sent.id] = hashlib.sha256(data).digest()
            self._compare(sent.id)
        finally:
            self._room.release()

    async def _receive(self) -> None:
        """Answers may come before the acknowledgement that tells the message's id."""
        while True:
            answer = await self._client.receive()
            if answer.in_reply_to is not None:
                self._answers[answer.in_reply_to] = answer.data
                self._compare(answer.in_reply_to)

    def _compare(self, message_id: bytes) -> None:
        if message_id in self._digests and message_id in self._answers:
            same = self._digests.pop(message_id) == self._answers.pop(message_id)
            self.replied += same
            self.wrong += not same

    def told(self) -> dict[str, Any]:
        """Starts (message, time in ns) and counts."""
        started, self._started = self._started, []
        return {
            "started": started,
            "acknowledged": self.acknowledged,
            "replied": self.replied,
            "wrong_replies": self.wrong,
            "failed": self.failed,
            "done": self.done,
        }


class Receiver:
    """Takes messages, hashes each, and answers with the hash. Parts of a file are put together at `file`."""

    def __init__(self, client: Client, setup: dict[str, Any]) -> None:
        self._client, self._timeout = client, float(setup["timeout"])
        self._file = Path(setup["file"]) if setup["file"] else None
        self._answering = Background()
        self._arrived: list[tuple[str, int, int]] = []

    async def work(self) -> None:
        """Until the process ends."""
        while True:
            message = await self._client.receive()
            arrived_ns = time.monotonic_ns()
            digest = hashlib.sha256(message.data).digest()
            self._arrived.append((digest.hex(), arrived_ns, len(message.data)))
            if self._file is not None:
                self._keep(message.data, self._file)
            if message.n_surbs:
                self._answering.start(self._answer(message, digest))

    async def _answer(self, message: Message, digest: bytes) -> None:
        try:
            await self._client.reply(message, digest, timeout=self._timeout)
        except FastmixError:
            return  # the sender counts the answers that it has

    def _keep(self, data: bytes, path: Path) -> None:
        try:
            at, _ = PART.unpack_from(data)
        except struct.error:
            return  # not a part: its hash will be missing
        with path.open("r+b" if path.exists() else "wb") as file:
            file.seek(at * PART_SIZE)
            file.write(data[PART.size :])

    def told(self) -> dict[str, Any]:
        """Arrivals (SHA-256, time in ns, bytes), and how many answers are not yet acknowledged."""
        arrived, self._arrived = self._arrived, []
        return {"arrived": arrived, "answering": len(self._answering.tasks)}


def make_client(setup: dict[str, Any]) -> Client:
    """The client; it writes the `kx_public`s of all that it builds into the file `record`, 3 x 32 bytes a packet."""
    record = Path(setup["record"]).open("wb", buffering=1 << 16)  # noqa: SIM115 (as long as the process)

    def note(kx_publics: npt.NDArray[np.uint8]) -> None:
        if kx_publics.shape[1] >= KX_HOPS:
            record.write(kx_publics[:, :KX_HOPS].tobytes())
            record.flush()

    return Client(
        setup["network"],
        setup["peer_id"],
        Path(setup["secret"]),
        send_rate=setup["send_rate"],
        retransmit_after=setup["retransmit_after"],
        observer=note,
        route_entropy=random.Random(f"{setup['seed']} routes {setup['role']}").randbytes,
    )


def make_role(client: Client, setup: dict[str, Any]) -> Role:
    """Sender or receiver."""
    if setup["role"] == "receiver":
        return Receiver(client, setup)
    load = Load(setup["seed"], setup["messages"], Path(setup["file"]) if setup["file"] else None)
    return Sender(client, load, Address.from_text(setup["to"]), setup)


async def tell(role: Role, client: Client) -> None:
    """Says what happens, five times a second."""
    while True:
        say({"told": {**role.told(), "counters": client.counters.as_dict()}})
        await asyncio.sleep(TOLD_EVERY)


async def settled(client: Client) -> None:
    """Until nothing has come for a while."""
    before = -1
    while before != client.counters.received:
        before = client.counters.received
        await asyncio.sleep(QUIET)


async def live() -> None:
    """Starts; is ready once a packet has gone through the network and come back; then does as it is told."""
    lines = await standard_input()
    setup = await hear(lines)
    async with make_client(setup) as client:
        say({"bound": client.bound})
        while not client.counters.received:
            await asyncio.sleep(0.01)
        say({"ready": True})
        tasks: list[asyncio.Task[None]] = []
        role: Role | None = None
        while (asked := (await hear(lines))["op"]) != "report":
            if asked == "go":
                role = make_role(client, setup)
                tasks = [asyncio.create_task(role.work()), asyncio.create_task(tell(role, client))]
            elif asked == "hush":
                client.hush()
                for task in tasks:
                    task.cancel()
                say({"hushed": True, "told": role.told() if role else {}})
        await settled(client)
        counters = client.counters
        say(
            {
                "report": {
                    **counters.as_dict(),
                    "kernel_drop_events": client.kernel_drop_events(),
                    "difference": counters.difference(),
                }
            }
        )


if __name__ == "__main__":
    try:
        asyncio.run(live())
    except (EOFError, KeyboardInterrupt):
        sys.exit(1)
    except FastmixError as error:
        sys.exit(f"{error}")
