"""Everyone around the node under test: 64 nodes that send to it and 20 that it sends to, all of them this process.

Each of the 64 has a link, a socket and so a source port of its own; the 20 share one socket, at 20 addresses. Packets are real
Sphinx cover packets of two hops, built ahead, each with its own keys. Their payload is random as a cover's is, so only headers
are kept, and the frames of a run are put together and sealed just before it.
"""

import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock
from types import TracebackType
from typing import Self

import numpy as np

from fastmix.bench.progress import Progress, silent
from fastmix.errors import NetworkFailure
from fastmix.kernels._link import Root, seal
from fastmix.links.static import LinkRoot, derive_link_root
from fastmix.packet.geometry import FRAME_PACKET_AT, FRAME_TAG_SIZE, GEOMETRIES, HEADER_SIZE
from fastmix.plan import NetworkPlan, plan_network
from fastmix.sphinx import build_covers, keypairs
from fastmix.sphinx.arrays import Bytes, Indices

UPSTREAMS, NEXT_HOPS = 64, 20
NODE = UPSTREAMS
"""The number of the node under test: the layer-1 nodes come before it."""
HOST = "127.0.0.1"
NEXT_HOST = "127.0.1.{}"
"""The next hops' addresses: one socket receives for all of 127.0.0.0/8."""
SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104
SO_RCVBUFFORCE = 33
SINK_BUFFER = 64 << 20
CHUNK = 2048
"""Headers that a thread builds at a time."""
TRAFFIC = ("plain", "train")


