"""`Client`: a session on an asyncio loop, with a UDP socket."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fastmix.client.address import Address, peer_id_of
from fastmix.client.counters import ClientCounters
from fastmix.client.draw import Draw, Entropy
from fastmix.client.events import Event, Message, Sent, TimedOut
from fastmix.client.framing import Framing
from fastmix.client.inbox import InboxLimits
from fastmix.client.introduce import Tell, bootstraps_of
from fastmix.client.joined import Joined, Wishes
from fastmix.client.packets import Observer
from fastmix.client.session import Session
from fastmix.client.standing import Planned, Standing
from fastmix.directory.bootstrap import Bootstrap
from fastmix.errors import BatchTimeout, NetworkFailure
from fastmix.files.secret import read_secret
from fastmix.network import Network
from fastmix.packet.verdict import Verdict
from fastmix.udp.endpoint import UdpEndpoint, open_endpoint

TICK = 0.005
"""Seconds between two looks at socket and slots."""
SEND_RATE = 50.0
"""Packets a second, real or cover."""
TIMEOUT = 60.0
"""Seconds that a message has to be acknowledged."""
PING_TIMEOUT = 10.0
"""Seconds that a loop has to come back."""
REPLY_SURBS = 3
"""SURBs of a message that asks for an answer without saying of what size: they fit into its first packet."""
DRAIN_READS = 64
"""Most batches of datagrams taken in one tick."""


class Client:
    """A leaf of the network: `async with Client(network, peer_id, secret) as client`.

    Sends at a constant rate, messages or cover, from `start` to `stop`; runs on the loop that started it.
    """

    def __init__(
        self,
        network: Network | str | Path,
        peer_id: bytes | str,
        secret: bytes | str | Path,
        *,
        bind: tuple[str, int] | None = None,
        send_rate: float = SEND_RATE,
        retransmit_after: float | None = None,
        limits: InboxLimits | None = None,
        observer: Observer | None = None,
        entropy: Entropy | None = None,
        route_entropy: Entropy | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads and checks everything; opens nothing yet. `ConfigError` names what is wrong.

        `network`: the network or its file. `peer_id`: 32 bytes, or their hex digits. `secret`: the client's X25519 secret, 32
        bytes, or its file. `bind`: address of the UDP socket, by default any that reaches the nodes.
        `retransmit_after`: shortest retransmission time in seconds, by default 60 mean delays. `observer` is
        given the `kx_public`s of what is built; `entropy` makes routes, ids and times repeatable: for tests; `route_entropy` the
        routes alone. `clock`: a steady one, in seconds.
        """
        session = Session(
            network if isinstance(network, Network) else Network.load(network),
            peer_id_of(peer_id),
            secret if isinstance(secret, bytes) else read_secret(secret),
            send_rate=send_rate,
            retransmit_after=retransmit_after,
            limits=limits,
            draw=Draw(entropy, route_entropy),
            observer=observer,
        )
        self._stand_on(Planned(session, bind), clock)

    @classmethod
    def join(
        cls,
        bootstrap: str | Bootstrap | Sequence[str | Bootstrap],
        *,
        state: str | Path | None = None,
        bind: tuple[str, int] | None = None,
        send_rate: float = SEND_RATE,
        retransmit_after: float | None = None,
        limits: InboxLimits | None = None,
        observer: Observer | None = None,
        trust_first: bool = False,
        patience: float | None = None,
        tell: Tell | None = None,
    ) -> Self:
        """A client of a network that forms itself: `async with Client.join("HOST:PORT#PIN") as client`.

        `start` joins: it asks the bootstrap nodes until one introduces the network (for ever, or `patience` seconds; then
        `NetworkFailure` says why), follows the directory, chooses an exit and exchanges links. From then on it goes around nodes
        that are down; where its exit is, it takes another one, and so another `address`. `state`: a directory for
        identity, Sphinx key of a day and exit; None: in memory, so the next start is somebody else. `tell` is told in
        words what it waits for, and of a new address. `trust_first`: a bootstrap may have no PIN. The others as of `Client`.
        `ConfigError` for texts that are none.
        """
        bootstraps = bootstraps_of(bootstrap, trust_first=trust_first)
        wishes = Wishes(send_rate, retransmit_after, limits, Draw(), observer, bind)
        client = cls.__new__(cls)
        client._stand_on(Joined(bootstraps, None if state is None else Path(state), wishes, tell, patience), time.monotonic)
        return client

    def _stand_on(self, standing: Standing, clock: Callable[[], float]) -> None:
        self._standing, self._clock = standing, clock
        self._why = ""
        self._sending: dict[bytes, asyncio.Future[Sent]] = {}
        self._asking: dict[bytes, asyncio.Future[Message]] = {}
        self._pinging: dict[int, asyncio.Future[float]] = {}
        self._received: deque[Message] = deque()
        self._receiving: deque[asyncio.Future[Message]] = deque()
        self._endpoint: UdpEndpoint | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def _session(self) -> Session:
        return self._standing.session

    @property
    def address(self) -> Address:
        """What others need to know to send here. Of a client that joins: `NetworkFailure` before `start`; it may change."""
        return self._session.address

    @property
    def counters(self) -> ClientCounters:
        """What was counted so far; the conservation law holds whenever no tick is running."""
        return self._session.counters

    @property
    def bound(self) -> tuple[str, int]:
        """(host, port) of the socket; `NetworkFailure` before `start`."""
        return self._open_endpoint().address

    @property
    def network(self) -> Network:
        """As it is now."""
        return self._session.network

    @property
    def lacking(self) -> Mapping[int, str]:
        """Numbers of the nodes that routes go around now, and why."""
        return self._session.keys.lacking

    @property
    def is_running(self) -> bool:
        """Whether it sends and receives: it ends at `stop`, and where the network cannot be believed any more."""
        return self._task is not None and not self._task.done()

    @property
    def acknowledges(self) -> bool:
        """Whether an acknowledgement of what came still waits for a slot."""
        return self._session.acknowledges

    def kernel_drop_events(self) -> int:
        """Datagrams that the kernel dropped at this client's socket."""
        return self._open_endpoint().kernel_drop_events()

    async def start(self) -> None:
        """Opens the socket and begins to send. `NetworkFailure` where it cannot be bound, `ConfigError` for wrong secrets.

        Tags of accepted requests are kept beside the secret of the link to the exit, in a file as long-lived as the client's key;
        of a client that joins, in its `state`.
        """
        if self._task is not None:
            raise NetworkFailure("the client runs already")
        wire: Framing | None = None
        try:
            wire, place = await self._standing.open()
            self._endpoint = open_endpoint(*place)
        except BaseException:
            if wire is not None:
                wire.close()
            self._standing.close()
            raise
        self._task = asyncio.create_task(self._run(wire, self._endpoint))
        self._task.add_done_callback(partial(self._ended, wire, self._endpoint))

    def hush(self) -> None:
        """Sends nothing more, not even covers, and still receives: so that what is under way can be counted to the end."""
        self._session.hush()

    async def stop(self) -> None:
        """Stops sending and closes the socket; messages under way fail with `NetworkFailure`."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def send(
        self, to: Address, data: bytes, *, timeout: float = TIMEOUT, reply: bool = False, surbs: int = 0, class_: int = 0
    ) -> Sent:
        """Sends a message of at most 1 MiB and waits until all of it is acknowledged.

        With `reply` or a number of `surbs` it can be answered; answers come out of `receive`, with `in_reply_to` set to the id of
        this message. `BatchTimeout` after `timeout` seconds, `ValueError` for too much data or too many SURBs, `NetworkFailure`
        where nodes on all routes have published no keys for now; messages under way then wait until `timeout`.
        """
        return await self._sent(self._begin(to, data, timeout, surbs or (REPLY_SURBS if reply else 0), class_), data, timeout)

    async def receive(self) -> Message:
        """The next message, or answer to one of ours; waits for it."""
        self._check_running()
        if self._received:
            message = self._received.popleft()
        else:
            future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
            self._receiving.append(future)
            try:
                message = await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled() and future.exception() is None:
                    self._received.appendleft(future.result())
                raise
        self._session.taken(message)
        return message

    async def reply(self, message: Message, data: bytes, *, timeout: float = TIMEOUT) -> Sent:
        """Answers a message in its SURBs, and waits until all of it is acknowledged.

        `ValueError` where its SURBs are too few, `BatchTimeout` after `timeout` seconds.
        """
        self._check_running()
        now = self._clock()
        return await self._sent(self._session.reply(now, message, data, now + timeout), data, timeout)

    async def request(self, to: Address, data: bytes, *, timeout: float = TIMEOUT, reply_size: int = 0) -> bytes:
        """Sends a message and waits for its answer, for which it brings enough SURBs if it has at most `reply_size` bytes.

        `BatchTimeout` after `timeout` seconds."""
        surbs = max(REPLY_SURBS, self._session.surbs_for(reply_size))
        message_id = self._begin(to, data, timeout, surbs, 0)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._asking[message_id] = answer
        try:
            message = await asyncio.wait_for(answer, timeout)
        except TimeoutError:
            why = self._session.why_waiting(to)
            text = f"a message of {len(data)} bytes was not answered within {timeout:g} s"
            raise BatchTimeout(f"{text}: {why}" if why else text) from None
        finally:
            self._session.cancel(message_id)
            del self._asking[message_id]
        return message.data

    async def ping(self, node: int, *, timeout: float = PING_TIMEOUT) -> float:
        """Sends a loop through the node of that number and two others, back by the first; the seconds until it is here.

        `BatchTimeout` where it is not back in time, `ConfigError` for another number, `NetworkFailure` where no loop can be made:
        in a network that a file describes, or where other nodes that it needs are down.
        """
        self._check_running()
        key = self._session.probes.add(self._session.ring(node))
        back: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._pinging[key] = back
        try:
            return await asyncio.wait_for(back, timeout)
        except TimeoutError:
            raise BatchTimeout(f"the loop through node {node} was not back within {timeout:g} s") from None
        finally:
            del self._pinging[key]

    def _begin(self, to: Address, data: bytes, timeout: float, surbs: int, class_: int) -> bytes:
        self._check_running()
        if not isinstance(to, Address):
            raise TypeError(f"a message goes to an Address, not {type(to).__name__}: `client.address`, or `Address.from_text`")
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"a message is bytes, not {type(data).__name__}: encode it")
        now = self._clock()
        return self._session.send(now, to, data, now + timeout, surbs, class_)

    async def _sent(self, message_id: bytes, data: bytes, timeout: float) -> Sent:
        """Waits for a message's end."""
        future: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        self._sending[message_id] = future
        try:
            return await future
        except asyncio.CancelledError:
            self._session.cancel(message_id)
            raise
        except BatchTimeout as late:
            raise BatchTimeout(f"a message of {len(data)} bytes was not acknowledged within {timeout:g} s: {late}") from None
        finally:
            del self._sending[message_id]

    async def _run(self, wire: Framing, endpoint: UdpEndpoint) -> None:
        """Ticks until it is cancelled."""
        io = endpoint.io()
        upkeep = asyncio.create_task(self._standing.run())
        try:
            while True:
                if upkeep.done():
                    upkeep.result()
                for _ in range(DRAIN_READS):
                    packets = wire.receive(io)
                    if packets is None:
                        break
                    if len(packets):
                        self._session.arrive(self._clock(), packets)
                wire.send(io, self._session.leave(self._clock()))
                for event in self._session.events():
                    self._happened(event)
                self._loops_are_back()
                await asyncio.sleep(TICK)
        except Exception as error:
            self._why = f": {error}"
            self._fail(error)
            raise
        finally:
            upkeep.cancel()

    def _loops_are_back(self) -> None:
        returned = self._session.probes.returned
        for key, seconds in returned:
            back = self._pinging.get(key)
            if back is not None and not back.done():
                back.set_result(seconds)
        returned.clear()

    def _ended(self, wire: Framing, endpoint: UdpEndpoint, _: "asyncio.Task[None]") -> None:
        """Frees everything; also where the task was cancelled before its first step."""
        wire.close()
        self._standing.close()
        endpoint.close()
        self._endpoint = None
        self._fail(NetworkFailure("the client was stopped"))

    def _fail(self, failure: BaseException) -> None:
        """Nothing that is waited for will come."""
        waiting: list[asyncio.Future[Any]] = [
            *self._sending.values(), *self._asking.values(), *self._pinging.values(), *self._receiving,
        ]  # fmt: skip
        for future in waiting:
            if not future.done():
                future.set_exception(failure)
        self._receiving.clear()

    def _happened(self, event: Event) -> None:
        """Tells whoever waits for it."""
        if isinstance(event, Message):
            asking = self._asking.get(event.in_reply_to or b"")
            if asking is not None and not asking.done():
                self._session.taken(event)
                asking.set_result(event)
            else:
                self._arrived(event)
            return
        sending = self._sending.get(event.id)
        if sending is None or sending.done():
            return
        if isinstance(event, TimedOut):
            hint = f"; {event.why}" if event.why else self._hint()
            sending.set_exception(BatchTimeout(f"{event.n_acknowledged} of {event.n_fragments} fragments arrived{hint}"))
        else:
            sending.set_result(event)

    def _hint(self) -> str:
        """What may be wrong where nothing has come from the network."""
        refused = self.counters.dropped[Verdict.DROP_SEND]
        if refused and not self.counters.sent:
            return f"; this machine's kernel refused all {refused} datagrams: is there a route to the nodes?"
        return "" if self.counters.received else "; nothing has come from any node: are they running, and is the exit reached?"

    def _arrived(self, message: Message) -> None:
        """To the longest waiting `receive`, or kept for the next one."""
        while self._receiving:
            future = self._receiving.popleft()
            if not future.done():
                future.set_result(message)
                return
        self._received.append(message)

    def _check_running(self) -> None:
        if not self.is_running:
            if self._why:
                raise NetworkFailure(f"the client has ended{self._why}")
            raise NetworkFailure("the client is not running: use `async with Client(...)` or `await client.start()`")

    def _open_endpoint(self) -> UdpEndpoint:
        if self._endpoint is None:
            raise NetworkFailure("the client is not running: it has no socket")
        return self._endpoint
