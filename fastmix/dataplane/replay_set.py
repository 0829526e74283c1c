"""Where the replay set of a key lives: a file in the state directory that outlives every process.

Road: unwrap check → **here** → unwrap apply. The file holds a header with the random key of its tags and a random id, then
lines of sixteen 32-bit fingerprints (`ext/include/fm_replay.h`). It belongs to one mix key, and must live as long: beside the
secret a marker says, for each key, the id of the set that it has been used with. Without that set the key is not used again.
A kill -9 of everything keeps the set; a power cut may forget the packets of the last half minute, which the kernel had not
written yet.
"""

import hashlib
import mmap
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastmix.errors import ConfigError, CryptoError, ResourceExhausted
from fastmix.files.durable import sync_directory, write_durably
from fastmix.files.private import open_private

HEADER_SIZE = 4096
MAGIC = b"fastmix replay 2"
KEY_SIZE, ID_SIZE = 32, 16
ID_AT = len(MAGIC) + KEY_SIZE
LINE = 16
LOAD = 10 / 16
"""Share of the fingerprints that the promised capacity fills. Measured over 200,000 lines: no tag was refused as full up to
10/16, 1e-5 of them at 11/16, 2e-3 at 13/16."""


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


def marker_of(secret_file: Path) -> Path:
    """The marker beside a secret: a line for each of its keys, the name of the key's replay set and that set's id."""
    return secret_file.with_name(f"{secret_file.name}.replay")


def path_of(state_dir: Path, public: bytes) -> Path:
    """The file of the mix key with that public half."""
    return state_dir / f"replay-{hashlib.sha256(public).hexdigest()[:16]}"


def file_size(capacity: int) -> int:
    """Bytes of a file for so many tags."""
    return HEADER_SIZE + line_count(capacity) * LINE * 4


def misfit(path: Path, capacity: int) -> tuple[str, str] | None:
    """Problem and remedy where that file was made for another capacity; None where it fits, or is not to be seen."""
    try:
        found = path.stat().st_size
    except OSError:
        return None
    if found == file_size(capacity):
        return None
    n_lines = (found - HEADER_SIZE) // (LINE * 4)
    old = max(int((n_lines - 1) * LINE * LOAD), 0)
    return (
        f"replay_capacity {capacity} does not fit {path}, which was made for {old}",
        f"write replay_capacity = {old} into the node's configuration, which lies over any profile, or give the node a new key",
    )


def check_fit(path: Path, capacity: int) -> None:
    """`ConfigError` where that file was made for another capacity."""
    if problem := misfit(path, capacity):
        raise ConfigError(": ".join(problem))


def open_replay_set(state_dir: Path, public: bytes, capacity: int, marker: Path) -> ReplaySet:
    """The set of the mix key with that public half, made when the key is used for the first time.

    Raises `CryptoError` where the key has been used with a set that is not there, `ResourceExhausted` where the file system
    has no room, `ConfigError` where the file is not one of this capacity or not private.
    """
    path, size = path_of(state_dir, public), file_size(capacity)
    known = read_marker(marker)
    try:
        fd = open_private(path)
    except FileNotFoundError:
        if path.name in known:
            raise lost(path, marker) from None
        _create(path, size, capacity)
        fd = open_private(path)
    try:
        if os.pread(fd, len(MAGIC), 0) != MAGIC:
            raise lost(path, marker)
        check_fit(path, capacity)
        shared = mmap.mmap(fd, size)
    finally:
        os.close(fd)
    _mark(path, marker, known, shared[ID_AT : ID_AT + ID_SIZE].hex())
    lines = np.frombuffer(shared, np.uint32, offset=HEADER_SIZE).reshape(-1, LINE)
    return ReplaySet(lines, shared[len(MAGIC) : ID_AT])


def read_marker(marker: Path) -> dict[str, str]:
    """Name of a replay set -> its id. `CryptoError` where the marker is damaged."""
    try:
        fd = open_private(marker, os.O_RDONLY)
    except FileNotFoundError:
        return {}
    with os.fdopen(fd, "rb") as file:
        words = [line.split() for line in file.read().decode("latin-1").splitlines()]
    if not words or any(len(pair) != 2 or len(pair[1]) != 2 * ID_SIZE for pair in words):
        raise CryptoError(f"{marker}: is damaged, so it is unknown which packets this key has had: {REMEDY}")
    return dict(words)


REMEDY = (
    "make a new key with `fastmix keys new` and put its public key into the network file of all nodes, "
    "or restore the state_dir together with this file"
)


def lost(path: Path, marker: Path) -> CryptoError:
    """Packets recorded before would be let in again."""
    return CryptoError(f"{path}: the replay set of a key that is in use ({marker}) is missing or another one: {REMEDY}")


def _mark(path: Path, marker: Path, known: dict[str, str], found: str) -> None:
    """The set is durable already: from now on the key is not used without it."""
    if known.get(path.name) == found:
        return
    if path.name in known:
        raise lost(path, marker)
    text = "".join(f"{name} {id_}\n" for name, id_ in (known | {path.name: found}).items())
    try:
        write_durably(marker, text.encode())
    except OSError as error:
        raise ResourceExhausted(
            f"{marker}: cannot be written ({error.strerror}): put the secret_file into a directory that this user can write"
        ) from None


def _create(path: Path, size: int, capacity: int) -> None:
    """Room first, then the header, then the name: a file of that name is whole and durable."""
    neighbour = path.with_name(f".{path.name}.new")
    neighbour.unlink(missing_ok=True)
    fd = open_private(neighbour, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        os.posix_fallocate(fd, 0, size)
        os.pwrite(fd, MAGIC + os.urandom(KEY_SIZE + ID_SIZE), 0)
        os.fsync(fd)
        os.replace(neighbour, path)
        sync_directory(path.parent)
    except OSError as error:
        neighbour.unlink(missing_ok=True)
        raise ResourceExhausted(
            f"{path}: no room for the replay set of {capacity} packets, which needs {size} bytes ({error.strerror}): "
            "free some, or lower replay_capacity"
        ) from None
    finally:
        os.close(fd)
