"""What a document and the records that it names come to: a `Network`, and who everybody is.

Every node is linked to all nodes of the layers beside its own, the third to the first, too, so that loops come back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from fastmix.directory.document import Document, Entry, Settings
from fastmix.directory.records import NodeRecord
from fastmix.network import LAYERS, Network, NetworkClient, NetworkLink, Node
from fastmix.packet.geometry import GEOMETRIES

PLACE = Path("the directory")
"""Stands where errors name a network's file."""


@dataclass(frozen=True)
class View:
    """A document's network. `records`: by identity, of those of its nodes whose record is there; only they are in `network`."""

    document: Document
    network: Network
    entries: Mapping[int, Entry]
    """By number, one for each instance."""
    records: Mapping[bytes, NodeRecord]

    @property
    def identities(self) -> dict[int, bytes]:
        """Number -> identity."""
        return {number: entry.identity for number, entry in self.entries.items()}

    def place(self, number: int) -> tuple[str, int]:
        """Where the datagrams of a node's instance go."""
        return self.network.node(number).address

    def public(self, number: int, slot: int) -> bytes | None:
        """The key of a node's slot; None where there is none."""
        entry = self.entries[number]
        return self.records[entry.identity].instances[entry.numbers.index(number)].public(slot)

    def neighbours(self, number: int) -> list[int]:
        """The nodes that a node has links with."""
        return [other for other in self.network.neighbours(number) if isinstance(other, int)]


def view_of(document: Document, records: Mapping[bytes, NodeRecord], clients: Iterable[NetworkClient] = ()) -> View:
    """`records`: by identity. `clients` are linked to all nodes of layer 1 and to their exit."""
    entries = {
        number: entry
        for entry in document.entries
        if entry.identity in records
        for number, _ in zip(entry.numbers, records[entry.identity].instances, strict=False)
    }
    nodes = tuple(
        Node(
            number, entry.layer, records[entry.identity].instances[entry.numbers.index(number)].data.pair, identity=entry.identity
        )
        for number, entry in sorted(entries.items())
    )
    links = [NetworkLink(a, b, "") for a, b in pairs(nodes)]
    clients = tuple(clients)
    for client in clients:
        ends = [node.number for node in nodes if node.layer == LAYERS[0]]
        links += [NetworkLink(client.peer_id, end, "") for end in dict.fromkeys([*ends, client.exit])]
    settings: Settings = document.settings
    network = Network(
        GEOMETRIES[settings.geometry], settings.mean_delay_ns, settings.classes, nodes, clients, tuple(links), PLACE
    )
    return View(document, network, entries, records)


def pairs(nodes: Iterable[Node]) -> list[tuple[int, int]]:
    """The numbers of nodes that are linked, each pair once."""
    in_layer = {layer: [node.number for node in nodes if node.layer == layer] for layer in LAYERS}
    beside = zip(LAYERS, (*LAYERS[1:], LAYERS[0]), strict=True)
    return [pair for layer, after in beside for pair in product(in_layer[layer], in_layer[after])]
