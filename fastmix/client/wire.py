"""The links of a client that `network.toml` names: counters that survive a restart."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from fastmix.client.counters import ClientCounters
from fastmix.client.framing import Framing, Outgoing
from fastmix.client.node_keys import FixedKeys, NodeKeys
from fastmix.errors import ConfigError, FastmixError, ResourceExhausted
from fastmix.links.channel import Channel
from fastmix.links.reservations import Reservations, counter_files
from fastmix.links.static import LinkRoot, StaticLinkRoots
from fastmix.network import Network, node_id
from fastmix.packet.geometry import COUNTER_END
from fastmix.packet.verdict import Verdict
from fastmix.udp.address import pack_address


@dataclass(slots=True, eq=False)
class Neighbour(Outgoing):
    """One link, with the id under which its counters are reserved."""

    root_id: bytes


class Wire(Framing):
    """All static links of one client. Counts into `counters` what it drops and what the kernel takes."""

    def __init__(self, network: Network, peer_id: bytes, counters: ClientCounters, keys: NodeKeys | None = None) -> None:
        """Reads the link secrets and reserves counters in the files beside them, which it holds until `close`.

        `ConfigError` for a wrong secret file or where this client runs already.
        """
        super().__init__(network.geometry, counters, keys or FixedKeys(network))
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

    def outgoing(self, node: int, n: int) -> Outgoing | Verdict:
        """The link to a node; a verdict where there is none, or no number is reserved."""
        neighbour = self._neighbours.get(node)
        if neighbour is None:
            return Verdict.DROP_NO_LINK
        return neighbour if self._reserved(neighbour, n) else Verdict.DROP_LINK_STALLED

    def incoming(self) -> Mapping[int, Channel]:
        """By receiver index."""
        return self._by_index

    def _reserved(self, neighbour: Neighbour, n: int) -> bool:
        """Whether n packets more have reserved numbers. Where the disk takes no more, those that it knows serve to their end."""
        channel = neighbour.channel
        try:
            limits = self._reservations.extend(neighbour.root_id, channel.next_step, channel.next_seq)
        except ResourceExhausted:
            limits = self._reservations.limits(neighbour.root_id)
        at_end = channel.next_step >= COUNTER_END or channel.next_seq + n > COUNTER_END
        return at_end or (channel.next_step < limits[0] and channel.next_seq + n <= limits[1])


def _neighbour(network: Network, root: LinkRoot, step: int, seq: int) -> Neighbour:
    assert root.address is not None
    channel = Channel(
        root.recv_root, root.send_root, root.receiver_index_in, root.receiver_index_out, network.geometry, step, seq
    )
    return Neighbour(pack_address(*root.address), channel, root.send_root_id)
