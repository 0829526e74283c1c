"""The data plane: the road in, the pool, the road out. Road: **here** is all of it, in order.

Without a socket, a clock or a process of its own: whoever drives it brings them. A node's process drives it with sockets and the
machine's clock, the in-memory network of `fastmix.testing` with rings and a virtual clock, through the same compiled functions.
"""

import logging
import mmap
import pickle
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fastmix.dataplane._road import Road, road_count, scratch_size
from fastmix.dataplane.entropy import Entropy
from fastmix.dataplane.live_keys import LiveKeys, OpenPair
from fastmix.dataplane.pool import Pool
from fastmix.errors import ConfigError
from fastmix.kernels.grouping import by_link
from fastmix.mixing import MixingLimits, MixingStrategy
from fastmix.packet.geometry import GEOMETRIES, Geometry
from fastmix.packet.verdict import Verdict
from fastmix.seam.layout import NEVER_NS
from fastmix.seam.memory import MIXING_ERROR_SIZE, Region, keep_private

log = logging.getLogger(__name__)


def private_bytes(size: int) -> npt.NDArray[np.uint8]:
    """Page-aligned zero bytes that never reach a disk: locked, left out of core dumps and of children."""
    area = np.frombuffer(mmap.mmap(-1, size), np.uint8)
    keep_private(area)
    return area


def read_mixing(page: Region, half: int) -> tuple[MixingStrategy, MixingLimits]:
    """(strategy, limits) of one half of the page's `mixing` section."""
    mixing = page["mixing"]
    size = int(mixing["size"][0, half])
    strategy, limits = pickle.loads(mixing["blob"][0, half, :size].tobytes())
    return strategy, limits


class DatagramIo(Protocol):
    """What receives and sends: `address` is that of its `struct fm_io`, valid as long as the object lives."""

    @property
    def address(self) -> int:
        """Address of the C structure."""
        ...

    @property
    def ring_size(self) -> int:
        """Bytes that received datagrams take, at most."""
        ...


