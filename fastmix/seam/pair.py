"""Pair files: a mix key and the replay set of its packets, made together, used together, gone together.

Road: unwrap check → **here** → unwrap apply. One file of the state directory a key: a page of header, a page whose first 32 bytes
are the secret, then lines of sixteen 32-bit fingerprints (`ext/include/fm_replay.h`). Control makes it, whole before it has its
name; the data plane maps it, and X25519 reads the secret there: it is nowhere else. Whoever ends a key wipes the file before its
name goes. In a tmpfs a kill -9 of everything keeps both, and a reboot loses both.
"""

import hashlib
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.errors import CryptoError, ResourceExhausted
from fastmix.files.birth import birth
from fastmix.files.durable import sync_directory
from fastmix.files.private import open_private
from fastmix.seam.layout import FIXED_SLOT
from fastmix.seam.memory import keep_private

MAGIC = b"fastmix pair 1"
HEADER_SIZE = 4096
SECRET_AT, SECRET_SIZE = 4096, 32
LINES_AT = 8192
ID_SIZE = 16
LINE = 16
LOAD = 10 / 16
"""Share of the fingerprints that the promised capacity fills. Measured over 200,000 lines: no tag was refused as full up to
10/16, 1e-5 of them at 11/16, 2e-3 at 13/16."""
ADMITTED_PER_S = 5_000
"""Packets a second, over a key's whole life, where many nodes share a machine."""
PREFIX, UNNAMED = "pair-", ".pair-"
WIPE_SIZE = 8 << 20
"""Bytes of fingerprints that are wiped at a time, in some 2 ms."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

HEADER = np.dtype(
    [
        ("magic", "S16"),
        ("slot", "<u8"),
        ("line_count", "<u8"),
        ("id", "u1", ID_SIZE),
        ("chain_id", "u1", ID_SIZE),
        ("set_id", "u1", ID_SIZE),
        ("boot_id", "u1", ID_SIZE),
        ("inode", "<u8"),
        ("birth_ns", "<u8"),
        ("public", "u1", 32),
        ("replay_key", "u1", 32),
        ("checksum", "u1", 32),
    ]
)
"""`slot`: of time, or FIXED_SLOT. `chain_id`: of the chain that the key is of, zeros of none. `set_id`: of this replay set alone.
`boot_id`: of the boot it was made in. `inode`, `birth_ns`: of the file it was made in, else 0: one that was copied back is
another file, and its set may have forgotten packets. `replay_key`: of the tags. `checksum`: BLAKE2b-256 of what stands before."""


@dataclass(frozen=True, slots=True)
class PairName:
    """Whose pair it is: 16-byte id, slot, chain and X25519 public key."""

    id: bytes
    slot: int
    public: bytes
    chain_id: bytes = bytes(ID_SIZE)


class Pair:
    """A pair, mapped. `secret` u8[32], `replay_key` u8[32] and `lines` u32[m, 16] are the memory itself; `whole` u64[1] is its
    first word, zero before anything else is wiped."""

    def __init__(self, memory: mmap.mmap, path: Path | None = None) -> None:
        self.path = path
        self.header = np.frombuffer(memory, HEADER, 1)
        self.whole = np.frombuffer(memory, np.uint64, 1)
        self.secret = np.frombuffer(memory, np.uint8, SECRET_SIZE, SECRET_AT)
        self.lines = np.frombuffer(memory, np.uint32, offset=LINES_AT).reshape(-1, LINE)
        self._page = np.frombuffer(memory, np.uint8, LINES_AT - SECRET_AT, SECRET_AT)
        self._wiped = 0

    def __repr__(self) -> str:
        return f"Pair(slot {self.slot}, {len(self.lines)} lines)"

    @property
    def id(self) -> bytes:
        """16 bytes, which the snapshot and the file's name have."""
        return bytes(self.header["id"][0])

    @property
    def slot(self) -> int:
        """The number of its slot of time, or FIXED_SLOT."""
        return int(self.header["slot"][0])

    @property
    def public(self) -> bytes:
        """X25519."""
        return bytes(self.header["public"][0])

    @property
    def chain_id(self) -> bytes:
        """Of the chain that its key is of."""
        return bytes(self.header["chain_id"][0])

    @property
    def set_id(self) -> bytes:
        """Of its replay set."""
        return bytes(self.header["set_id"][0])

    @property
    def boot_id(self) -> bytes:
        """Of the boot in which it was made."""
        return bytes(self.header["boot_id"][0])

    @property
    def replay_key(self) -> npt.NDArray[np.uint8]:
        """u8[32], in place."""
        key: npt.NDArray[np.uint8] = self.header["replay_key"][0]
        return key

    def keep_private(self) -> None:
        """Keeps the secret's page out of swap, core dumps and forked children."""
        keep_private(self._page)

    def is_whole(self) -> bool:
        """Header and secret are there and belong to the lines. Whether the secret is that of `public`, control looks at."""
        header = self.header
        return (
            bytes(header["magic"][0]) == MAGIC
            and int(header["line_count"][0]) == len(self.lines)
            and bytes(header["checksum"][0]) == checksum(header)
            and bool(self.secret.any())
        )

    def wipe_key(self) -> None:
        """The secret and the key of the tags, for good: nothing can be unwrapped, and the fingerprints mean nothing."""
        self.whole[:] = 0
        self.secret[:] = 0
        self.header.view(np.uint8)[:] = 0

    def wipe_lines(self, most: int = WIPE_SIZE) -> bool:
        """Some more of the fingerprints; True once none is left, and then the file has no name any more."""
        end = self._wiped + most // (LINE * 4)
        self.lines[self._wiped : end] = 0
        self._wiped = end
        if end < len(self.lines):
            return False
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        return True


