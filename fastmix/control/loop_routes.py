"""The ways of a node's loops: through the other two layers and back, in the order in which everybody's packets go.

A loop must look like any other packet to those who carry it: so a node of layer 1 sends it to layer 2, one of layer 2 to layer 3,
and one of layer 3 to layer 1.
"""

import random
from collections.abc import Callable, Set
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fastmix.keys.slots import SlotTimes
from fastmix.network import LAYERS, Network

Public = Callable[[int, int], bytes | None]
"""(node's number, slot) -> its Sphinx key, 32 bytes; None where it has none."""
TRIES = 16
FIXED_SLOT_NUMBER = 0
"""Of keys without an end."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Loops: the slots of their keys, ways (first, second node), first hops' indices u16[n], publics u8[n, 3, 32], targets
    u16[n, 2]."""

    slots: list[int]
    ways: list[tuple[int, int]]
    first: npt.NDArray[np.uint16]
    publics: npt.NDArray[np.uint8]
    targets: npt.NDArray[np.uint16]


@dataclass
class LoopRoutes:
    """Of the node `number`. `times`: None where keys have no end; `avoid`: nodes that are known not to work."""

    network: Network
    number: int
    public: Public
    times: SlotTimes | None = None
    avoid: Set[int] = frozenset()
    _firsts: list[int] = field(init=False)
    _seconds: dict[int, list[int]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        after, self._last_layer = _next_layers(self.network.node(self.number).layer)
        firsts = self._beside(self.number, after)
        self._before = set(self._beside(self.number, self._last_layer))
        self._firsts = [first for first in firsts if self._seconds_of(first)]
        self._nodes = frozenset(self._firsts).union(*(self._seconds[first] for first in self._firsts))

    @property
    def nodes(self) -> Set[int]:
        """That loops may go over."""
        return self._nodes

    @property
    def is_open(self) -> bool:
        """Whether there is any way."""
        return bool(self._firsts)

    @property
    def why_closed(self) -> str:
        """Why there is none; empty where there is one."""
        if self.is_open:
            return ""
        layer = self.network.node(self.number).layer
        around = " to ".join(str(each) for each in (layer, *_next_layers(layer), layer))
        return f"no way along links leads from this node back to it, from layer {around}"

    def draw(self, n: int, now_ns: int, chosen: random.Random) -> Drawn | None:
        """n ways, or fewer where nodes have no keys, each with a slot (that of the Unix time `now_ns` less U(0, late / 2), as
        clients draw it) and a class drawn by itself; None where there is none."""
        found = [(slot, way) for _ in range(n) if (way := self._way(slot := self._slot(now_ns, chosen), chosen)) is not None]
        if not found:
            return None
        slots, ways = [slot for slot, _ in found], [way for _, way in found]
        keys = b"".join(self._key(number, slot) for slot, way in found for number in (*way, self.number))
        classes = np.array([chosen.randrange(self.network.classes) for _ in ways], np.int64)
        hops = np.array([(first, second, self.number) for first, second in ways], np.int64)
        indices = (hops * self.network.classes + classes[:, None]).astype(np.uint16)
        publics = np.frombuffer(keys, np.uint8).reshape(len(ways), 3, 32)
        return Drawn(slots, ways, indices[:, 0], publics, np.ascontiguousarray(indices[:, 1:]))

    def _slot(self, now_ns: int, chosen: random.Random) -> int:
        if self.times is None:
            return FIXED_SLOT_NUMBER
        return self.times.number(now_ns - int(chosen.random() * (self.times.late_ns // 2)))

    def _key(self, number: int, slot: int) -> bytes:
        return self.public(number, slot) or b""

    def _way(self, slot: int, chosen: random.Random) -> tuple[int, int] | None:
        """One whose nodes have keys; None where that does not come soon."""
        for _ in range(TRIES if self._firsts and self._key(self.number, slot) else 0):
            first = chosen.choice(self._firsts)
            second = chosen.choice(self._seconds_of(first))
            if self._key(first, slot) and self._key(second, slot):
                return first, second
        return None

    def _seconds_of(self, first: int) -> list[int]:
        """Nodes that a loop may go on to, and from there back here."""
        if first not in self._seconds:
            self._seconds[first] = [number for number in self._beside(first, self._last_layer) if number in self._before]
        return self._seconds[first]

    def _beside(self, number: int, layer: int) -> list[int]:
        """The nodes of a layer that have a link with that one."""
        others = [end for end in self.network.neighbours(number) if isinstance(end, int) and end not in self.avoid]
        return [end for end in others if self.network.node(end).layer == layer]


def _next_layers(layer: int) -> tuple[int, int]:
    """The two layers after that one, around."""
    at = LAYERS.index(layer)
    return LAYERS[(at + 1) % len(LAYERS)], LAYERS[(at + 2) % len(LAYERS)]
