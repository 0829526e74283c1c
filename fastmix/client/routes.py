"""Ways through the network: who may be on a route (docs/wire-format.md, section 8), drawn anew for each packet."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmix.client.address import Address
from fastmix.client.draw import Draw
from fastmix.client.fragments import SLOT_SIZE
from fastmix.client.node_keys import FixedKeys, NodeKeys
from fastmix.client.probes import Hops
from fastmix.errors import ConfigError, NetworkFailure
from fastmix.network import Network

HOPS = 4
"""Layer 1, layer 2, the recipient's exit, the recipient."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Routes of n packets: node numbers i64[n, 3], indices of first hops, keys of the hops, targets, peer ids of the last hop."""

    nodes: npt.NDArray[np.int64]
    first: npt.NDArray[np.uint16]
    publics: npt.NDArray[np.uint8]
    targets: npt.NDArray[np.uint16]
    peer_ids: npt.NDArray[np.uint8]


class Routes:
    """The routes that begin at one client."""

    def __init__(self, network: Network, peer_id: bytes, keys: NodeKeys | None = None) -> None:
        """`ConfigError` where the client has no link to layer 1 or none to its exit."""
        self._peer_id, self.keys = peer_id, keys or FixedKeys(network)
        self.adopt(network)
        if self.exit not in network.neighbours(peer_id):
            raise ConfigError(
                f"{network.path}: client {peer_id.hex()[:8]}… has no link to its exit, node {self.exit}: add a [[link]]"
            )
        self._check_exit(self.exit)

    def adopt(self, network: Network) -> None:
        """The network has changed, or this client's exit has: `network.client` tells it."""
        self._network = network
        self.exit = network.client(self._peer_id).exit
        self._known: dict[int, npt.NDArray[np.int64]] = {}
        self._first = {
            network.classes * node.number + class_ for node in network.in_layer(1) for class_ in range(network.classes)
        }

    def may_begin(self, record: bytes) -> bool:
        """Whether a SURB record, which somebody else made, is of a slot that nodes take now and begins at a node of layer 1."""
        first = int.from_bytes(record[SLOT_SIZE : SLOT_SIZE + 2], "little")
        return first in self._first and self.keys.accepts(int.from_bytes(record[:SLOT_SIZE], "little"))

    def check(self, address: Address) -> None:
        """`ConfigError` where no route leads to the address, `NetworkFailure` where nodes on all routes there, or back to this
        client, have published no keys for now."""
        node, _ = self._network.node_of_index(address.exit_index)
        self._check_exit(node.number)
        for exit_ in (node.number, self.exit):
            if why := self.why_closed(exit_):
                raise NetworkFailure(why)

    def is_open(self, address: Address) -> bool:
        """Whether packets for this address, which was checked, can be built now."""
        return not self.why_closed(address.exit_index // self._network.classes)

    def why_closed(self, exit_: int) -> str:
        """Which node is missing for any route that ends there; empty where one can be used."""
        lacking, ways = self.keys.lacking, self._ways(exit_)
        if not len(ways):
            return f"no route leads to node {exit_}: it is no exit of the network now; ask for the recipient's new address"
        if not lacking or (exit_ not in lacking and len(self._open_ways(exit_))):
            return ""
        first = next(number for number in [exit_, *ways.ravel().tolist()] if number in lacking)
        return f"no route to node {exit_} can be used: {lacking[first]}"

    def _open_ways(self, exit_: int) -> npt.NDArray[np.int64]:
        """Ways (first, second node) to an exit, of nodes that can be used."""
        ways = self._ways(exit_)
        return ways[~np.isin(ways, list(self.keys.lacking)).any(axis=1)] if self.keys.lacking else ways

    def _ways(self, exit_: int) -> npt.NDArray[np.int64]:
        """All ways (first, second node) to an exit; i64[n, 2]."""
        if exit_ not in self._known:
            ways = [way[:2] for way in self._network.routes(self._peer_id, exit_)]
            self._known[exit_] = np.array(ways, np.int64).reshape(len(ways), 2)
        return self._known[exit_]

    def _check_exit(self, exit_: int) -> None:
        if not len(self._ways(exit_)):
            name = f"client {self._peer_id.hex()[:8]}…"
            raise ConfigError(
                f"{self._network.path}: no route from {name} to node {exit_}: it needs links through layers 1, 2 and 3"
            )

    def ring(self, node: int, draw: Draw) -> Hops:
        """A way through all layers, and back to the first node, that a node is on, at random; `NetworkFailure` where a layer is
        missing, `ConfigError` for a number of no node. The first node has just heard where this client is."""
        layer = self._network.node(node).layer
        usable = {
            each: [other.number for other in self._network.in_layer(each) if other.number not in self.keys.lacking]
            for each in (1, 2, 3)
        }
        asked = usable | {layer: [node]}
        if node in self.keys.lacking and "no key" in (why := self.keys.lacking[node]):
            raise NetworkFailure(why)
        ways = (asked[1], asked[2], asked[3])
        if not all(ways):
            raise NetworkFailure(f"no loop through node {node} can be made: all nodes of another layer are down")
        first, second, third = (numbers[int(draw.below(len(numbers), 1)[0])] for numbers in ways)
        return first, second, third, first

    def draw(self, to: list[Address], classes: list[int], draw: Draw, slots: npt.NDArray[np.int64]) -> Drawn:
        """One route to each address, which must be open, uniform over all open ways; `classes` are the packets' priority classes,
        `slots` i64[n] those of their keys."""
        n, per_node = len(to), self._network.classes
        exits = [address.exit_index // per_node for address in to]
        nodes = np.empty((n, 3), np.int64)
        nodes[:, 2] = exits
        for exit_ in set(exits):
            rows = nodes[:, 2] == exit_
            ways = self._open_ways(exit_)
            nodes[rows, :2] = ways[draw.below(len(ways), int(rows.sum()))]
        indices = (nodes * per_node + np.array(classes, np.int64)[:, None]).astype(np.uint16)
        publics = np.empty((n, HOPS, 32), np.uint8)
        for slot in np.unique(slots).tolist():
            publics[slots == slot, :3] = self.keys.publics(slot)[nodes[slots == slot]]
        publics[:, 3] = np.frombuffer(b"".join(address.sphinx_public for address in to), np.uint8).reshape(n, 32)
        peer_ids = np.frombuffer(b"".join(address.peer_id for address in to), np.uint8).reshape(n, 32)
        return Drawn(nodes, indices[:, 0], publics, np.ascontiguousarray(indices[:, 1:]), peer_ids)
