"""What a machine is, as far as a node cares: CPUs it may use, memory, clock."""

import os
import re
from dataclasses import dataclass
from math import inf

from fastmix.tune.host import Host

GROUPS = "sys/fs/cgroup"


@dataclass(frozen=True, slots=True)
class Machine:
    """`cores`: CPUs that this process may run on; `quota`: how many of them its cgroup pays for (inf: all); `memory`: bytes
    that are free, or that its cgroup leaves it, whichever is less.
    """

    cores: int
    quota: float
    memory: int

    @property
    def usable_cores(self) -> int:
        """Whole cores that can be kept busy; at least 1."""
        return max(1, int(min(self.cores, self.quota)))


def machine_of(host: Host) -> Machine:
    """Looked at now."""
    groups = _own_groups(host)
    quota = min((_quota(host, group) for group in groups), default=inf)
    memory = min(_free_memory(host), *(_room(host, group) for group in groups), 1 << 62)
    return Machine(len(os.sched_getaffinity(0)), quota, int(memory))


def _own_groups(host: Host) -> list[str]:
    """The cgroup (version 2) of this process and those above it."""
    try:
        own = next(line[3:] for line in host.read("proc/self/cgroup").splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return []
    parts = [part for part in own.split("/") if part not in ("", "..")]
    return ["/".join([GROUPS, *parts[:n]]) for n in range(len(parts) + 1)]


def _quota(host: Host, group: str) -> float:
    try:
        most, period = host.read(f"{group}/cpu.max").split()
        return int(most) / int(period)
    except (OSError, ValueError):
        return inf


def _room(host: Host, group: str) -> float:
    try:
        return max(int(host.read(f"{group}/memory.max")) - int(host.read(f"{group}/memory.current")), 0)
    except (OSError, ValueError):
        return inf


def _free_memory(host: Host) -> float:
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", host.read("proc/meminfo"), re.MULTILINE)
    except OSError:
        return inf
    return 1024 * int(found[1]) if found else inf