class Headers:
    """Headers of distinct packets that the node forwards, and the `kx_public` that each has at the next hop; built when needed.

    A node that was started anew, with an empty replay set, may be given the same ones again: `rewind`.
    """

    def __init__(self, node_public: bytes, next_publics: Bytes, next_indices: Indices, cores: Sequence[int]) -> None:
        """`cores` build at once."""
        self._node = np.frombuffer(node_public, np.uint8)
        self._next, self._indices = next_publics, next_indices
        self._cores = set(cores)
        self._headers = np.empty((0, HEADER_SIZE), np.uint8)
        self._onward = np.empty((0, 32), np.uint8)
        self._at = 0

    def rewind(self) -> None:
        """From the first one again."""
        self._at = 0

    def take(self, n: int, progress: Progress = silent) -> tuple[Bytes, Bytes]:
        """The next n: headers u8[n, 188] and onward keys u8[n, 32]."""
        missing = self._at + n - len(self._headers)
        if missing > 0:
            self._build(missing, progress)
        begin, self._at = self._at, self._at + n
        return self._headers[begin : self._at], self._onward[begin : self._at]

    def _build(self, n: int, progress: Progress) -> None:
        n_chunks = -(-n // CHUNK)
        headers, onward = [self._headers], [self._onward]
        with ThreadPoolExecutor(len(self._cores), initializer=os.sched_setaffinity, initargs=(0, self._cores)) as pool:
            for done, (some, keys) in enumerate(pool.map(lambda _: self._chunk(), range(n_chunks))):
                headers.append(some)
                onward.append(keys)
                progress(done / n_chunks, f"building {n:,} packets")
        self._headers, self._onward = np.concatenate(headers), np.concatenate(onward)

    def _chunk(self) -> tuple[Bytes, Bytes]:
        return build_headers(np.tile(self._node, (CHUNK, 1)), self._next, self._indices)


def build_headers(node_publics: Bytes, next_publics: Bytes, next_indices: Indices) -> tuple[Bytes, Bytes]:
    """Headers u8[n, 188] of covers for the node, by its key of each row u8[n, 32], and one of the next hops, by chance; and the
    `kx_public` u8[n, 32] that each has there."""
    n = len(node_publics)
    hops = np.random.default_rng().integers(0, len(next_publics), n)
    keys = np.empty((n, 2, 32), np.uint8)
    packets = build_covers(
        np.stack((node_publics, next_publics[hops]), 1), next_indices[hops].reshape(n, 1), kx_publics=keys
    )  # fmt: skip
    return packets[:, :HEADER_SIZE].copy(), keys[:, 1].copy()


@dataclass
class Upstream:
    """The sending side of one link to the node. Several threads may seal."""

    root: Root
    receiver_index: int
    step: int = 0
    seq: int = 0
    lock: Lock = field(default_factory=Lock, repr=False)

    def seal(self, rows: Bytes) -> None:
        """Rows become frames, in place, as one batch."""
        with self.lock:
            step, seq = self.step, self.seq
            self.step, self.seq = step + 1, seq + len(rows)
        seal(rows, self.root, self.receiver_index, step, seq)


class Neighbours:
    """Sockets, keys and packets of the whole neighbourhood; opened by `with`.

    The Sphinx keys stay the same, so that packets serve for every node that is started; link secrets are drawn for each.
    """

    def __init__(self, cores: Sequence[int], *, mean_delay_ns: int = 0, rotates: bool = False) -> None:
        """`cores` build packets. `rotates`: the node's keys live for slots of time, so that `headers` and `frames`, which know of
        one key, are not for it."""
        self._cores, self._mean_delay_ns, self._rotates = cores, mean_delay_ns, rotates

    def __enter__(self) -> Self:
        self._sockets: list[socket.socket] = []
        try:
            self.sources = [self._bound(HOST) for _ in range(UPSTREAMS)]
            self.sink = self._bound("0.0.0.0")
            port = self.sink.getsockname()[1]
            self.node_address = free_place()
            layers = [
                [each.getsockname() for each in self.sources],
                [self.node_address],
                [(NEXT_HOST.format(at + 1), port) for at in range(NEXT_HOPS)],
            ]
            self._plan = plan_network(layers, 0, mean_delay_ns=self._mean_delay_ns, rotates=self._rotates)
            self._prepare_sockets()
        except OSError as error:
            self.close()
            raise NetworkFailure(f"the bench cannot open its sockets on loopback: {error.strerror or error}") from None
        network = self._plan.network
        _, self.next_publics = keypairs(NEXT_HOPS)
        self.next_indices = np.array([network.index(node.number) for node in network.in_layer(3)], np.uint16)
        node_public = network.node(NODE).sphinx_public or bytes(32)  # where keys rotate, others build headers for their slots
        self.headers = Headers(node_public, self.next_publics, self.next_indices, self._cores)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes all sockets."""
        for each in self._sockets:
            each.close()

    def new_network(self, geometry: str) -> NetworkPlan:
        """The same nodes with fresh link secrets, for a node that starts anew; sets what `frames` seals with."""
        secrets = tuple(os.urandom(32) for _ in self._plan.link_secrets)
        plan = replace(self._plan, network=replace(self._plan.network, geometry=GEOMETRIES[geometry]), link_secrets=secrets)
        roots = [root_to_node(plan, number) for number in range(UPSTREAMS)]
        self.upstreams = [Upstream(Root(root.send_root), root.receiver_index_out) for root in roots]
        onward = [root_to_node(plan, node.number) for node in plan.network.in_layer(3)]
        self.sink_roots = [(root.receiver_index_in, root.recv_root) for root in onward]
        self.geometry = GEOMETRIES[geometry]
        self.headers.rewind()
        self._drop_waiting()
        return plan

    def set_traffic(self, traffic: str) -> None:
        """`plain`: one datagram a frame; `train`: a burst is one segmented send."""
        size = self.geometry.frame_size if traffic == "train" else 0
        try:
            for each in self.sources:
                each.setsockopt(SOL_UDP, UDP_SEGMENT, size)
        except OSError as error:
            raise NetworkFailure(f"this kernel does not segment UDP ({error.strerror}): measure plain traffic") from None

    def frames(self, n: int, burst: int, progress: Progress = silent) -> tuple[Bytes, Bytes]:
        """n sealed frames u8[n, F] of packets never sent to this node before, in bursts of one link each, and onward keys."""
        headers, onward = self.headers.take(n, progress)
        frames = self.room_for(n)
        lay_out(frames, headers)
        self.seal(frames, burst)
        return frames, onward

    def room_for(self, n: int) -> Bytes:
        """n frames u8[n, F] of random bytes."""
        size = self.geometry.frame_size
        assert size == FRAME_PACKET_AT + self.geometry.packet_size + FRAME_TAG_SIZE
        return np.frombuffer(bytearray(np.random.default_rng().bytes(n * size)), np.uint8).reshape(n, size)

    def seal(self, frames: Bytes, burst: int) -> None:
        """Seals what is laid out, in place, in bursts of one link each, the links in turn."""
        for number, first in enumerate(range(0, len(frames), burst)):
            self.upstreams[number % UPSTREAMS].seal(frames[first : first + burst])

    def _bound(self, host: str) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sockets.append(sock)
        sock.bind((host, 0))
        return sock

    def _prepare_sockets(self) -> None:
        for each in self.sources:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
            each.connect(self.node_address)
        force_buffer(self.sink, SINK_BUFFER)
        self.sink.setblocking(False)
        attempt(lambda: self.sink.setsockopt(SOL_UDP, UDP_GRO, 1))

    def _drop_waiting(self) -> None:
        """Whatever an earlier node has left in the sink."""
        while True:
            try:
                self.sink.recv(65536)
            except BlockingIOError:
                return


def lay_out(frames: Bytes, headers: Bytes, key_slots: Bytes | int = 0) -> None:
    """Writes key slots and headers u8[n, 188] into frames; the payload stays what is there."""
    frames[:, 12:FRAME_PACKET_AT] = 0  # no flags
    frames[:, 12] = key_slots
    frames[:, FRAME_PACKET_AT : FRAME_PACKET_AT + HEADER_SIZE] = headers


def root_to_node(plan: NetworkPlan, number: int) -> LinkRoot:
    """The link between a neighbour and the node under test, as the neighbour sees it."""
    network = plan.network
    at, link = next((at, link) for at, link in enumerate(network.links) if {link.a, link.b} == {number, NODE})
    return derive_link_root(network, link, number, plan.link_secrets[at])


def force_buffer(sock: socket.socket, size: int) -> None:
    """A receive buffer of that size, beyond the kernel's limit where this process may."""
    if not attempt(lambda: sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def attempt(act: Callable[[], object]) -> bool:
    """Whether the system allowed it."""
    try:
        act()
    except OSError:
        return False
    return True


def free_place() -> tuple[str, int]:
    """A loopback address whose UDP port was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        host, port = sock.getsockname()
        return host, port