class DataPlane:
    """Workers and the mixer over shared memory.

    arena, page: regions of `fastmix.seam.memory`; snapshot: region with the `snapshot` section; ios: for each worker, sockets or
    rings behind a `struct fm_io`, whose address it names. A single worker is this thread: it receives and mixes in turn. Several
    have threads of their own, from `start` to `stop`, which never hold the GIL. The page's `mixing` section must hold a strategy.
    `open_pair`: the pair file of an id. Call `recover`, `adopt`, then `mix` after each receiving, and now and then `look`.
    """

    def __init__(
        self, geometry: Geometry, arena: Region, page: Region, snapshot: Region, ios: Sequence[DatagramIo],
        open_pair: OpenPair, *,
        batch: int = 256, tick_ns: int = 1_000_000, nap_ns: int = 200_000, entropy: Entropy | None = None, lookup_seed: int = 0,
        strict_kx: bool = False,
    ) -> None:  # fmt: skip
        self.arena, self.page, self.snapshot = arena, page, snapshot
        other = next(g for g in GEOMETRIES.values() if g.name != geometry.name)
        self.ios = tuple(ios)
        roads, size = road_count(len(self.ios)), scratch_size()
        self.scratch_size = roads * size
        self.road = Road(
            geometry, other.frame_size, arena, page, self.ios,
            private_bytes(roads * size).reshape(roads, size),
            batch=batch, tick_ns=tick_ns, nap_ns=nap_ns, lookup_seed=lookup_seed, strict_kx=strict_kx,
        )  # fmt: skip
        self.keys = LiveKeys(self.road, open_pair)
        self.tick_ns = tick_ns
        self.kernel_drop_events = 0
        self.snapshot_generation = 0
        self._is_settled = False
        self._entropy = entropy or Entropy()
        self._drain_end_ns = NEVER_NS
        self._released_before = self._faults_before = 0

    def recover(self, counters: dict[str, int]) -> None:
        """Takes over memory as it is, new or left by a process that died. `counters`: the page as it was read before."""
        classes = int(self.snapshot["snapshot"]["copy"]["classes"][0, self._current()])
        strategy, limits = read_mixing(self.page, int(self.page["mixing"]["good"][0]))
        columns = {name: self.arena[name] for name in ("arrival_ns", "deadline_ns", "class_", "ingress")}
        self.pool = Pool(columns, strategy, limits, len(self.arena["state"]), classes, self._entropy)
        self._released_before, self._faults_before = counters["released_below_floor"], counters["strategy_faults"]
        self.road.recover()

    def adopt(self) -> bool:
        """Takes the snapshot if control has published a new one; workers follow before their next batch. `page` names the
        generation that all threads use: control leaves the copy before that one alone, and rows that this one has not."""
        generation = int(self.snapshot["snapshot"]["generation"][0])
        if self.snapshot_generation:
            if not self.road.adopted:
                return False
            if not self._is_settled:
                self.road.settle()
                self._is_settled = True
            self.page["process"]["adopted"] = self.snapshot_generation
            self.keys.retire()
        if generation == self.snapshot_generation:
            return False
        copy = self.snapshot["snapshot"]["copy"][0, generation & 1 : (generation & 1) + 1]
        self.road.adopt(copy, self.keys.take(copy["keys"][0]))
        self.snapshot_generation, self._is_settled = generation, False
        return True

    def look(self, now_ns: int, boot_ns: int) -> None:
        """What is due now and then, at the same moment by the clock of batches and by CLOCK_BOOTTIME: a new snapshot, and keys
        whose time is over, which need nobody to say so; and how many residents the floor lacks, which control makes up for."""
        self.road.follow_boot_time(boot_ns - now_ns)
        self.adopt()
        self.keys.end_due(boot_ns)
        self.page["cover"]["missing"] = self.pool.missing(now_ns)
        self._follow_upstreams()

    def start(self) -> list[int]:
        """Lets the workers receive, where there are several; their thread ids. `OSError` where threads cannot be had."""
        return self.road.start()

    def stop(self) -> bool:
        """Ends the workers' threads. True if they had pooled nothing more; else the pool has it now."""
        self.road.stop()
        return not self._take_in()

    def _take_in(self) -> int:
        """From the workers into the pool; how many."""
        slots = self.road.take_inbox()
        if len(slots):
            self.pool.add(slots)
        return len(slots)

    def mix(self, now_ns: int) -> int:
        """The mixer: takes in what was pooled and what control has made, lets go what is due. Returns how many left."""
        self._follow_mixing()
        self.road.originate(now_ns)
        self._take_in()
        left = self._let_go(now_ns)
        if now_ns >= self._drain_end_ns:
            while self._let_go(now_ns):
                continue
            self.drop_rest()
        self.publish()
        return left

    def _let_go(self, now_ns: int) -> int:
        """One batch: drawn order, grouped by link, sealed, sent."""
        leaving = self.pool.release(now_ns)
        if len(leaving):
            self.road.leave(by_link(leaving, self.arena["link"])[0])
        return len(leaving)

    def next_due_ns(self, now_ns: int) -> int:
        """When `mix` should be called next if nothing comes."""
        return self.pool.next_due_ns(now_ns)

    def drain(self, now_ns: int, drain_ns: int) -> None:
        """Lets the pool run empty: packets leave at their own deadlines, what is left after `drain_ns` is dropped."""
        self._drain_end_ns = now_ns + drain_ns
        self.pool.drain(self._drain_end_ns)

    def drop_rest(self) -> None:
        """Ends what still waits with `drop_drained`."""
        self._take_in()
        self.road.drop(self.pool.drop_all(), Verdict.DROP_DRAINED)
        self.publish()

    def publish(self) -> None:
        """Shows all counters, those of the mixer too."""
        self.road.note(
            released_below_floor=self._released_before + self.pool.released_below_floor,
            strategy_faults=self._faults_before + self.pool.strategy_faults,
            kernel_drop_events=self.kernel_drop_events,
        )

    def _current(self) -> int:
        return int(self.snapshot["snapshot"]["generation"][0]) & 1

    def _follow_upstreams(self) -> None:
        """Another number of links that packets come from, and so another share of each in the floor."""
        n = int(self.page["cover"]["upstreams"][0])
        if n and n != self.pool.limits.upstreams:
            self.pool.configure(self.pool.strategy, replace(self.pool.limits, upstreams=n))

    def _follow_mixing(self) -> None:
        """Another strategy or other limits, if the page asks for them. What cannot be used is refused, and the old one stays."""
        mixing = self.page["mixing"]
        number = int(mixing["generation"][0])
        if number == int(mixing["applied"][0]):
            return
        error, half = b"", int(mixing["asked"][0])
        try:
            strategy, limits = read_mixing(self.page, half)
            self.pool.configure(strategy, limits)
            mixing["good"] = half
        except Exception as problem:  # the blob may name anyone's code
            text = str(problem) if isinstance(problem, ConfigError) else f"{type(problem).__name__}: {problem}"
            error = text.encode()[:MIXING_ERROR_SIZE]
            log.error("mixing: the new strategy is refused, the old one stays: %s", text)
        mixing["error"][0, : len(error)] = np.frombuffer(error, np.uint8)
        mixing["error_size"] = len(error)
        mixing["applied"] = number
