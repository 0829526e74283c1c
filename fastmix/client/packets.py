"""Builds what leaves, one batch a tick: requests, replies, covers, and the SURBs inside them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix import sphinx
from fastmix.client.address import Address
from fastmix.client.draw import Draw
from fastmix.client.fragments import SLOT_SIZE
from fastmix.client.loops import LoopWatch
from fastmix.client.outbox import Order
from fastmix.client.probes import Hops, Probes
from fastmix.client.routes import HOPS, Drawn, Routes
from fastmix.client.surbs import Surb, SurbBook, Use
from fastmix.network import Network
from fastmix.packet.geometry import SURB_ID_SIZE

Bytes = npt.NDArray[np.uint8]
Observer = Callable[[Bytes], None]
"""Is given the `kx_public` that each hop of each built packet will receive: u8[n, h, 32]."""


@dataclass(frozen=True, slots=True)
class Departures:
    """Packets that leave now: node numbers of the first hops i64[n], packets u8[n, P], key slots u8[n]."""

    nodes: npt.NDArray[np.int64]
    packets: Bytes
    key_slots: Bytes


class Builder:
    """Builds the packets of one client, which is `me`."""

    def __init__(
        self, network: Network, me: Address, routes: Routes, book: SurbBook, draw: Draw, observer: Observer | None = None,
        watch: LoopWatch | None = None,
    ) -> None:  # fmt: skip
        """`watch` is told of the loops that leave."""
        self._network, self._me, self._routes, self._book, self._draw = network, me, routes, book, draw
        self._observer, self._watch = observer, watch
        self._geometry = network.geometry

    def adopt(self, network: Network, me: Address) -> None:
        """The network has changed, or this client's address."""
        self._network, self._me = network, me

    def surbs(self, uses: list[tuple[Use, bytes]], now: float, class_: int = 0) -> list[bytes]:
        """SURB records of 226 bytes, one for each (use, message id), remembered in the book."""
        n = len(uses)
        if not n:
            return []
        slot = self._routes.keys.surb_slot()
        route = self._routes.draw([self._me] * n, [class_] * n, self._draw, np.full(n, slot))
        ids = np.frombuffer(self._draw.octets(SURB_ID_SIZE * n), np.uint8).reshape(n, SURB_ID_SIZE)
        kx_publics = self._kx_publics(n, HOPS)
        surbs, keys = sphinx.build_surbs(
            route.publics,
            route.targets,
            route.first,
            ids,
            peer_ids=route.peer_ids,
            geometry=self._geometry,
            entropy=self._draw.seed(),
            kx_publics=kx_publics,
        )
        self._observe(kx_publics)
        for surb_id, key, (use, message_id) in zip(ids, keys, uses, strict=True):
            self._book.add(surb_id.tobytes(), Surb(key, use, message_id, now))
        return [slot.to_bytes(SLOT_SIZE, "little") + surb.tobytes() for surb in surbs]

    def build(
        self, orders: list[Order], n_covers: int, n_exit_covers: int, now: float,
        probes: tuple[Probes, list[tuple[int, Hops]]] | None = None,
    ) -> Departures:  # fmt: skip
        """The packets of a tick, in random order."""
        self._add_surbs(orders, now)
        requests = [order for order in orders if order.record is None]
        replies = [order for order in orders if order.record is not None]
        parts = [self._requests(requests)] if requests else []
        if replies:
            parts.append(self._replies(replies))
        if n_covers:
            parts.append(self._covers(n_covers, now))
        if probes is not None and probes[1]:
            parts.append(self._probes(*probes, now))
        if n_exit_covers:
            parts.append(self._exit_covers(n_exit_covers))
        if not parts:
            nothing = np.zeros((0, self._geometry.packet_size), np.uint8)
            return self._departures(np.zeros(0, np.uint16), nothing, np.zeros(0, np.uint8))
        order = self._draw.permutation(sum(len(part.nodes) for part in parts))
        return Departures(
            np.concatenate([part.nodes for part in parts])[order],
            np.concatenate([part.packets for part in parts])[order],
            np.concatenate([part.key_slots for part in parts])[order],
        )

    def _add_surbs(self, orders: list[Order], now: float) -> None:
        """Makes the SURBs that the orders ask for in one batch, and puts them into the fragments."""
        uses = [
            use for order in orders for use in [(Use.ACK, order.about)] * order.n_ack + [(Use.REPLY, order.about)] * order.n_fresh
        ]
        records = iter(self.surbs(uses, now))
        for order in orders:
            n = order.n_ack + order.n_fresh
            if n:
                order.fragment = order.fragment.with_records(tuple(next(records) for _ in range(n)))

    def _data(self, orders: list[Order]) -> Bytes:
        """The fragments, filled up with zeros; u8[n, D]."""
        size = self._geometry.data_size
        text = b"".join(order.fragment.encode().ljust(size, b"\0") for order in orders)
        return np.frombuffer(text, np.uint8).reshape(len(orders), size)

    def _requests(self, orders: list[Order]) -> Departures:
        slots = self._routes.keys.slots(self._draw, len(orders))
        to = [order.to for order in orders if order.to is not None]
        route = self._routes.draw(to, [order.class_ for order in orders], self._draw, slots)
        kx_publics = self._kx_publics(len(orders), HOPS)
        packets = sphinx.build_requests(
            self._data(orders),
            route.publics,
            route.targets,
            peer_ids=route.peer_ids,
            geometry=self._geometry,
            entropy=self._draw.seed(),
            kx_publics=kx_publics,
        )
        self._observe(kx_publics)
        return self._departures(route.first, packets, slots)

    def _replies(self, orders: list[Order]) -> Departures:
        records = np.frombuffer(b"".join(order.record or b"" for order in orders), np.uint8).reshape(len(orders), -1)
        surbs = np.ascontiguousarray(records[:, SLOT_SIZE:])
        first, packets = sphinx.build_replies(self._data(orders), surbs, geometry=self._geometry)
        return self._departures(first, packets, records[:, 0])

    def _covers(self, n: int, now: float) -> Departures:
        """Loops: three mix nodes and back to this client, which knows those that it watches by their ids."""
        slots = self._routes.keys.slots(self._draw, n)
        route: Drawn = self._routes.draw([self._me] * n, self._draw.below(self._network.classes, n).tolist(), self._draw, slots)
        kx_publics = self._kx_publics(n, HOPS)
        ids = None
        if self._watch is not None:
            ids = np.frombuffer(self._draw.octets(SURB_ID_SIZE * n), np.uint8).reshape(n, SURB_ID_SIZE)
            for loop_id, hops in zip(ids, route.nodes.tolist(), strict=True):
                self._watch.left(loop_id.tobytes(), tuple(hops), now)
        packets = sphinx.build_covers(
            route.publics,
            route.targets,
            ids=ids,
            peer_ids=route.peer_ids,
            geometry=self._geometry,
            entropy=self._draw.seed(),
            kx_publics=kx_publics,
        )
        self._observe(kx_publics)
        return self._departures(route.first, packets, slots)

    def _probes(self, probes: Probes, taken: list[tuple[int, Hops]], now: float) -> Departures:
        """Loops through chosen nodes: four, and back to this client."""
        n, classes = len(taken), self._network.classes
        slots = self._routes.keys.slots(self._draw, n)
        nodes = np.array([hops for _, hops in taken], np.int64)
        publics = np.empty((n, nodes.shape[1] + 1, 32), np.uint8)
        for row, slot in enumerate(slots.tolist()):
            publics[row, :-1] = self._routes.keys.publics(slot)[nodes[row]]
        publics[:, -1] = np.frombuffer(self._me.sphinx_public, np.uint8)
        ids = np.frombuffer(self._draw.octets(SURB_ID_SIZE * n), np.uint8).reshape(n, SURB_ID_SIZE)
        for loop_id, (key, _) in zip(ids, taken, strict=True):
            probes.left(loop_id.tobytes(), key, now)
        kx_publics = self._kx_publics(n, publics.shape[1])
        indices = (nodes * classes).astype(np.uint16)
        packets = sphinx.build_covers(
            publics,
            np.ascontiguousarray(indices[:, 1:]),
            ids=ids,
            peer_ids=np.tile(np.frombuffer(probes.me, np.uint8), (n, 1)),
            geometry=self._geometry,
            entropy=self._draw.seed(),
            kx_publics=kx_publics,
        )
        self._observe(kx_publics)
        return self._departures(indices[:, 0], packets, slots)

    def _exit_covers(self, n: int) -> Departures:
        """One hop, to the exit, which so learns where this client is."""
        slots = self._routes.keys.slots(self._draw, n)
        kx_publics = self._kx_publics(n, 1)
        packets = sphinx.build_covers(
            np.stack([self._routes.keys.publics(slot)[[self._routes.exit]] for slot in slots.tolist()]),
            np.zeros((n, 0), np.uint16),
            geometry=self._geometry,
            entropy=self._draw.seed(),
            kx_publics=kx_publics,
        )
        self._observe(kx_publics)
        return self._departures(np.full(n, self._me.exit_index, np.uint16), packets, slots)

    def _departures(self, first: npt.NDArray[np.uint16], packets: Bytes, slots: npt.NDArray[np.integer[Any]]) -> Departures:
        """`slots`: of each packet, of which a frame shows the last byte."""
        return Departures(first.astype(np.int64) // self._network.classes, packets, slots.astype(np.uint8))

    def _kx_publics(self, n: int, hops: int) -> Bytes | None:
        return None if self._observer is None else np.zeros((n, hops, 32), np.uint8)

    def _observe(self, kx_publics: Bytes | None) -> None:
        if self._observer is not None and kx_publics is not None:
            self._observer(kx_publics)
