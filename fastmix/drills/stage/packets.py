"""Packets for a node whose keys rotate, as clients build them: for the slot of a clock that is a little late."""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, get_native_id

import numpy as np
import numpy.typing as npt

from fastmix.bench.neighbours import CHUNK, Neighbours, Upstream, build_headers, lay_out
from fastmix.descriptor import Descriptor, read_descriptor
from fastmix.errors import NetworkFailure
from fastmix.sphinx.arrays import Bytes

Slots = npt.NDArray[np.int64]
NICENESS = -10
"""Of those who build, if this process has a higher priority: load and node go before them, whoever else is there comes after."""


@dataclass(frozen=True)
class Packets:
    """n packets: `headers` u8[n, 188], `onward` u8[n, 32], the `kx_public` of each at the next hop, and `key_slots` u8[n]."""

    headers: Bytes
    onward: Bytes
    key_slots: Bytes

    def __len__(self) -> int:
        return len(self.headers)

    def __getitem__(self, rows: slice | npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> "Packets":
        return Packets(self.headers[rows], self.onward[rows], self.key_slots[rows])

    @classmethod
    def joined(cls, *parts: "Packets") -> "Packets":
        """All of them, in order."""
        columns = ((part.headers, part.onward, part.key_slots) for part in parts)
        return cls(*(np.concatenate(column) for column in zip(*columns, strict=True)))


class PacketMaker:
    """Builds packets by the descriptor of a node, which it reads again where a slot is not listed. Several threads may ask."""

    def __init__(self, neighbours: Neighbours, descriptor: tuple[Path, int, bytes], cores: Sequence[int], seed: int) -> None:
        """`descriptor`: its file, the node's number and identity; `cores` build at once."""
        self._neighbours, self._source, self._lock = neighbours, descriptor, Lock()
        self._generator = np.random.default_rng(seed)
        self._descriptor = self._read()
        self._threads = ThreadPoolExecutor(len(cores), initializer=step_back, initargs=(set(cores),))

    def close(self) -> None:
        """Ends its threads."""
        self._threads.shutdown(cancel_futures=True)

    def _read(self) -> Descriptor:
        path, number, identity = self._source
        return read_descriptor(path, number, identity, time.time_ns())

    def slots_at(self, unix_ns: int, n: int) -> Slots:
        """n slots as clients choose them at that time: of the clock less U(0, late / 2)."""
        times = self._descriptor.times
        with self._lock:
            back_ns = self._generator.integers(0, max(times.late_ns // 2, 1), n)
        return (unix_ns - back_ns) // times.slot_ns

    def headers(self, slots: Slots) -> Packets:
        """A packet for each of these slots. `NetworkFailure` where the node's descriptor does not list one."""
        parts = [slots[at : at + CHUNK] for at in range(0, len(slots), CHUNK)]
        built = list(self._threads.map(lambda part: self._chunk(part), parts))
        headers, onward = (np.concatenate(columns) for columns in zip(*built, strict=True))
        return Packets(headers, onward, (slots & 0xFF).astype(np.uint8))

    def _chunk(self, slots: Slots) -> tuple[Bytes, Bytes]:
        distinct, which = np.unique(slots, return_inverse=True)
        publics = np.array([list(self.public(int(slot))) for slot in distinct], np.uint8)
        return build_headers(publics[which], self._neighbours.next_publics, self._neighbours.next_indices)

    def public(self, slot: int) -> bytes:
        """The node's key of a slot."""
        found = self._descriptor.public(slot)
        if found is None:
            with self._lock:
                self._descriptor = self._read()
            found = self._descriptor.public(slot)
        if found is None:
            raise NetworkFailure(f"{self._source[0]}: lists no key of slot {slot}: the node has not published in time")
        return found

    def frames(self, packets: Packets, upstream: Upstream) -> Bytes:
        """Packets sealed for one link, with counters of now; u8[n, F]. The payload is random each time."""
        frames = self._neighbours.room_for(len(packets))
        lay_out(frames, packets.headers, packets.key_slots)
        upstream.seal(frames)
        return frames


def step_back(cores: set[int]) -> None:
    """This thread on all cores, behind load and node."""
    os.sched_setaffinity(0, cores)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, get_native_id(), max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
