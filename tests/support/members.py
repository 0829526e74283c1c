"""Memberships of several nodes in one process, over real connections on loopback: all of a node but its data plane."""

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from secrets_of_tests import locked

from fastmix.config import MixnodeConfig
from fastmix.control.membership import Membership
from fastmix.descriptor import Descriptor
from fastmix.directory.bootstrap import Bootstrap
from fastmix.keys.hierarchy import Identity
from fastmix.keys.slots import SlotTimes
from fastmix.links.exchange import Roots
from fastmix.tls.greeting import pin_of

S = 10**9
TIMES = SlotTimes(600 * S, 60 * S, 120 * S)
HERE = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HERE, 0))
        return int(sock.getsockname()[1])


@dataclass
class Rows:
    """In place of a data plane: keeps the roots of each peer, and says which ones are used to send."""

    roots: dict[int, tuple[bytes, Roots]] = field(default_factory=dict)
    sending: dict[bytes, int] = field(default_factory=dict)
    places: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    routes: dict[int, bytes] = field(default_factory=dict)
    indices: Any = field(default_factory=lambda: iter(range(1, 1 << 32)))

    def set_network(self, places: dict[bytes, tuple[str, int]], routes: dict[int, bytes]) -> None:
        self.places, self.routes = dict(places), dict(routes)

    def free_index(self) -> int:
        return next(self.indices)

    async def install(self, peer: bytes, roots: Roots, *, is_client: bool) -> int:
        number = len(self.roots)
        self.roots[number] = peer, roots
        return number

    async def switch(self, row: int) -> None:
        self.sending[self.roots[row][0]] = row

    def live(self) -> set[bytes]:
        return set(self.sending)


@dataclass
class Member:
    """One node. `join`: its [join], besides the places; `skew_ns` is not there: all have this machine's clock."""

    folder: Path
    bootstrap: tuple[str, ...] = ()
    join: dict[str, Any] = field(default_factory=dict)
    seed: bytes = b""
    control_port: int = 0
    data_port: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.identity = Identity(locked(self.seed)) if self.seed else Identity.fresh()
        self.control_port = self.control_port or free_port()
        self.data_port = self.data_port or self.control_port
        self.rows = Rows()
        self.member: Membership | None = None
        self.running: asyncio.Task[None] | None = None

    @property
    def config(self) -> MixnodeConfig:
        join = {"admission": "open", "control_addr": f"{HERE}:{self.control_port}", "bootstrap": list(self.bootstrap)}
        store = {"store": str(self.folder / "identity")}
        return MixnodeConfig.model_validate(
            {"state_dir": str(self.folder / "state"), "listen_addr": f"{HERE}:{self.data_port}", "identity": store,
             "join": join | self.join}
        )  # fmt: skip

    @property
    def text(self) -> str:
        return str(Bootstrap(HERE, self.control_port, pin_of(self.identity.public)))

    def start(self) -> "Member":
        self.member = Membership(self.config, self.identity, self.rows, 1000)  # type: ignore[arg-type]
        first = TIMES.number(time.time_ns())
        publics = tuple(Ed25519PrivateKey.generate().public_key().public_bytes_raw() for _ in range(4))
        self.member.set_descriptor(Descriptor(0, TIMES, first, publics, time.time_ns() + 3000 * S))
        self.running = asyncio.get_running_loop().create_task(self.member.run())
        return self

    async def stop(self) -> None:
        if self.running is not None:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)

    @property
    def epoch(self) -> int:
        directory = self.member.directory if self.member else None
        return directory.state.since.epoch if directory else 0

    @property
    def hash(self) -> bytes:
        directory = self.member.directory if self.member else None
        return directory.state.since.hash if directory else b""

    @property
    def numbers(self) -> set[int]:
        """Of the nodes that it knows."""
        view = self.member.directory.view if self.member and self.member.directory else None
        return set(view.entries) if view else set()

    @property
    def neighbours(self) -> set[bytes]:
        view = self.member.directory.view if self.member and self.member.directory else None
        number = self.member.number if self.member else None
        return {view.entries[each].identity for each in view.neighbours(number)} if view and number is not None else set()

    def is_linked(self) -> bool:
        """With all neighbours, of which there are some."""
        return bool(self.neighbours) and self.neighbours <= set(self.rows.sending)


async def eventually(what: Callable[[], Any], timeout_s: float = 20.0) -> None:
    """Waits until that is so."""
    async with asyncio.timeout(timeout_s):
        while not what():
            await asyncio.sleep(0.01)
