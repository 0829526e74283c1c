"""A node's membership in a network that forms itself: its record, its channel, its links; for as long as control runs."""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from fastmix.config import MixnodeConfig
from fastmix.control import entry
from fastmix.control.agreement import HOPS
from fastmix.control.directory import Directory
from fastmix.control.identity import NodeIdentity
from fastmix.control.own_record import OwnRecord
from fastmix.control.peer_rows import PeerRows
from fastmix.control.watching import Watching
from fastmix.descriptor import Descriptor
from fastmix.directory.bootstrap import Bootstrap
from fastmix.directory.document import Entry
from fastmix.errors import FastmixError, NetworkFailure
from fastmix.files.addresses import format_address
from fastmix.files.durations import duration_ns
from fastmix.keys.slots import DELAYS_A_HOP
from fastmix.packet.geometry import GEOMETRIES
from fastmix.peers.authoring import Author, pen_of
from fastmix.peers.directory_state import DirectoryState
from fastmix.peers.linking import Linking
from fastmix.peers.messages import WIRE_VERSION, Publication, Question
from fastmix.peers.view import View
from fastmix.status import HealthIssue, HealthStatus
from fastmix.tls.connection import Connection, Handler
from fastmix.tls.end import End
from fastmix.tls.greeting import Speech, Visitor, pin_of
from fastmix.tls.pool import Pool
from fastmix.tls.server import Door

log = logging.getLogger(__name__)
LOOK_S = 0.25
"""Between two looks at record, documents and who is at work."""
LEAVE_S = 25.0
"""A farewell takes no longer, whoever is slow."""
NOTICE_S = 4.0
"""Until all nodes and clients have a new document: they look every two seconds."""
PUBLISH_S = 2.0
"""Between two tries to have a record named in a document."""


