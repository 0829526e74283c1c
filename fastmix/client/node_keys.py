"""Which keys packets are built for: one of each node without an end, or those of the slot that the clock says."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fastmix.client.draw import Draw
from fastmix.descriptor import Descriptor, check_same_slots, read_descriptor
from fastmix.errors import FastmixError
from fastmix.keys.slots import SlotTimes
from fastmix.network import Network

log = logging.getLogger(__name__)
Publics = npt.NDArray[np.uint8]
Slots = npt.NDArray[np.int64]
REREAD_NS = 1_000_000_000
"""Between two looks whether a node has published anew."""


class NodeKeys(Protocol):
    """The Sphinx keys of all nodes, at the moment of the last `look`."""

    def look(self) -> None:
        """Takes in what has been published, and what the clock shows."""
        ...

    def slots(self, draw: Draw, n: int) -> Slots:
        """The slots that n packets are built for, each drawn by itself; i64[n]."""
        ...

    def surb_slot(self) -> int:
        """The slot that SURBs are built for."""
        ...

    def publics(self, slot: int) -> Publics:
        """Keys by node number; u8[numbers, 32], zeros where a node has none."""
        ...

    @property
    def lacking(self) -> Mapping[int, str]:
        """Nodes that no packet can be built for, and why."""
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
    lacking: Mapping[int, str] = field(default_factory=dict, init=False)

    def look(self) -> None:
        """They do not change."""

    def slots(self, draw: Draw, n: int) -> Slots:
        """Zeros."""
        return np.zeros(n, np.int64)

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


class BySlots:
    """What keys of slots have in common. A packet's slot is that of the clock less U(0, late / 2), drawn for each packet by
    itself: so nobody sees where a client's clock stands, nor which packets of a tick are of one kind."""

    wall: Callable[[], int]
    times: SlotTimes
    _now_ns: int
    _publics: dict[int, Publics]

    def wanted(self) -> range:
        """The slots that packets may be built for now."""
        return range(self.times.number(self._now_ns - self.times.late_ns // 2), self.times.number(self._now_ns) + 1)

    def slots(self, draw: Draw, n: int) -> Slots:
        """Those of the clock less U(0, late / 2)."""
        back_ns = (draw.fractions(n) * (self.times.late_ns // 2)).astype(np.int64)
        return (self._now_ns - back_ns) // self.times.slot_ns

    def surb_slot(self) -> int:
        """That of the clock: a SURB has the longer way."""
        return self.times.number(self._now_ns)

    def publics(self, slot: int) -> Publics:
        """Of all nodes, for a slot that packets are built for now."""
        return self._publics[slot]

    def accepts(self, slot: int) -> bool:
        """Those whose key is live, and those that open within another early grace: the clock of whoever built for them may be
        ahead by one, as this machine's may be behind by one."""
        return slot in self._live()

    def accepts_byte(self, key_slot: int) -> bool:
        """The same."""
        return any(self.times.key_slot(slot) == key_slot for slot in self._live())

    def _live(self) -> range:
        now_ns = self.wall()
        return range(self.times.live(now_ns)[0], self.times.live(now_ns + self.times.early_ns)[-1] + 1)


@dataclass
class SlotKeys(BySlots):
    """Keys of slots, as the nodes' descriptors have them; read again once a second at most, where a file has changed.

    Nodes whose descriptor has run out are `lacking`: routes go around them.
    """

    network: Network
    wall: Callable[[], int] = time.time_ns
    lacking: dict[int, str] = field(default_factory=dict)
    _descriptors: dict[int, Descriptor] = field(default_factory=dict)
    _read: dict[int, tuple[int, int]] = field(default_factory=dict)
    _refused: dict[int, str] = field(default_factory=dict)
    _publics: dict[int, Publics] = field(default_factory=dict)
    _looked_ns: int = 0

    def __post_init__(self) -> None:
        self._now_ns = self._looked_ns = self.wall()
        for node in self.network.nodes:
            self._reread(node.number)
        check_same_slots(self.network.path, {number: each.times for number, each in self._descriptors.items()})
        self.times = next(iter(self._descriptors.values())).times
        self.look()

    def look(self) -> None:
        """Reads the clock, and once a second the files. A descriptor that cannot be read now stays as it was; it is said why."""
        self._now_ns = self.wall()
        if abs(self._now_ns - self._looked_ns) >= REREAD_NS:
            self._looked_ns = self._now_ns
            for node in self.network.nodes:
                self._try_reread(node.number)
        wanted = self.wanted()
        if wanted != range(min(self._publics, default=0), max(self._publics, default=-1) + 1):
            self._choose(wanted)

    def _reread(self, number: int) -> None:
        node = self.network.node(number)
        path = self.network.path.parent / node.descriptor
        try:
            status = path.stat()
            seen = (status.st_mtime_ns, status.st_ino)
        except OSError:
            seen = (0, 0)
        if self._read.get(number) != seen or number not in self._descriptors:
            self._descriptors[number] = read_descriptor(path, number, node.identity, self._now_ns)
            self._read[number] = seen
            self._publics.clear()

    def _try_reread(self, number: int) -> None:
        try:
            self._reread(number)
        except FastmixError as error:
            if self._refused.get(number) != str(error):
                log.warning("%s; what node %d published before is used on", error, number)
            self._refused[number] = str(error)
        else:
            self._refused.pop(number, None)

    def _choose(self, wanted: range) -> None:
        """The keys of these slots, and the nodes that have none for one of them."""
        before = self.lacking
        self.lacking = {number: why for number in self._descriptors if (why := self._why_lacking(number, wanted))}
        self._publics = {
            slot: by_number({number: each.public(slot) or bytes(32) for number, each in self._descriptors.items()})
            for slot in wanted
        }
        for number in self.lacking.keys() - before.keys():
            log.warning("%s; packets go around it", self.lacking[number])
        for number in before.keys() - self.lacking.keys():
            log.info("node %d has keys again", number)

    def _why_lacking(self, number: int, wanted: range) -> str:
        descriptor = self._descriptors[number]
        path = self.network.path.parent / self.network.node(number).descriptor
        if descriptor.times != self.times:
            other = f"{descriptor.times.text}, and the others {self.times.text}"
            return f"{path}: node {number} has slots of another length than the others: {other}: give all nodes the same [keys]"
        absent = [slot for slot in wanted if descriptor.public(slot) is None]
        if not absent:
            return ""
        return (
            f"{path}: node {number} has published no key of slot {absent[0]}, which it is by this machine's clock: see whether "
            "the node is running, get its descriptor anew, and look at the clock"
        )


def by_number(publics: dict[int, bytes]) -> Publics:
    """u8[numbers, 32]; zeros where there is no node."""
    rows = np.zeros((max(publics) + 1, 32), np.uint8)
    for number, public in publics.items():
        rows[number] = np.frombuffer(public, np.uint8)
    return rows


def keys_of(network: Network) -> NodeKeys:
    """As the network has them. `ConfigError` or `CryptoError` where a descriptor cannot be had."""
    return SlotKeys(network) if network.rotates else FixedKeys(network)
