"""Where the replay set of a key lives: a file in the state directory that outlives every process.

Road: unwrap check → **here** → unwrap apply. The file holds a header with the random key of its tags, then lines of sixteen
32-bit fingerprints (`ext/include/fm_replay.h`). It belongs to one mix key. A kill -9 of everything keeps it; on a tmpfs a
reboot loses it together with the keys.
"""

import hashlib
import mmap
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastmix.errors import ConfigError, ResourceExhausted

HEADER_SIZE = 4096
MAGIC = b"fastmix replay 1"
LINE = 16
LOAD = 10 / 16
"""Share of the fingerprints that the promised capacity fills. Measured over 200,000 lines: no tag was refused as full up to
10/16, 1e-5 of
them at 11/16, 2e-3 at 13/16."""


class ReplaySet:
    """`lines` u32[m, 16] and the `replay_key` of their tags, for one mix key."""

    def __init__(self, lines: npt.NDArray[np.uint32], replay_key: bytes) -> None:
        self.lines = lines
        self.replay_key = replay_key

    def __repr__(self) -> str:
        return f"ReplaySet({len(self.lines)} lines)"


def line_count(capacity: int) -> int:
    """Lines for so many tags."""
    return max(int(capacity / LOAD / LINE) + 1, 16)


def memory_replay_set(capacity: int, replay_key: bytes) -> ReplaySet:
    """A set without a file, which forked processes share: for networks in memory."""
    shared = mmap.mmap(-1, line_count(capacity) * LINE * 4)
    return ReplaySet(np.frombuffer(shared, np.uint32).reshape(-1, LINE), replay_key)


def open_replay_set(state_dir: Path, public: bytes, capacity: int) -> ReplaySet:
    """The set of the mix key with that public half, made at the first call.

    Raises `ResourceExhausted` where the file system has no room, `ConfigError` where the file is not one of this capacity.
    """
    path = state_dir / f"replay-{hashlib.sha256(public).hexdigest()[:16]}"
    size = HEADER_SIZE + line_count(capacity) * LINE * 4
    if not path.exists():
        _create(path, size, capacity)
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_size != size:
            raise ConfigError(
                f"replay_capacity {capacity} does not fit {path}, which was made for another: give the old value, or, with a new "
                "secret_file, remove the file (with the old secret that would let recorded packets in again)"
            )
        shared = mmap.mmap(fd, size)
    finally:
        os.close(fd)
    if shared[: len(MAGIC)] != MAGIC:
        raise ConfigError(f"{path} is not a replay set: move it away")
    lines = np.frombuffer(shared, np.uint32, offset=HEADER_SIZE).reshape(-1, LINE)
    return ReplaySet(lines, shared[len(MAGIC) : len(MAGIC) + 32])


def _create(path: Path, size: int, capacity: int) -> None:
    """Room first, then the header, then the name: a file of that name is whole."""
    neighbour = path.with_name(f".{path.name}.new")
    fd = os.open(neighbour, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
        os.pwrite(fd, MAGIC + os.urandom(32), 0)
        os.replace(neighbour, path)
    except OSError as error:
        neighbour.unlink(missing_ok=True)
        raise ResourceExhausted(
            f"{path}: no room for the replay set of {capacity} packets, which needs {size} bytes ({error.strerror}): "
            "free some, or lower replay_capacity"
        ) from None
    finally:
        os.close(fd)
