"""The Sphinx keys of a static network's nodes, as loops need them: from the network file, or from the nodes' descriptors."""

import time
from dataclasses import dataclass, field

from fastmix.descriptor import Descriptor, read_descriptor
from fastmix.errors import FastmixError
from fastmix.network import Network

REREAD_S = 1.0
"""Between two looks at the descriptor of a node that lacks a key."""


@dataclass
class NetworkKeys:
    """The keys of a network file's nodes. Descriptors are read when a key is wanted that those read before do not have."""

    network: Network
    _descriptors: dict[int, Descriptor] = field(default_factory=dict)
    _read_at: dict[int, float] = field(default_factory=dict)

    def public(self, number: int, slot: int) -> bytes | None:
        """The key of a node's slot; None where it has published none."""
        node = self.network.node(number)
        if not node.identity:
            return node.sphinx_public
        found = self._known(number, slot)
        if found is None and time.monotonic() - self._read_at.get(number, -REREAD_S) >= REREAD_S:
            self._read_at[number] = time.monotonic()
            try:
                path = self.network.path.parent / node.descriptor
                self._descriptors[number] = read_descriptor(path, number, node.identity, time.time_ns())
            except FastmixError:  # not there yet, or not now
                return None
            found = self._known(number, slot)
        return found

    def _known(self, number: int, slot: int) -> bytes | None:
        descriptor = self._descriptors.get(number)
        return None if descriptor is None else descriptor.public(slot)
