"""What a client stands on: links that a network file names, or, in `joined`, a directory and links that are exchanged."""

import asyncio
from typing import Protocol

from fastmix.client.bind import Place, bind_place
from fastmix.client.framing import Framing
from fastmix.client.replay_set import ReplayFile, replay_path
from fastmix.client.session import Session
from fastmix.client.wire import Wire


class Standing(Protocol):
    """Session and wire of a client, from `open` to `close`."""

    @property
    def session(self) -> Session:
        """The session; `NetworkFailure` before there is one."""
        ...

    async def open(self) -> tuple[Framing, Place]:
        """The wire, and where the socket is to stand."""
        ...

    async def run(self) -> None:
        """What has to be looked after, until it is cancelled."""
        ...

    def close(self) -> None:
        """Ends what `open` began, but for the wire; also where it has failed."""
        ...


class Planned:
    """A client of `network.toml`."""

    def __init__(self, session: Session, bind: Place | None) -> None:
        """`ConfigError` where the nodes cannot be reached from `bind`."""
        self.session = session
        peer_id = session.address.peer_id
        self._replay_path = replay_path(session.network, peer_id)
        self._place = bind_place(session.network, peer_id, bind)
        self._replay_file: ReplayFile | None = None

    async def open(self) -> tuple[Framing, Place]:
        """The replay set's file, then the links: `ConfigError` for wrong secrets."""
        session = self.session
        self._replay_file = session.replay_set = ReplayFile(self._replay_path, session.address.sphinx_public)
        return Wire(session.network, session.address.peer_id, session.counters, session.keys), self._place

    async def run(self) -> None:
        """Nothing changes."""
        await asyncio.Event().wait()

    def close(self) -> None:
        """Frees the replay set's file."""
        if self._replay_file is not None:
            self._replay_file.close()
