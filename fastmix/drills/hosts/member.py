"""A client of a fleet, a process of its own on its host: sends numbered messages to the others, and says what left and what came.

It is told what to do by JSON lines (`{"op": "go", "to": [...], "per_s": n} | {"op": "rest" | "hush" | "report"}`), and says
`{"sent": [[id, ns]], "arrived": [[id, ns]]}` several times a second, with times of the machine's monotonic clock; and its
address, at first and when it has another exit.
"""

import asyncio
import json
import random
import struct
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.client import Address, Client
from fastmix.demo.client import Background
from fastmix.demo.talk import hear, say, standard_input
from fastmix.errors import BatchTimeout, FastmixError

TOLD_EVERY_S = 0.1
MARK_SIZE = 16
_ID = struct.Struct("!Q")


def message(number: int, mark: bytes, size: int) -> bytes:
    """A message that is known wherever any 40 bytes of it are: its number and the drill's mark, again and again."""
    unit = _ID.pack(number) + mark
    return (unit * -(-size // len(unit)))[:size]


def number_of(data: bytes) -> int:
    """Of such a message."""
    return int(_ID.unpack_from(data)[0])


class Member:
    """What it has to say, and what it does."""

    def __init__(self, client: Client, setup: dict[str, Any]) -> None:
        self._client, self._timeout_s = client, float(setup["timeout_s"])
        self._next = int(setup["first"])
        self._mark, self._size = bytes.fromhex(setup["mark"]), int(setup["size"])
        self._sent: list[tuple[int, int]] = []
        self._arrived: list[tuple[int, int]] = []
        self._refused: list[int] = []
        self._sending = Background()
        self._random = random.Random(self._next)

    async def send(self, to: list[Address], per_s: float) -> None:
        """At an even pace, to any of them, until it is cancelled."""
        due = time.monotonic()
        while True:
            due = max(due + 1 / per_s, time.monotonic() - 1)
            self._sending.start(self._send(self._random.choice(to)))
            await asyncio.sleep(due - time.monotonic())

    async def _send(self, to: Address) -> None:
        number, self._next = self._next, self._next + 1
        self._sent.append((number, time.monotonic_ns()))
        try:
            await self._client.send(to, message(number, self._mark, self._size), timeout=self._timeout_s)
        except BatchTimeout:
            return  # whether it has come, its receiver says
        except FastmixError:
            self._refused.append(number)  # and never left

    async def receive(self) -> None:
        """Until the process ends."""
        while True:
            data = (await self._client.receive()).data  # meanwhile `told` may have begun another list
            self._arrived.append((number_of(data), time.monotonic_ns()))

    def told(self) -> dict[str, Any]:
        """What happened since the last call."""
        sent, self._sent = self._sent, []
        arrived, self._arrived = self._arrived, []
        refused, self._refused = self._refused, []
        return {"sent": sent, "arrived": arrived, "refused": refused}

    async def tell(self) -> None:
        """Says it, again and again; and the client's address, when it changes."""
        address = ""
        while True:
            moved = {} if address == (address := str(self._client.address)) else {"address": address}
            say(self.told() | moved)
            await asyncio.sleep(TOLD_EVERY_S)


def make_client(setup: dict[str, Any]) -> Client:
    """The client, which writes the `kx_public`s of all that it builds into a file. How it joins its network is told here only."""
    record = Path(setup["record"]).open("wb", buffering=1 << 16)  # noqa: SIM115 (as long as the process)

    def note(kx_publics: npt.NDArray[np.uint8]) -> None:
        record.write(kx_publics.tobytes())
        record.flush()

    if "bootstrap" in setup:
        return Client.join(
            setup["bootstrap"], send_rate=setup["send_rate"], retransmit_after=setup["retransmit_after_s"], observer=note,
            tell=lambda text: print(text, file=sys.stderr, flush=True),
        )  # fmt: skip
    return Client(
        setup["network"], setup["peer_id"], Path(setup["secret"]), send_rate=setup["send_rate"],
        retransmit_after=setup["retransmit_after_s"], observer=note,
    )  # fmt: skip


def report(client: Client) -> dict[str, Any]:
    """Its counters."""
    counters = client.counters
    return {**counters.as_dict(), "difference": counters.difference(), "kernel_drop_events": client.kernel_drop_events()}


async def live() -> None:
    """Starts; is ready once a packet has come back through the network; then does as it is told, to the end."""
    lines = await standard_input()
    setup = await hear(lines)
    async with make_client(setup) as client:
        while not client.counters.received:
            await asyncio.sleep(0.01)
        member = Member(client, setup)
        background = [asyncio.create_task(member.receive()), asyncio.create_task(member.tell())]
        sending: asyncio.Task[None] | None = None
        while asked := await hear(lines):
            if sending is not None:
                sending.cancel()
            if asked["op"] == "go":
                sending = asyncio.create_task(member.send([Address.from_text(text) for text in asked["to"]], asked["per_s"]))
                background.append(sending)
            elif asked["op"] == "hush":
                client.hush()
            elif asked["op"] == "report":
                say({**member.told(), "report": report(client)})


if __name__ == "__main__":
    try:
        asyncio.run(live())
    except (EOFError, KeyboardInterrupt, json.JSONDecodeError):
        sys.exit(1)
    except FastmixError as error:
        sys.exit(f"{error}")