class Membership:
    """One node's. `rows`: where roots go; `capacity`: packets a second, for the record.

    `problem`: why the node is not, or not wholly, in its network; empty where it is.
    """

    def __init__(self, config: MixnodeConfig, identity: NodeIdentity, rows: PeerRows, capacity: int) -> None:
        """`ConfigError` where the configuration cannot be meant."""
        self._config, self._identity, self._rows = config, identity, rows
        join = entry.join_of(config)
        self.me, self.places, self._bootstraps = identity.public, entry.places_of(config), entry.bootstraps_of(config)
        self.record = OwnRecord(identity, self.places, capacity)
        speech = Speech(WIRE_VERSION, join.geometry)
        self.end = End(identity, identity.tls_private_key(), speech, lambda: self.record.data, self._handlers)
        self.record.certificate = self.end.certificate
        self.pool = Pool(self.end, self._place_of)
        self.linking = Linking(self.me, GEOMETRIES[join.geometry].code, rows, self.pool)
        self.watching: Watching | None = None
        self.door = Door(self.end.server_context, self.end.welcome, join.max_connections)
        self.directory: Directory | None = None
        self.problem = "the node has not found its network yet"
        self._entered: entry.Entered | None = None
        self._early: dict[bytes, Connection] = {}
        """Connections of authorities that no document names yet."""
        self._published_at = -PUBLISH_S
        self._stirred = asyncio.Event()

    async def run(self) -> None:
        """Until it is cancelled. `FastmixError` where the node cannot be of this network."""
        try:
            state = await self._find()
            self.watching = watching = Watching(self.me, self.pool, self.stir)
            self.directory = directory = self._directory_of(state, watching)
            directory.changed()
            self.problem = ""
            self.door.open(*self.places.listens)
            log.info("the control port is %s:%d", *self.door.address)
            tasks = [asyncio.create_task(work) for work in (directory.spread.run(), watching.run())]
            try:
                while not any(task.done() for task in tasks):
                    await self._look(directory)
            finally:
                await end_all(tasks)
        finally:
            await self.linking.close()
            self.pool.close()
            await self.door.close()

    def set_descriptor(self, descriptor: Descriptor) -> None:
        """What the node says of its keys from now on."""
        if self.record.set_descriptor(descriptor):
            self.stir()

    def stir(self) -> None:
        """Something has happened: looks at once."""
        self._stirred.set()

    async def leave(self) -> None:
        """Has the node marked as one that is away, and waits until nobody builds packets for it any more and those that were
        built are through."""
        directory = self.directory
        if directory is None or directory.own is None or not directory.own.up or not self._is_needed(directory):
            return
        with suppress(TimeoutError, NetworkFailure):
            async with asyncio.timeout(LEAVE_S):
                if directory.author is not None:
                    directory.author.leaving.add(self.me)
                await self._tell_authorities(directory)
                self.stir()
                while directory.own.up:
                    await asyncio.sleep(LOOK_S)
                await asyncio.sleep(NOTICE_S + self._road_s())

    def _is_needed(self, directory: Directory) -> bool:
        """Whether anybody builds packets for this node."""
        return directory.view is not None and directory.view.document.ready

    def _road_s(self) -> float:
        """The longest that packets are on their way, as the graces of keys have it."""
        settings = self.directory.state.settings if self.directory else None
        mean_ns = settings.mean_delay_ns if settings else 0
        return HOPS * (DELAYS_A_HOP * mean_ns + duration_ns(self._config.mixing.max_latency)) / 1e9

    @property
    def number(self) -> int | None:
        """The node's number; None as long as no document has it."""
        own = self.directory.own if self.directory else None
        return own.numbers[0] if own else None

    def issues(self) -> Iterator[HealthIssue]:
        """What is wrong with the node's place in its network."""
        if self.problem:
            yield HealthIssue("membership", HealthStatus.DEGRADED, self.problem, "it is tried again until it works")
        if self.directory is not None:
            yield from self.directory.issues()
        for peer, why in sorted(self.linking.problems.items()):
            remedy = "packets go around it; look whether that node runs, and whether a firewall lets this one through"
            yield HealthIssue("link", HealthStatus.DEGRADED, f"no link with node {peer.hex()[:16]}: {why}", remedy)

    def shown(self) -> dict[str, Any]:
        """The network as this node knows it, for `fastmix network show`."""
        control = self.places.control
        about = {"identity": self.me.hex(), "number": self.number, "problem": self.problem,
                 "bootstrap": str(Bootstrap(control.host, control.port, pin_of(self.me)))}  # fmt: skip
        directory = self.directory
        return about if directory is None else about | directory.shown(self._rows.live(), set(self.linking.problems))

    async def _find(self) -> DirectoryState:
        """The network: as it was kept, a new one, or the one that another node tells of."""
        now_ns = time.time_ns()
        state = DirectoryState.load(entry.folder_of(self._config), now_ns)
        if state is not None:
            return state
        if not self._bootstraps:
            return entry.new_network(self._config, self.me, now_ns)
        self._entered = await entry.enter_any(self.end, self._bootstraps)
        return entry.begin_state(self._config, self._entered.introduction, now_ns)

    def _directory_of(self, state: DirectoryState, watching: Watching) -> Directory:
        rule, author = state.succession.rule, None
        self.end.speech = Speech(WIRE_VERSION, state.settings.geometry, state.settings.network)
        if self.me in rule.authorities:
            admission = partial(entry.admission_of, self._config, rule)
            pen = pen_of(self._identity, entry.folder_of(self._config))
            author = Author(state, admission, rule, pen, lambda identity: not watching.is_dead(identity))
        return Directory(
            self.me, state, author, self.pool, ask=self._ask_authority, pass_on=self._to_authority, apply=self._apply,
            founds=not self._bootstraps,
        )  # fmt: skip

    async def _look(self, directory: Directory) -> None:
        self._stirred.clear()
        try:
            await self._come_in(directory)
            await directory.write()
            self.problem = "" if directory.own else self.problem or "no document names this node yet"
        except FastmixError as error:
            if str(error) != self.problem:
                log.warning("%s", error)
            self.problem = str(error)
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self._stirred.wait()

    # The node's record

    async def _come_in(self, directory: Directory) -> None:
        """Has the node's record named in the next document."""
        if await asyncio.to_thread(self.record.make, directory.state.settings):
            self._published_at = -PUBLISH_S
        own = directory.own
        if not self.record.data or (own is not None and own.record == self.record.hash):
            return
        self._check_alone(directory)
        if time.monotonic() - self._published_at < PUBLISH_S:
            return
        self._published_at = time.monotonic()
        if directory.author is not None:
            directory.author.publish(self.record.data, time.time_ns())
        else:
            directory.state.add_record(self.record.data, time.time_ns())
        if directory.author is not None and (own is not None or not self._bootstraps):
            await directory.share(msgspec.msgpack.encode(Publication(self.record.data)))
            return
        token = b""
        if self._is_outside(directory):
            entered = await self._way_in(directory)
            token = entered.bootstrap.token or b""
        await self._to_authority(msgspec.msgpack.encode(Publication(self.record.data, token)))

    def _is_outside(self, directory: Directory) -> bool:
        """Whether the node knows no way to the authorities but by the node that lets it in: no document names it, or it has lost
        all records."""
        rules = directory.state.succession.rule.authorities
        return directory.own is None or not any(each == self.me or self._place_of(each) for each in rules)

    def _check_alone(self, directory: Directory) -> None:
        """`NetworkFailure` where the network has a newer record of this identity than this node's: the older of two yields, for
        else they would take the place from each other for ever."""
        found = directory.state.record(directory.own.record) if directory.own else None
        if found is not None and found[1].issued_ns > self.record.issued_ns:
            place = format_address(found[1].control.pair)
            raise NetworkFailure(f"another node, at {place}, has this node's identity: stop one of them, and give it its own")

    async def _way_in(self, directory: Directory) -> entry.Entered:
        """The connection to the node that has let this one in, or lets it in now."""
        if self._entered is None or self._entered.connection.closed.is_set():
            self._entered = await entry.enter_any(self.end, self._bootstraps or directory.known_nodes())
        self._entered.open_to(self._handlers)
        directory.spread.set_way_in(self._entered.connection.ask)
        return self._entered

    async def _tell_authorities(self, directory: Directory) -> None:
        """That this node leaves. `NetworkFailure` where none hears it."""
        told = int(directory.author is not None)
        for authority in directory.state.succession.rule.authorities:
            with suppress(NetworkFailure):
                await self.pool.ask(authority, Question.LEAVING, b"")
                told += 1
        if not told:
            raise NetworkFailure("no authority could be told that this node leaves")

    async def _to_authority(self, body: bytes) -> None:
        """Takes a publication to an authority: a newcomer by way of the node that has let it in."""
        directory = self.directory
        assert directory is not None
        if self._entered is not None and self._is_outside(directory):
            await self._entered.connection.ask(Question.PUBLISH, body)
            return
        problems = []
        for authority in directory.state.succession.rule.authorities:
            try:
                await self._ask_authority(authority, Question.PUBLISH, body)
                return
            except NetworkFailure as failure:
                problems.append(str(failure))
        raise NetworkFailure(f"no authority has taken the record: {'; '.join(problems)}")

    async def _ask_authority(self, authority: bytes, question: str, body: bytes) -> bytes:
        early = self._early.get(authority)
        if early is not None and not self.end.is_peer(authority):
            return await early.ask(question, body)
        return await self.pool.ask(authority, question, body)

    # The network

    def _apply(self, view: View, own: Entry | None) -> None:
        """It is another one than before: whom to trust, where packets go, with whom to have links."""
        self.end.set_peers({identity: each.certificate for identity, each in view.records.items() if identity != self.me})
        classes, identities = view.document.settings.classes, view.identities
        routes = {
            classes * number + class_: identity
            for number, identity in identities.items()
            if identity != self.me
            for class_ in range(classes)
        }
        self._rows.set_network({identity: view.place(number) for number, identity in identities.items()}, routes)
        beside = view.neighbours(own.numbers[0]) if own is not None and own.numbers[0] in identities else []
        neighbours = {identities[number] for number in beside}
        self.linking.set_neighbours(neighbours)
        if self.watching is not None and self.directory is not None:
            rules = set(view.document.rule.authorities)
            self.watching.set_peers(set(view.records) if self.me in rules else (neighbours | rules) & view.records.keys())
        if self.directory is not None and not self._is_outside(self.directory):
            self.directory.spread.set_way_in(None)
        self.stir()

    # What others may ask

    def _handlers(self, visitor: Visitor, connection: Connection) -> Mapping[str, Handler]:
        if self.directory is None:
            return {}  # of a node that asks for its network, and is asked nothing
        directory = self.directory
        handlers = dict(directory.answers.to(visitor, connection))
        if visitor.role == "client" or visitor.is_peer:
            handlers |= self.linking.handlers(visitor, connection)
        if visitor.is_peer and self.watching is not None:
            handlers |= self.watching.handlers(visitor.identity)
            self.pool.adopt(visitor.identity, connection)
        elif visitor.role == "node" and visitor.identity in directory.state.succession.rule.authorities:
            self._early[visitor.identity] = connection
        return handlers

    def _place_of(self, identity: bytes) -> tuple[str, int] | None:
        view = self.directory.view if self.directory else None
        record = view.records.get(identity) if view else None
        return record.control.pair if record else None


async def end_all(tasks: list[asyncio.Task[None]]) -> None:
    """Cancels them; raises what one of them has ended with."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
