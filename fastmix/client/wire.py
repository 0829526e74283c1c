"""A client's links: frames to and from its neighbours over one UDP socket, with counters that survive a restart."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.client.counters import ClientCounters
from fastmix.client.node_keys import FixedKeys, NodeKeys
from fastmix.client.packets import Departures
from fastmix.errors import ConfigError, FastmixError, ResourceExhausted
from fastmix.links.channel import INDEX, Channel
from fastmix.links.reservations import Reservations, counter_files
from fastmix.links.static import LinkRoot, StaticLinkRoots
from fastmix.network import Network, node_id
from fastmix.packet.geometry import BATCH_MAX, COUNTER_END, FRAME_OVERHEAD, GEOMETRIES
from fastmix.packet.verdict import Verdict
from fastmix.udp._datagram_io import DatagramIo
from fastmix.udp.address import ADDRESS, pack_address

Bytes = npt.NDArray[np.uint8]


@dataclass(slots=True, eq=False)
class Neighbour:
    """One link: where frames go, the channel, and the id under which its counters are reserved."""

    address: Any
    channel: Channel
    root_id: bytes


class Wire:
    """All links of one client. Counts into `counters` what it drops and what the kernel takes."""

    def __init__(self, network: Network, peer_id: bytes, counters: ClientCounters, keys: NodeKeys | None = None) -> None:
        """Reads the link secrets and reserves counters in the files beside them, which it holds until `close`.

        `ConfigError` for a wrong secret file or where this client runs already.
        """
        self._network, self._counters, self._keys = network, counters, keys or FixedKeys(network)
        roots = StaticLinkRoots(network, peer_id).roots(0)
        if any(root.address is None for root in roots):
            raise ConfigError(f"{network.path}: a client has a link to another client: clients are linked to nodes only")
        root_ids = [root.send_root_id for root in roots]
        self._reservations = Reservations.open(dict(zip(root_ids, counter_files(network, peer_id), strict=True)))
        number_of = {node_id(node.number): node.number for node in network.nodes}
        self._neighbours: dict[int, Neighbour] = {}
        try:
            reserved = self._reservations.begin(root_ids)
            for root in roots:
                first = reserved[root.send_root_id]
                self._neighbours[number_of[root.peer]] = _neighbour(network, root, first.step, first.seq)
        except BaseException:
            self._reservations.close()
            raise
        self._by_index = {neighbour.channel.receiver_index_in: neighbour.channel for neighbour in self._neighbours.values()}
        self._rows = np.zeros((BATCH_MAX, network.geometry.frame_size), np.uint8)
        packets = [geometry.packet_size for geometry in GEOMETRIES.values() if geometry is not network.geometry]
        self._other_sizes = np.array(packets, np.uint32) + FRAME_OVERHEAD

    def close(self) -> None:
        """Wipes the roots, settles the counters where they stand and frees their files.

        A fork wipes its copy only: the process that it came from goes on counting.
        """
        for neighbour in self._neighbours.values():
            neighbour.channel.wipe()
            if not neighbour.channel.is_ours:
                continue
            with suppress(FastmixError):  # else the next start begins at the next block
                self._reservations.settle(neighbour.root_id, neighbour.channel.next_step, neighbour.channel.next_seq)
        self._reservations.close()

    def send(self, io: DatagramIo, departures: Departures) -> None:
        """Seals and sends; every packet ends as sent or dropped in the counters."""
        n = len(departures.nodes)
        frames = np.zeros((n, self._network.geometry.frame_size), np.uint8)
        addresses, sealed = np.zeros(n, ADDRESS), np.zeros(n, np.bool_)
        groups: dict[tuple[int, int], list[int]] = {}
        for row, group in enumerate(zip(departures.nodes.tolist(), departures.key_slots.tolist(), strict=True)):
            groups.setdefault(group, []).append(row)
        for (node, key_slot), rows in groups.items():
            neighbour = self._neighbours.get(node)
            if neighbour is None:
                self._counters.drop(Verdict.DROP_NO_LINK, len(rows))
            elif self._seal(neighbour, departures.packets[rows], key_slot, frames, rows):
                addresses[rows], sealed[rows] = neighbour.address, True
        self._hand_over(io, frames[sealed], addresses[sealed])

    def _seal(self, neighbour: Neighbour, packets: Bytes, key_slot: int, frames: Bytes, rows: list[int]) -> bool:
        """Frames of one link into their rows; False, counted, where no number is reserved or the link's root is used up."""
        if not self._reserved(neighbour, len(rows)):
            self._counters.drop(Verdict.DROP_LINK_STALLED, len(rows))
            return False
        try:
            frames[rows] = neighbour.channel.seal(packets, key_slot)
        except ResourceExhausted:
            self._counters.drop(Verdict.DROP_LINK_EXHAUSTED, len(rows))
            return False
        return True

    def _reserved(self, neighbour: Neighbour, n: int) -> bool:
        """Whether n packets more have reserved numbers. Where the disk takes no more, those that it knows serve to their end."""
        channel = neighbour.channel
        try:
            limits = self._reservations.extend(neighbour.root_id, channel.next_step, channel.next_seq)
        except ResourceExhausted:
            limits = self._reservations.limits(neighbour.root_id)
        at_end = channel.next_step >= COUNTER_END or channel.next_seq + n > COUNTER_END
        return at_end or (channel.next_step < limits[0] and channel.next_seq + n <= limits[1])

    def _hand_over(self, io: DatagramIo, frames: Bytes, addresses: npt.NDArray[Any]) -> None:
        for at in range(0, len(frames), BATCH_MAX):
            part = frames[at : at + BATCH_MAX]
            sizes = np.full(len(part), part.shape[1], np.uint32)
            refused = int(np.count_nonzero(io.send_from(part, sizes, addresses[at : at + BATCH_MAX])))
            self._counters.sent += len(part) - refused
            self._counters.drop(Verdict.DROP_SEND, refused)

    def receive(self, io: DatagramIo) -> Bytes | None:
        """The packets u8[n, P] of at most 256 waiting datagrams, without waiting; None if none waited."""
        n, sizes, _ = io.recv_into(self._rows)
        if n == 0:
            return None
        self._counters.received += n
        return self._open(self._rows[:n], sizes[:n])

    def _open(self, rows: Bytes, sizes: npt.NDArray[np.uint32]) -> Bytes:
        """Packets of the frames that may be opened; the others are counted."""
        verdicts = np.full(len(rows), Verdict.DROP_UNKNOWN_INDEX, np.uint8)
        verdicts[sizes != rows.shape[1]] = Verdict.DROP_LENGTH
        verdicts[np.isin(sizes, self._other_sizes)] = Verdict.DROP_OTHER_GEOMETRY
        packets = np.zeros((len(rows), self._network.geometry.packet_size), np.uint8)
        indices = rows[:, :4].copy().view(INDEX)[:, 0]
        for index, channel in self._by_index.items():
            mine = np.flatnonzero((indices == index) & (verdicts == Verdict.DROP_UNKNOWN_INDEX))
            if len(mine):
                opened, key_slots, packets[mine] = channel.open(rows[mine])
                live = np.array([self._keys.accepts_byte(key_slot) for key_slot in key_slots.tolist()], np.bool_)
                verdicts[mine] = np.where((opened == Verdict.OK) & ~live, Verdict.DROP_KEY_SLOT, opened)
        self._counters.drop_all(verdicts)
        accepted: Bytes = packets[verdicts == Verdict.OK]
        return accepted


def _neighbour(network: Network, root: LinkRoot, step: int, seq: int) -> Neighbour:
    assert root.address is not None
    channel = Channel(
        root.recv_root, root.send_root, root.receiver_index_in, root.receiver_index_out, network.geometry, step, seq
    )
    return Neighbour(pack_address(*root.address), channel, root.send_root_id)
