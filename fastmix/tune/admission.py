"""How many packets a key's replay set takes: all that the cores can unwrap while the key lives, if there is room for it.

A full set refuses packets, so its size is what the node admits: a rate over the life of a key. A node passes on 63 to 73 % of the
unwraps that its cores can do, so nobody can fill such a set, even if it was measured while the machine was busy.
"""

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self

from fastmix.config import MixnodeConfig
from fastmix.errors import ResourceExhausted
from fastmix.files.durations import format_duration
from fastmix.network import Network
from fastmix.seam.layout import KEYS_MAX
from fastmix.seam.pair import capacity_in, capacity_of, fixed_id, pair_files, pair_path, pair_size
from fastmix.tune.facts import machine_of
from fastmix.tune.host import Host

ROOM_SHARE = 2
"""Sets whose size nobody has named take this part of the free memory at most, one half: the rest is for all else."""
LEAST = 1024


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that are free on the file system of a state directory, those that are free in memory, and what replay sets there take
    already."""

    on_disk: int
    in_memory: int
    taken: int = 0

    @classmethod
    def of(cls, state_dir: Path, host: Host) -> Self:
        """Now; of a directory that there is not yet: where it will be."""
        status = os.statvfs(next(place for place in (state_dir, *state_dir.absolute().parents) if place.exists()))
        taken = sum(path.stat().st_blocks * 512 for path in pair_files(state_dir)) if state_dir.is_dir() else 0
        return cls(status.f_bavail * status.f_frsize, machine_of(host).memory, taken)


@dataclass(frozen=True, slots=True)
class Admission:
    """`sets`: so many may be there at a time, of `capacity` packets each. `wanted`: what the cores could unwrap in the `life_s`
    of a key (0: it has no end). `is_set`: by the configuration. `memory`: bytes that sets may take now."""

    sets: int
    capacity: int
    wanted: int
    life_s: float
    is_set: bool
    memory: int

    @property
    def size(self) -> int:
        """Bytes of all sets that there may be."""
        return self.sets * pair_size(self.capacity)

    @property
    def text(self) -> str:
        """In words: `4 of 424.3 MB, for 66,300,000 packets each: 85,000 a second over a key's life of 13min`."""
        sets = f"{self.sets} of {pair_size(self.capacity) / 1e6:.1f} MB, for {self.capacity:,} packets each"
        if not self.life_s:
            return f"{sets}, of a key without an end"
        life = format_duration(timedelta(seconds=self.life_s))
        can = f"; the cores could unwrap {self._rate(self.wanted):,}" if self.capacity < self.wanted else ""
        return f"{sets}: {self._rate(self.capacity):,} a second over a key's life of {life}{can}"

    @property
    def problem(self) -> tuple[str, str] | None:
        """Where there is too little memory for the sets, or for what the cores can do: that, and the remedy."""
        free = f"{self.memory >> 20} MB of memory are free for replay sets"
        if self.size > self.memory:
            return f"{free}, which may come to {self.size >> 20} MB", "lower replay_capacity, or give the node more memory"
        if self.is_set or self.capacity >= self.wanted:
            return None
        rate = f"{self._rate(self.capacity):,} packets a second over a key's life, of {self._rate(self.wanted):,} that the cores"
        remedy = "give the node and its state_dir more memory, make slots shorter, or set replay_capacity to what it is to admit"
        return f"{free}: they take {rate} could unwrap, and more are refused", remedy

    def _rate(self, capacity: int) -> int:
        return round(capacity / self.life_s)


def admit(config: MixnodeConfig, network: Network, unwraps_per_s: int, room: Room) -> Admission:
    """The replay sets of a node on cores that do so many unwraps each. `ResourceExhausted` where those that the configuration
    wants find no room."""
    said, sets = config.replay_capacity, sets_of(network)
    on_disk = room.on_disk + room.taken
    memory = min(on_disk, room.in_memory + room.taken) if network.rotates else on_disk
    if config.keys is None:
        public = network.node(config.number).sphinx_public
        capacity = said or capacity_of(pair_path(config.state_dir, fixed_id(public))) or config.replay_tags
        found = Admission(sets, capacity, capacity, 0.0, said is not None, memory)
    else:
        life_s = config.keys.policy.life_ns / 1e9
        wanted = int(unwraps_per_s * config.workers * life_s)
        most = capacity_in(memory // ROOM_SHARE // sets)
        found = Admission(sets, said or max(min(wanted, most), LEAST), wanted, life_s, said is not None, memory)
    if found.size > on_disk:
        raise ResourceExhausted(
            f"{config.state_dir}: no room for replay sets of {found.capacity} packets, which need {found.size >> 20} MB "
            f"(up to {sets} at a time) of the {on_disk >> 20} MB that are free: free some, or lower replay_capacity"
        )
    return found


def sets_of(network: Network) -> int:
    """Replay sets that there may be at a time: of a key without an end, or of the live slots and the one that is made ahead."""
    return KEYS_MAX + 1 if network.rotates else 1
