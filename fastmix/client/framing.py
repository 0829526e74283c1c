"""Packets as frames of links and back: what any client's wire does, whatever its links are made of."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.client.counters import ClientCounters
from fastmix.client.node_keys import NodeKeys
from fastmix.client.packets import Departures
from fastmix.errors import ResourceExhausted
from fastmix.links.channel import INDEX, Channel
from fastmix.packet.geometry import BATCH_MAX, FRAME_OVERHEAD, GEOMETRIES, Geometry
from fastmix.packet.verdict import Verdict
from fastmix.udp._datagram_io import DatagramIo
from fastmix.udp.address import ADDRESS

Bytes = npt.NDArray[np.uint8]


@dataclass(slots=True, eq=False)
class Outgoing:
    """Where frames to a node go, and what seals them."""

    address: Any
    channel: Channel


class Framing(ABC):
    """The links of one client. Counts into `counters` what it drops and what the kernel takes."""

    def __init__(self, geometry: Geometry, counters: ClientCounters, keys: NodeKeys) -> None:
        """`keys` say which key slots nodes take now."""
        self.geometry, self.counters, self.keys = geometry, counters, keys
        self._rows = np.zeros((BATCH_MAX, geometry.frame_size), np.uint8)
        packets = [other.packet_size for other in GEOMETRIES.values() if other is not geometry]
        self._other_sizes = np.array(packets, np.uint32) + FRAME_OVERHEAD

    @abstractmethod
    def outgoing(self, node: int, n: int) -> Outgoing | Verdict:
        """The link to a node, which is to take n packets now; or why it takes none."""

    @abstractmethod
    def incoming(self) -> Mapping[int, Channel]:
        """By receiver index: what opens the frames that come."""

    @abstractmethod
    def close(self) -> None:
        """Wipes all roots."""

    def send(self, io: DatagramIo, departures: Departures) -> None:
        """Seals and sends; every packet ends as sent or dropped in the counters."""
        n = len(departures.nodes)
        frames = np.zeros((n, self.geometry.frame_size), np.uint8)
        addresses, sealed = np.zeros(n, ADDRESS), np.zeros(n, np.bool_)
        groups: dict[tuple[int, int], list[int]] = {}
        for row, group in enumerate(zip(departures.nodes.tolist(), departures.key_slots.tolist(), strict=True)):
            groups.setdefault(group, []).append(row)
        for (node, key_slot), rows in groups.items():
            link = self.outgoing(node, len(rows))
            if isinstance(link, Verdict):
                self.counters.drop(link, len(rows))
            elif self._seal(link, departures.packets[rows], key_slot, frames, rows):
                addresses[rows], sealed[rows] = link.address, True
        self._hand_over(io, frames[sealed], addresses[sealed])

    def _seal(self, link: Outgoing, packets: Bytes, key_slot: int, frames: Bytes, rows: list[int]) -> bool:
        """Frames of one link into their rows; False, counted, where the link's root is used up."""
        try:
            frames[rows] = link.channel.seal(packets, key_slot)
        except ResourceExhausted:
            self.counters.drop(Verdict.DROP_LINK_EXHAUSTED, len(rows))
            return False
        return True

    def _hand_over(self, io: DatagramIo, frames: Bytes, addresses: npt.NDArray[Any]) -> None:
        for at in range(0, len(frames), BATCH_MAX):
            part = frames[at : at + BATCH_MAX]
            sizes = np.full(len(part), part.shape[1], np.uint32)
            refused = int(np.count_nonzero(io.send_from(part, sizes, addresses[at : at + BATCH_MAX])))
            self.counters.sent += len(part) - refused
            self.counters.drop(Verdict.DROP_SEND, refused)

    def receive(self, io: DatagramIo) -> Bytes | None:
        """The packets u8[n, P] of at most 256 waiting datagrams, without waiting; None if none waited."""
        n, sizes, _ = io.recv_into(self._rows)
        if n == 0:
            return None
        self.counters.received += n
        return self._open(self._rows[:n], sizes[:n])

    def _open(self, rows: Bytes, sizes: npt.NDArray[np.uint32]) -> Bytes:
        """Packets of the frames that may be opened; the others are counted."""
        verdicts = np.full(len(rows), Verdict.DROP_UNKNOWN_INDEX, np.uint8)
        verdicts[sizes != rows.shape[1]] = Verdict.DROP_LENGTH
        verdicts[np.isin(sizes, self._other_sizes)] = Verdict.DROP_OTHER_GEOMETRY
        packets = np.zeros((len(rows), self.geometry.packet_size), np.uint8)
        indices = rows[:, :4].copy().view(INDEX)[:, 0]
        for index, channel in self.incoming().items():
            mine = np.flatnonzero((indices == index) & (verdicts == Verdict.DROP_UNKNOWN_INDEX))
            if len(mine):
                opened, key_slots, packets[mine] = channel.open(rows[mine])
                live = np.array([self.keys.accepts_byte(key_slot) for key_slot in key_slots.tolist()], np.bool_)
                verdicts[mine] = np.where((opened == Verdict.OK) & ~live, Verdict.DROP_KEY_SLOT, opened)
        self.counters.drop_all(verdicts)
        accepted: Bytes = packets[verdicts == Verdict.OK]
        return accepted
