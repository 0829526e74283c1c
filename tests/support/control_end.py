"""An end of the control plane with a door, for tests."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from node_records import NETWORK, Key, record

from fastmix.directory.records import Place, sign_record
from fastmix.errors import NetworkFailure
from fastmix.keys._chain import LockedBytes
from fastmix.keys.hierarchy import Identity
from fastmix.tls.connection import Connection, Handler
from fastmix.tls.end import End
from fastmix.tls.greeting import Speech, Visitor
from fastmix.tls.server import Bucket, Door

HERE = "127.0.0.1"
NOW = 1_800_000_000 * 10**9


SPEECH = Speech(1, "wan", NETWORK)


@dataclass
class Town:
    """An end with a door. It answers `echo`, and counts whom it has let in."""

    name: str
    speech: Speech = SPEECH
    refuses: str = ""
    visitors: list[Visitor] = field(default_factory=list)

    def __post_init__(self) -> None:
        seed = LockedBytes(32)
        seed.view[:] = self.name.encode().ljust(32, b".")
        self.identity = Identity(seed)
        self.place = Place(HERE, 1)
        self.end = End(self.identity, self.identity.tls_private_key(), self.speech, self.record, self.handlers, lambda: NOW)

    def record(self) -> bytes:
        stated = record(Key("x"), NOW, identity=self.identity.public, certificate=self.end.certificate, control=self.place)
        return sign_record(stated, self.identity)

    def handlers(self, visitor: Visitor, _: Connection) -> Mapping[str, Handler]:
        if self.refuses:
            raise NetworkFailure(self.refuses)
        self.visitors.append(visitor)

        async def echo(body: bytes) -> bytes:
            return body

        async def never(_: bytes) -> bytes:
            await asyncio.Event().wait()
            return b""

        async def refuse(_: bytes) -> bytes:
            raise NetworkFailure("not today\x1b[2J")

        return {"echo": echo, "never": never, "refuse": refuse}

    @asynccontextmanager
    async def door(self, most: int = 100, bucket: Bucket | None = None) -> AsyncIterator[Door]:
        door = Door(self.end.server_context, self.end.welcome, most, bucket)
        door.open(HERE, 0)
        self.place = Place(*door.address)
        try:
            yield door
        finally:
            await door.close()

    def knows(self, *others: "Town") -> None:
        self.end.set_peers({other.identity.public: other.end.certificate for other in others})
