"""The keys that a data plane may use: opened as snapshots name them, wiped on its own clock. Road: unwrap check is **here**.

A key ends when its time is over, whether control lives or not, or when a snapshot no longer names it. Then no thread uses it any
more, its secret and the key of its tags are wiped at once, its fingerprints a little at a time, and its file goes.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.dataplane._road import Road
from fastmix.errors import FastmixError
from fastmix.seam.layout import KEYS_MAX
from fastmix.seam.pair import Pair, is_fixed

log = logging.getLogger(__name__)
PLACES = 2 * KEYS_MAX
"""Keys of two snapshots."""
NO_PLACE = PLACES

OpenPair = Callable[[bytes], Pair]
"""The pair of a 16-byte id; `OSError` or `FastmixError` where it cannot be had."""


@dataclass(slots=True, eq=False)
class Live:
    """One key, in its place of the road."""

    pair: Pair
    place: int
    until_ns: int
    ended: bool = False


@dataclass(slots=True, eq=False)
class LiveKeys:
    """At most three keys in use, and those of the snapshot before until every thread has left it."""

    road: Road
    open_pair: OpenPair
    _live: dict[bytes, Live] = field(default_factory=dict)
    _named: set[bytes] = field(default_factory=set)
    _ending: list[Pair] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of all replay sets."""
        return sum(live.pair.lines.nbytes for live in self._live.values())

    def take(self, keys: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Opens what a snapshot's `keys` name and is not open; their places u8[3]. A key whose pair cannot be had is not live;
        one without an end: raises."""
        places = np.full(KEYS_MAX, NO_PLACE, np.uint8)
        named = [(at, bytes(key["id"]), key) for at, key in enumerate(keys) if key["live"]]
        for at, pair_id, key in named:
            live = self._live.get(pair_id) or self._open(pair_id, int(key["slot"]), int(key["key_slot"]))
            if live is not None:
                live.until_ns = int(key["until_ns"])
                self.road.key_times(live.place, int(key["from_ns"]), live.until_ns)
                places[at] = live.place
        self._named = {pair_id for _, pair_id, _ in named}
        return places

    def _open(self, pair_id: bytes, slot: int, key_slot: int) -> Live | None:
        try:
            pair = self.open_pair(pair_id)
        except (FastmixError, OSError) as error:
            if is_fixed(slot):
                raise
            log.error("the key of slot %d is not used: %s", slot, error)
            return None
        taken = {live.place for live in self._live.values()}
        live = self._live[pair_id] = Live(pair, next(place for place in range(PLACES) if place not in taken), 0)
        self.road.use_key(live.place, pair.whole, pair.secret, pair.replay_key, pair.lines, key_slot)
        return live

    def retire(self) -> None:
        """Every thread uses the snapshot that was taken last: keys that it does not name are over."""
        for pair_id in self._live.keys() - self._named:
            live = self._live.pop(pair_id)
            self._end(live)
            self.road.forget_key(live.place)

    def end_due(self, boot_ns: int) -> None:
        """Ends the keys whose time is over by CLOCK_BOOTTIME, and wipes some more of those that have ended."""
        for live in self._live.values():
            if live.until_ns <= boot_ns:
                self._end(live)
        if self._ending and self._ending[0].wipe_lines():
            self._ending.pop(0)

    def _end(self, live: Live) -> None:
        if live.ended:
            return
        live.ended = True
        self.road.end_key(live.place)
        if is_fixed(live.pair.slot):
            return
        live.pair.wipe_key()
        self._ending.append(live.pair)
