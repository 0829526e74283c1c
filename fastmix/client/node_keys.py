"""Which keys packets are built for: one of each node without an end, or those of the slot that the clock says."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fastmix.client.draw import Draw
from fastmix.descriptor import Descriptor, read_descriptor
from fastmix.errors import ConfigError, FastmixError
from fastmix.network import Network

Publics = npt.NDArray[np.uint8]
REREAD_NS = 1_000_000_000
"""Between two looks whether a node has published anew."""


class NodeKeys(Protocol):
    """The Sphinx keys of all nodes."""

    def slot(self, draw: Draw) -> int:
        """The slot that packets are built for now."""
        ...

    def surb_slot(self) -> int:
        """The slot that SURBs are built for now."""
        ...

    def publics(self, slot: int) -> Publics:
        """Keys by node number; u8[numbers, 32]."""
        ...

    def accepts(self, slot: int) -> bool:
        """Whether nodes take packets of that slot now."""
        ...

    def accepts_byte(self, key_slot: int) -> bool:
        """The same of a frame's byte."""
        ...


@dataclass(frozen=True)
class FixedKeys:
    """Keys without an end, as the network file has them. Their slot is 0."""

    network: Network

    def slot(self, draw: Draw) -> int:
        """0."""
        return 0

    def surb_slot(self) -> int:
        """0."""
        return 0

    def publics(self, slot: int) -> Publics:
        """Of all nodes, u8[numbers, 32]."""
        return by_number({node.number: node.sphinx_public for node in self.network.nodes})

    def accepts(self, slot: int) -> bool:
        """Only 0."""
        return slot == 0

    def accepts_byte(self, key_slot: int) -> bool:
        """Only 0."""
        return key_slot == 0


@dataclass
class SlotKeys:
    """Keys of slots, as the nodes' descriptors have them; read again once a second at most, where a file has changed."""

    network: Network
    wall: Callable[[], int] = time.time_ns
    _descriptors: dict[int, Descriptor] = field(default_factory=dict)
    _read: dict[int, tuple[int, int]] = field(default_factory=dict)
    _cached: tuple[int, Publics] | None = None
    _looked_ns: int = 0

    def __post_init__(self) -> None:
        for node in self.network.nodes:
            self._reread(node.number, self.wall())
        all_times = {descriptor.times for descriptor in self._descriptors.values()}
        if len(all_times) > 1:
            raise ConfigError(f"{self.network.path}: its nodes have slots of different lengths: give all the same [keys]")
        (self.times,) = all_times

    def _reread(self, number: int, now_ns: int) -> None:
        node = self.network.node(number)
        path = self.network.path.parent / node.descriptor
        try:
            status = path.stat()
            seen = (status.st_mtime_ns, status.st_ino)
        except OSError:
            seen = (0, 0)
        if self._read.get(number) != seen or number not in self._descriptors:
            self._descriptors[number] = read_descriptor(path, number, node.identity, now_ns)
            self._read[number] = seen
            self._cached = None

    def _look(self) -> int:
        """Unix time. A descriptor that cannot be read now stays as it was."""
        now_ns = self.wall()
        if abs(now_ns - self._looked_ns) < REREAD_NS:
            return now_ns
        self._looked_ns = now_ns
        for node in self.network.nodes:
            try:
                self._reread(node.number, now_ns)
            except FastmixError:
                continue
        return now_ns

    def slot(self, draw: Draw) -> int:
        """That of the clock less U(0, late / 2): so nobody sees where a client's clock stands."""
        now_ns = self._look()
        back_ns = int(draw.below(max(self.times.late_ns // 2_000_000, 1), 1)[0]) * 1_000_000
        return self.times.number(now_ns - back_ns)

    def surb_slot(self) -> int:
        """That of the clock: a SURB has the longer way."""
        return self.times.number(self._look())

    def publics(self, slot: int) -> Publics:
        """Of all nodes; one that nobody has, where a descriptor does not list the slot: such packets are lost."""
        if self._cached is None or self._cached[0] != slot:
            found = {number: each.public(slot) or nobody() for number, each in self._descriptors.items()}
            self._cached = slot, by_number(found)
        return self._cached[1]

    def accepts(self, slot: int) -> bool:
        """Those whose key is live."""
        return slot in self.times.live(self.wall())

    def accepts_byte(self, key_slot: int) -> bool:
        """Those whose key is live."""
        return any(self.times.key_slot(slot) == key_slot for slot in self.times.live(self.wall()))


def nobody() -> bytes:
    """A public key without a secret."""
    return os.urandom(31) + b"\x3f"


def by_number(publics: dict[int, bytes]) -> Publics:
    """u8[numbers, 32]; zeros where there is no node."""
    rows = np.zeros((max(publics) + 1, 32), np.uint8)
    for number, public in publics.items():
        rows[number] = np.frombuffer(public, np.uint8)
    return rows


def keys_of(network: Network) -> NodeKeys:
    """As the network has them. `ConfigError` or `CryptoError` where a descriptor cannot be had."""
    return SlotKeys(network) if network.rotates else FixedKeys(network)