def checksum(header: npt.NDArray[Any]) -> bytes:
    """What a header's `checksum` has to be."""
    dtype: Any = HEADER.fields
    public = header.view(np.uint8).reshape(-1)[: dtype["checksum"][1]]
    return hashlib.blake2b(public.data, digest_size=32, person=b"fastmix-pair\0\0\0\0").digest()


def boot_id() -> bytes:
    """16 bytes that the kernel has drawn at this boot."""
    return bytes.fromhex(BOOT_ID.read_text().strip().replace("-", ""))


def line_count(capacity: int) -> int:
    """Lines for so many tags."""
    return max(int(capacity / LOAD / LINE) + 1, 16)


def pair_size(capacity: int) -> int:
    """Bytes of a pair for so many tags."""
    return LINES_AT + line_count(capacity) * LINE * 4


def capacity_in(size: int) -> int:
    """The most tags whose pair takes so many bytes."""
    return max(int(((size - LINES_AT) // (LINE * 4) - 1) * LINE * LOAD), 0)


def capacity_of(path: Path) -> int | None:
    """The tags that a pair was made for; None where there is no such file."""
    try:
        return capacity_in(path.stat().st_size)
    except OSError:
        return None


def fixed_id(public: bytes) -> bytes:
    """The id of the pair of a key without an end, with that public half."""
    return hashlib.sha256(public).digest()[:ID_SIZE]


def pair_path(state_dir: Path, pair_id: bytes) -> Path:
    """The file of the pair of that id."""
    return state_dir / f"{PREFIX}{pair_id.hex()}"


def unnamed_path(state_dir: Path, pair_id: bytes) -> Path:
    """The file of a pair that is being made."""
    return state_dir / f"{UNNAMED}{pair_id.hex()}.new"


def open_pair(path: Path) -> Pair:
    """Maps a pair. `FileNotFoundError` where there is none, `CryptoError` where it is damaged or wiped, `ConfigError` where it is
    not private."""
    fd = open_private(path)
    try:
        size, born = os.fstat(fd).st_size, birth(fd)
        if size <= LINES_AT or (size - LINES_AT) % (LINE * 4):
            raise CryptoError(f"{path}: is no pair of key and replay set, or is cut off")
        pair = Pair(mmap.mmap(fd, size), path)
    finally:
        os.close(fd)
    if not pair.is_whole():
        raise CryptoError(f"{path}: the pair of key and replay set is damaged or wiped")
    if not is_fixed(pair.slot) and tuple(int(pair.header[name][0]) for name in ("inode", "birth_ns")) != born:
        raise CryptoError(f"{path}: is a copy of a pair of key and replay set, which may lack packets: it is not used")
    pair.keep_private()
    return pair


Fill = Callable[[npt.NDArray[np.uint8], Callable[[], None]], object]
"""Writes the 32 bytes of the secret into u8[32], then calls its second argument, after which the whole pair is in its file, still
without a name; and then does what has to be done before the key may be used."""


def known_secret(secret: bytes) -> Fill:
    """Fills in a secret that is there already, and may be used at once."""

    def fill(into: npt.NDArray[np.uint8], complete: Callable[[], None]) -> None:
        into[:] = np.frombuffer(secret, np.uint8)
        complete()

    return fill


def create_pair(state_dir: Path, name: PairName, capacity: int, fill: Fill) -> Pair:
    """Makes a pair: room first, then key and header, then the name. `ResourceExhausted` where there is no room: nothing stays.

    A kill leaves a file that is whole and has no name, or one that is not whole: `unnamed_path`.
    """
    path, size = pair_path(state_dir, name.id), pair_size(capacity)
    neighbour = unnamed_path(state_dir, name.id)
    wipe_file(neighbour)
    with _told(path, capacity, size):
        fd = open_private(neighbour, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            os.posix_fallocate(fd, 0, size)
            pair = Pair(mmap.mmap(fd, size), path)
            pair.keep_private()

            def complete() -> None:
                _write_header(pair, name, os.urandom(ID_SIZE), os.urandom(32), birth(fd))
                os.fsync(fd)

            fill(pair.secret, complete)
            os.replace(neighbour, path)
            sync_directory(state_dir)
        except BaseException:
            wipe_file(neighbour)
            raise
        finally:
            os.close(fd)
    return pair


@contextmanager
def _told(path: Path, capacity: int, size: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResourceExhausted(
            f"{path}: no room for a key and the replay set of {capacity} packets, which need {size} bytes ({error.strerror}): "
            "free some, or lower replay_capacity"
        ) from None


def memory_pair(name: PairName, capacity: int, secret: bytes, replay_key: bytes) -> Pair:
    """A pair without a file, which forked processes share: for networks in memory."""
    pair = Pair(mmap.mmap(-1, pair_size(capacity)))
    pair.secret[:] = np.frombuffer(secret, np.uint8)
    _write_header(pair, name, bytes(ID_SIZE), replay_key)
    return pair


def _write_header(pair: Pair, name: PairName, set_id: bytes, replay_key: bytes, born: tuple[int, int] = (0, 0)) -> None:
    header = pair.header
    header["magic"], header["slot"], header["line_count"] = MAGIC, name.slot, len(pair.lines)
    header["inode"], header["birth_ns"] = born
    for field, value in (
        ("id", name.id), ("chain_id", name.chain_id), ("set_id", set_id), ("boot_id", boot_id()),
        ("public", name.public), ("replay_key", replay_key),
    ):  # fmt: skip
        header[field][0] = np.frombuffer(value, np.uint8)
    header["checksum"][0] = np.frombuffer(checksum(header), np.uint8)


def pair_files(state_dir: Path) -> list[Path]:
    """All files of pairs, those without their name too."""
    return sorted(path for path in state_dir.iterdir() if path.name.startswith((PREFIX, UNNAMED)))


def wipe_file(path: Path) -> None:
    """Overwrites a file of a pair, whatever is in it, and removes it. Does nothing where there is none. The first page first: a
    data plane that uses the pair meanwhile sees that before it can see anything else wiped, and takes no packet."""
    try:
        fd = open_private(path)
    except FileNotFoundError:
        return
    try:
        zeros, size = bytes(1 << 20), os.fstat(fd).st_size
        os.pwrite(fd, zeros[: min(HEADER_SIZE, size)], 0)
        for at in range(HEADER_SIZE, size, len(zeros)):
            os.pwrite(fd, zeros[: size - at], at)
        os.fsync(fd)
        path.unlink(missing_ok=True)
    finally:
        os.close(fd)


def is_fixed(slot: int) -> bool:
    """Whether a key of that slot has no end."""
    return slot == FIXED_SLOT
