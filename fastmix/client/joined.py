"""What a client that has joined a network stands on: its view of the directory, its lines, its exit. `Client` sends over it.

To nodes of layer 1 it is somebody new at each start, so that they do not learn its peer id; to its exit, which has to, it is its
identity. Both see its IP address. It compares what all these nodes believe of the directory.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fastmix.client.bind import Place, bind_place
from fastmix.client.directory_keys import DirectoryKeys
from fastmix.client.draw import Draw
from fastmix.client.exchanged import ExchangedWire
from fastmix.client.following import Equivocation, Following
from fastmix.client.inbox import InboxLimits
from fastmix.client.introduce import Introductions, Tell
from fastmix.client.line import POLL_S, Line, fetch_records
from fastmix.client.loops import LoopWatch
from fastmix.client.packets import Observer
from fastmix.client.session import Session
from fastmix.client.state import ClientState
from fastmix.directory.bootstrap import Bootstrap
from fastmix.directory.document import Document
from fastmix.directory.records import NodeRecord
from fastmix.errors import NetworkFailure
from fastmix.keys.hierarchy import Identity
from fastmix.network import LAYERS, NetworkClient
from fastmix.peers.messages import WIRE_VERSION, Documents, Question, read
from fastmix.peers.view import View, view_of
from fastmix.tls.connection import Connection
from fastmix.tls.end import End
from fastmix.tls.greeting import Speech

log = logging.getLogger(__name__)
LOOK_S = 0.1
LINKS_S = 2.0
"""So long links may take until somebody is told."""
RECORDS_S = 3.0
"""So long a new document waits for the records that it names."""
EXIT_PATIENCE_S = 3.0
"""So long an exit may be unreachable until another one is chosen."""
EXIT_KEPT_S = 30.0
"""An exit through which no loop comes back is left only after so long: it may be this machine's line."""
EXIT_SHUNNED_S = 60.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a client wants to send; as the arguments of `Client`."""

    send_rate: float = 50.0
    retransmit_after: float | None = None
    limits: InboxLimits | None = None
    draw: Draw = field(default_factory=Draw)
    observer: Observer | None = None
    bind: Place | None = None


class Joined:
    """A client's part in a network that forms itself, from `open` to `close`."""

    def __init__(
        self, bootstraps: Sequence[Bootstrap], state: Path | None, wishes: Wishes, tell: Tell | None = None,
        patience_s: float | None = None, clock: Callable[[], float] = time.monotonic, unix_ns: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        """`state`: where identity and keys lie; None: in memory. `tell` is told what a person may want to know; `patience_s` is
        waited for a network that can be used (None: for ever)."""
        self._bootstraps, self._directory, self._wishes = list(bootstraps), state, wishes
        self._tell, self._patience_s = tell, patience_s
        self._clock, self._unix_ns = clock, unix_ns
        self._session: Session | None = None
        self._state: ClientState | None = None
        self._lines: dict[bytes, Line] = {}
        self._shunned: dict[bytes, float] = {}
        self._said: dict[str, str] = {}
        self._stirred = asyncio.Event()
        self._exit, self._exit_since, self._why_moved = b"", 0.0, ""
        self._adopted, self._noticed_at = 0, 0.0

    @property
    def session(self) -> Session:
        """The session; `NetworkFailure` before there is one."""
        if self._session is None:
            raise NetworkFailure(
                "the client has not joined a network: use `async with Client.join(...)` or `await client.start()`"
            )
        return self._session

    @property
    def view(self) -> View:
        """What the network looks like to this client now."""
        _ = self.session
        return self._view

    async def open(self) -> tuple[ExchangedWire, Place]:
        """Joins: introduction, directory, exit, first links. The wire, and where the socket is to stand."""
        self._state = state = ClientState(self._directory, self._unix_ns())
        self._identity_end, self._entry_end = self._end(state.identity), self._end(Identity.fresh())
        try:
            async with asyncio.timeout(self._patience_s):
                self._following = await self._introduced()
                return await self._begin(state)
        except TimeoutError:
            why = "; ".join(dict.fromkeys(filter(None, self._said.values()))) or "the network cannot be joined"
            raise NetworkFailure(f"{why}: given up after {self._patience_s:g} s") from None

    async def run(self) -> None:
        """Follows the directory and keeps the links until it is cancelled. `NetworkFailure` where the network cannot be believed
        any more."""
        while True:
            self._look()
            await self._rest()

    def close(self) -> None:
        """Ends the lines; keys and directory are free again."""
        for line in self._lines.values():
            line.stop()
        if self._state is not None:
            self._state.close()
            self._state = None

    # Joining

    def _end(self, identity: Identity) -> End:
        return End(identity, identity.tls_private_key(), Speech(WIRE_VERSION), bytes, lambda *_: {}, self._unix_ns)

    async def _introduced(self) -> Following:
        """The directory, once it can be gone by."""
        introductions = Introductions(self._entry_end, self._bootstraps, self._say)
        while True:
            connection, introduction = await introductions.one()
            try:
                following = Following(introduction, self._unix_ns())
                await self._wait_until_ready(connection, following)
            except Equivocation as found:
                raise self._with_proof(found) from None
            except NetworkFailure as failure:
                self._say("directory", f"{failure}; trying again")
                await asyncio.sleep(POLL_S)
            else:
                speech = Speech(WIRE_VERSION, following.settings.geometry, following.settings.network)
                self._identity_end.speech = self._entry_end.speech = speech
                return following
            finally:
                connection.end("introduced")

    async def _wait_until_ready(self, connection: Connection, following: Following) -> None:
        while True:
            await fetch_records(connection, following, self._unix_ns)
            if not (problem := following.problem(self._unix_ns()) or _without_way(following)):
                self._say("directory", "")
                return
            self._say("directory", f"{problem}; waiting")
            await asyncio.sleep(POLL_S)
            following.take(read(await connection.ask(Question.DOCUMENTS, following.since()), Documents), self._unix_ns())

    async def _begin(self, state: ClientState) -> tuple[ExchangedWire, Place]:
        wishes, key = self._wishes, state.keys[0]
        self._take_source()
        self._take_exit(self._another_exit(state.exit))
        view = self._viewed()
        self._keys, self._watch = DirectoryKeys(view, self._unix_ns), LoopWatch(view.network.mean_delay_ns / 1e9)
        session = Session(
            view.network, state.identity.public, key.secret, send_rate=wishes.send_rate, limits=wishes.limits, draw=wishes.draw,
            retransmit_after=wishes.retransmit_after, observer=wishes.observer, replay_set=key.replay_set, keys=self._keys,
            watch=self._watch,
        )  # fmt: skip
        for before in state.keys[1:]:
            session.take_late(before.secret, before.replay_set)
        session.probes.me = self._entry_end.signer.public
        self._session = session
        self._wire = ExchangedWire(view.network.geometry, session.counters, self._keys)
        self._adopt(view)
        while (waits_for := self._unlinked()) or not self._has_all_links():
            if waits_for and self._clock() - self._exit_since > LINKS_S:
                self._say("links", f"{waits_for}; waiting")
            await self._rest()
            self._look()
        self._say("links", "")
        return self._wire, bind_place(self._view.network, state.identity.public, wishes.bind)

    def _unlinked(self) -> str:
        """Which links are missing for anything to leave; empty where none is."""
        exit_ = self._lines[self._exit]
        if not exit_.is_up:
            return f"no link to the exit, node {self._exit.hex()[:16]}: {exit_.why}"
        if not self._entries_up():
            whys = [line.why for identity, line in self._lines.items() if identity != self._exit]
            return f"no link to any node of layer 1: {whys[0] if whys else 'there is none'}"
        return ""

    def _has_all_links(self) -> bool:
        """Or has waited for those that are not needed."""
        return all(line.is_up for line in self._lines.values()) or self._clock() - self._exit_since > LINKS_S / 2

    def _entries_up(self) -> bool:
        return any(line.is_up for identity, line in self._lines.items() if identity != self._exit)

    # Every look

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(LOOK_S):
                await self._stirred.wait()
        except TimeoutError:
            return
        self._stirred.clear()

    def _look(self) -> None:
        now, now_ns = self._clock(), self._unix_ns()
        for line in self._lines.values():
            if line.equivocation is not None:
                raise self._with_proof(line.equivocation)
        self._wire.look(now)
        self._follow(now)
        self._mind_key(now_ns)
        self._mind_exit(now)
        self._keys.avoid(self._avoided(now, now_ns))

    def _follow(self, now: float) -> None:
        """Takes a newer document once its records are here or have had their time, if any way leads through it."""
        if self._following.version == self._adopted:
            self._noticed_at = now
            return
        if self._following.wanted() is not None and now - self._noticed_at < RECORDS_S:
            return
        self._adopted = self._following.version
        if why := _without_way(self._following):
            self._say("directory", f"{why}; what was known before is used on")
            return
        self._say("directory", "")
        self._take_source()
        if self._exit not in self._exits():
            self._move_exit("it has left the network, or its layer, or is down")
        self._adopt(self._viewed())

    def _take_source(self) -> None:
        """The document and the records that everything goes by from now on."""
        assert self._following.document is not None
        self._source, self._adopted = (self._following.document, self._following.records), self._following.version

    def _viewed(self) -> View:
        """The network of the document, with this client in it."""
        document, records = self._source
        assert self._state is not None
        bare = view_of(document, records)
        number = next(node.number for node in bare.network.in_layer(LAYERS[-1]) if node.identity == self._exit)
        me = NetworkClient(self._state.identity.public, self._state.keys[0].public, number)
        return view_of(document, records, [me])

    def _adopt(self, view: View) -> None:
        """Another document, other records, or another exit: routes, keys, places and lines."""
        assert self._state is not None
        before = self.session.address
        self._view = view
        self.session.adopt(view.network)
        if self.session.address != before:
            self._say("address", f"{self._why_moved}; this client's address is {self.session.address} now")
        self._keys.adopt(view)
        peers = [node for node in view.network.nodes if node.layer == LAYERS[0] or node.identity == self._exit]
        self._wire.adopt({node.number: (node.identity, node.address) for node in peers})
        wanted = {node.identity: view.records[node.identity].control.pair for node in peers}
        for identity, line in list(self._lines.items()):
            if wanted.get(identity) != line.place or line.end is not self._end_for(identity):
                self._lines.pop(identity).stop()
        for identity in wanted.keys() - self._lines.keys():
            end, place = self._end_for(identity), wanted[identity]
            line = Line(end, identity, place, self._wire, self._following, self._stirred.set, self._clock, self._unix_ns)
            self._lines[identity] = line
            line.start()

    def _end_for(self, identity: bytes) -> End:
        return self._identity_end if identity == self._exit else self._entry_end

    def _avoided(self, now: float, now_ns: int) -> dict[int, str]:
        """Nodes that no packet is built for, and why."""
        network = self._view.network
        if problem := self._following.problem(now_ns):
            return {node.number: problem for node in network.nodes}
        unlinked = {
            node.number: f"no link to it: {line.why}"
            for node in network.nodes
            if (line := self._lines.get(node.identity)) is not None and not line.is_up
        }
        up = {entry.identity for entry in self._view.document.entries if entry.up}
        usable = {
            layer: [node.number for node in network.in_layer(layer) if node.identity in up and node.number not in unlinked]
            for layer in LAYERS
        }
        return self._watch.look(now, usable) | unlinked

    def _mind_key(self, now_ns: int) -> None:
        """A Sphinx key is good for a day."""
        assert self._state is not None
        if self._state.keys[0].ends_ns <= now_ns:
            key = self._state.renew(now_ns)
            self._view = view = self._viewed()
            self.session.renew(view.network, key.secret, key.replay_set)
            self._say("address", f"the Sphinx key's day is over; this client's address is {self.session.address} now")
        if self._state.forget(now_ns):
            self.session.forget_key()

    # The exit

    def _exits(self) -> list[bytes]:
        """Nodes of layer 3 that are up and have a record."""
        return exits_of(*self._source)

    def _another_exit(self, preferred: bytes = b"") -> bytes:
        """That one, where it can be; or one drawn, none of those that have just failed where there is another. Empty: there is
        none."""
        now = self._clock()
        known = [identity for identity in self._exits() if identity != self._exit]
        if preferred in known:
            return preferred
        fresh = [identity for identity in known if self._shunned.get(identity, 0.0) <= now]
        return random.SystemRandom().choice(fresh or known) if known else b""

    def _take_exit(self, identity: bytes) -> None:
        assert self._state is not None
        self._exit, self._exit_since = identity, self._clock()
        self._state.keep_exit(identity)

    def _mind_exit(self, now: float) -> None:
        line = self._lines[self._exit]
        if self._exit not in self._exits():
            why = "it is down, the directory says"
        elif not line.is_up and now - max(line.down_since, self._exit_since) > EXIT_PATIENCE_S and self._entries_up():
            why = line.why
        elif self._watch.exit_is_lost(now) and now - self._exit_since > EXIT_KEPT_S and self._entries_up():
            why = "no loop comes back through it"
        else:
            return
        if self._move_exit(why):
            self._adopt(self._viewed())

    def _move_exit(self, why: str) -> bool:
        """Whether there is another one."""
        other = self._another_exit()
        if not other:
            self._say("exit", f"the exit, node {self._exit.hex()[:16]}, cannot be used: {why}; there is no other one")
            return False
        self._shunned[self._exit] = self._clock() + EXIT_SHUNNED_S
        self._watch.forget_exit()
        self._take_exit(other)
        self._why_moved = f"the exit cannot be used: {why}"
        return True

    def _with_proof(self, found: Equivocation) -> NetworkFailure:
        kept = self._state.keep_proof(found.proof) if self._state is not None else ""
        return NetworkFailure(f"{found}{f'; the proof is in {kept}' if kept else ''}")

    def _say(self, topic: str, text: str) -> None:
        """Tells a person what has changed, once."""
        if self._said.get(topic, "") != text:
            self._said[topic] = text
            if text:
                log.info("%s", text)
                if self._tell is not None:
                    self._tell(text)


def exits_of(document: Document, records: Mapping[bytes, NodeRecord]) -> list[bytes]:
    """The nodes of layer 3 that are up and have a record."""
    last = LAYERS[-1]
    return [entry.identity for entry in document.entries if entry.layer == last and entry.up and entry.identity in records]


def _without_way(following: Following) -> str:
    """Why no way leads through the network of a document; empty where one does."""
    document, records = following.document, following.records
    if document is None:
        return "the network has no directory document"
    layers = {entry.layer for entry in document.entries if entry.identity in records}
    empty = [layer for layer in LAYERS if layer not in layers]
    if empty:
        return f"no node of layer {empty[0]} has published its keys"
    return "" if exits_of(document, records) else "no node of layer 3 is up"
