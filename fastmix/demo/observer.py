"""What somebody on the wire sees, and how much of it is of use: a process of its own that never asks a node.

It sees sizes and ports. To measure what mixing does to the order, it is also given what no observer has: the link secrets, which
open the frames, and each packet's `kx_public`s, which only the packet's sender knows; so each packet that came is found again
among those that left.
"""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.demo.order import Order, compare
from fastmix.demo.talk import hear, say, standard_input
from fastmix.demo.wire import Capture, Relays, Wire
from fastmix.links.channel import Channel
from fastmix.links.static import StaticLinkRoots
from fastmix.network import End, Network, link_id
from fastmix.packet.geometry import KX_PUBLIC_SIZE
from fastmix.packet.verdict import Verdict

KX_HOPS = 3
"""Hops whose `kx_public`s the clients write down: the nodes."""
OPENED_AT_ONCE = 128


class Tap:
    """One direction of the traffic of a node: opens the frames, keeps each packet's `kx_public` and place in the sequence."""

    def __init__(self, channels: dict[int, Channel], frame_size: int) -> None:
        self._channels = channels
        self._rows = np.zeros((OPENED_AT_ONCE, frame_size), np.uint8)
        self._at: list[int] = []
        self.place: dict[bytes, int] = {}

    def add(self, frame: memoryview, at: int) -> None:
        """One datagram; another size than a frame's is not opened."""
        if len(frame) == self._rows.shape[1]:
            self._rows[len(self._at)] = np.frombuffer(frame, np.uint8)
            self._at.append(at)
            if len(self._at) == OPENED_AT_ONCE:
                self.flush()

    def flush(self) -> None:
        """Opens what waits."""
        rows = self._rows[: len(self._at)]
        indices = rows[:, :4].copy().view("<u4")[:, 0]
        for index, channel in self._channels.items():
            mine = np.flatnonzero(indices == index)
            if len(mine):
                verdicts, _, packets = channel.open(np.ascontiguousarray(rows[mine]))
                for row in np.flatnonzero(verdicts == Verdict.OK):
                    self.place[packets[row, :KX_PUBLIC_SIZE].tobytes()] = self._at[mine[row]]
        self._at.clear()


class Observer:
    """Sizes, counts, and the order of one node, `watched`. `ports`: port on the wire to node number."""

    def __init__(self, network: Network, watched: int, ports: dict[int, int]) -> None:
        self._network, self._watched, self._ports = network, watched, ports
        self.sizes: Counter[int] = Counter()
        self.to_node: Counter[int] = Counter()
        self.from_node: Counter[int] = Counter()
        size = network.geometry.frame_size
        self._in = Tap(receiving(network, watched, network.neighbours(watched)), size)
        after = [end for end in network.neighbours(watched) if isinstance(end, int)]
        self._out = Tap({i: c for end in after for i, c in receiving(network, end, [watched]).items()}, size)

    def saw(self, source: int, to: int, payload: memoryview) -> None:
        """One datagram from port to port."""
        self.sizes[len(payload)] += 1
        at = self.sizes.total()
        sender, receiver = self._ports.get(source), self._ports.get(to)
        if receiver is not None:
            self.to_node[receiver] += 1
        if sender is not None:
            self.from_node[sender] += 1
        if receiver == self._watched:
            self._in.add(payload, at)
        elif sender == self._watched:
            self._out.add(payload, at)

    def order(self, records: list[Path]) -> Order:
        """Matches what came with what left by the clients' records of `kx_public`s."""
        self._in.flush()
        self._out.flush()
        layer = self._network.node(self._watched).layer
        arrived, left = [], []
        for path in records:
            for row in read_records(path):
                came, went = self._in.place.get(row[layer - 1].tobytes()), self._out.place.get(row[layer].tobytes())
                if came is not None and went is not None:
                    arrived.append(came)
                    left.append(went)
        return compare(np.array(arrived, np.int64), np.array(left, np.int64))


def read_records(path: Path) -> npt.NDArray[np.uint8]:
    """The `kx_public`s that a client has written down: u8[n, 3, 32]."""
    data = np.fromfile(path, np.uint8) if path.exists() else np.zeros(0, np.uint8)
    row = KX_HOPS * KX_PUBLIC_SIZE
    return data[: len(data) // row * row].reshape(-1, KX_HOPS, KX_PUBLIC_SIZE)


def receiving(network: Network, receiver: int, senders: tuple[End, ...] | list[End]) -> dict[int, Channel]:
    """Channels that open what a node receives from some neighbours, by receiver index."""
    wanted = {link_id(sender) for sender in senders}
    return {
        root.receiver_index_in: Channel(
            root.recv_root, root.send_root, root.receiver_index_in, root.receiver_index_out, network.geometry
        )
        for root in StaticLinkRoots(network, receiver).roots(0)
        if root.peer in wanted
    }


def open_wire(setup: dict[str, Any]) -> Wire:
    """A capture, or relays where the setup names some."""
    if setup["relays"]:
        return Relays(setup["host"], [(port, target) for port, target in setup["relays"]])
    return Capture([int(port) for port in setup["ports"]])


async def observe() -> None:
    """Says when it sees, watches until it is asked, then says what it saw."""
    lines = await standard_input()
    setup = await hear(lines)
    network = Network.load(setup["network"])
    observer = Observer(network, setup["watched"], {int(port): node for port, node in setup["ports"].items()})
    wire = open_wire(setup)

    def look() -> None:
        for datagram in wire.passed():
            observer.saw(*datagram)

    loop = asyncio.get_running_loop()
    loop.add_reader(wire.fileno(), look)
    say({"ready": True})
    asked = await hear(lines)
    look()
    loop.remove_reader(wire.fileno())
    order = observer.order([Path(path) for path in asked["records"]])
    say(
        {
            "sizes": sorted(observer.sizes),
            "seen": observer.sizes.total(),
            "lost": wire.lost(),
            "to_node": observer.to_node,
            "from_node": observer.from_node,
            "order": {
                "node": setup["watched"],
                "rank_correlation": round(order.correlation, 4),
                "packets": order.n_packets,
                "sets": order.n_sets,
                "mean_set": round(order.mean_set, 1),
            },
        }
    )
    wire.close()


if __name__ == "__main__":
    try:
        asyncio.run(observe())
    except (EOFError, json.JSONDecodeError):
        sys.exit(1)
