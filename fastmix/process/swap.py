"""Whether replay sets and keys, which are files of the state directory, can reach a disk."""

import os
from pathlib import Path

from fastmix.errors import ConfigError

TMPFS = ("tmpfs", "ramfs")


def check_swap(state_dir: Path, allow_swap: bool) -> str | None:
    """Refuses (`ConfigError`) where `state_dir` is memory that could be swapped; with `allow_swap` returns that as a warning."""
    kind, options = mount_of(state_dir)
    if kind not in TMPFS or "noswap" in options or not swap_active() or group_forbids_swap():
        return None
    problem = f"swap is active, so the replay set in {state_dir} could be written to disk"
    if allow_swap:
        return f"{problem} (allow_swap is set)"
    raise ConfigError(
        f"{problem}: switch swap off (swapoff -a), or mount with noswap, or run in a cgroup with memory.swap.max = 0, or set "
        "allow_swap = true; the set of a key without an end may also be on a disk"
    )


def check_memory(state_dir: Path, allow_disk: bool) -> str | None:
    """Refuses (`ConfigError`) where keys that rotate would lie on a disk, which may retain them; with `allow_disk` returns that
    as a warning."""
    kind = mount_of(state_dir)[0]
    if kind in TMPFS:
        return None
    problem = f"state_dir {state_dir} is on a disk ({kind}), which may keep keys that are over"
    if allow_disk:
        return f"{problem} (allow_swap is set)"
    raise ConfigError(f"{problem}: name a directory of a tmpfs, such as one in /run or /dev/shm, or set allow_swap = true")


def swap_active() -> bool:
    """True if the kernel has a swap area."""
    return len(Path("/proc/swaps").read_text().splitlines()) > 1


def group_forbids_swap() -> bool:
    """True if this process's cgroup (version 2), or one above it, allows no swap."""
    own = next((line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")), None)
    if own is None:
        return False
    root = Path("/sys/fs/cgroup")
    place = root / own.lstrip("/")
    for group in (place, *place.parents):
        limit = group / "memory.swap.max"
        if limit.exists() and limit.read_text().strip() == "0":
            return True
        if group == root:
            break
    return False


def mount_of(path: Path) -> tuple[str, list[str]]:
    """(file system type, options) of the mount that holds `path`, or will: the kernel says which, whatever names look like."""
    real = path.resolve()
    fd = os.open(next(place for place in (real, *real.parents) if place.exists()), os.O_PATH | os.O_CLOEXEC)
    try:
        facts = dict(line.split(":", 1) for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines())
    finally:
        os.close(fd)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, filesystem = (part.split() for part in line.split(" - ", 1))
        if mount[0] == facts.get("mnt_id", "").strip():
            return filesystem[0], [*mount[5].split(","), *filesystem[-1].split(",")]
    return "unknown", []
