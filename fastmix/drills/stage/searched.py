"""Looks for secret bytes in the memory of processes, in what of it a core file would have, and in files."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastmix.errors import ConfigError

AREA = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S)(\S)\S(\S) \S+ \S+ (\d+)\s*(.*)")
CHUNK = 4 << 20
UNREADABLE = ("[vvar]", "[vvar_vclock]", "[vsyscall]")


class Masked:
    """Secret bytes, held so that a search of this process's own memory would not find them either."""

    def __init__(self, secret: bytearray) -> None:
        """Wipes what it is given."""
        self._mask = os.urandom(len(secret))
        self._masked = bytes(a ^ b for a, b in zip(secret, self._mask, strict=True))
        wipe(secret)

    @contextmanager
    def bare(self) -> Iterator[bytearray]:
        """The bytes themselves, for a moment."""
        secret = bytearray(len(self._mask))
        try:
            for at, (a, b) in enumerate(zip(self._masked, self._mask, strict=True)):
                secret[at] = a ^ b
            yield secret
        finally:
            wipe(secret)


def wipe(secret: bytearray) -> None:
    """Zeros, in place."""
    secret[:] = bytes(len(secret))


@dataclass
class Found:
    """Where the bytes are: process ids in whose memory, of those in what a core file would have; names of files."""

    memory: list[int] = field(default_factory=list)
    core: list[int] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    searched: int = 0
    """Bytes that were looked at."""


@dataclass(frozen=True, slots=True)
class Area:
    """A mapping of a process that can be read; `dumped`: not kept out of core files by MADV_DONTDUMP."""

    begin: int
    end: int
    dumped: bool


def areas_of(pid: int) -> Iterator[Area]:
    """All that is not a file's own content: anonymous, shared or writable memory. Every kind of memory that a core file may have
    counts as dumped, whatever `coredump_filter` says now. `ConfigError` where this user may not look."""
    try:
        lines = Path(f"/proc/{pid}/smaps").read_text().splitlines()
    except PermissionError:
        raise ConfigError("this drill reads the memory of a node's processes: run it as root") from None
    except (FileNotFoundError, ProcessLookupError):
        return
    held: tuple[int, int] | None = None
    for line in lines:
        if found := AREA.fullmatch(line):
            own = found[4] == "w" or found[5] == "s" or found[6] == "0" or found[7].startswith("/memfd:")
            readable = found[3] == "r" and found[7] not in UNREADABLE
            held = (int(found[1], 16), int(found[2], 16)) if own and readable else None
        elif held and line.startswith("VmFlags:"):
            yield Area(*held, "dd" not in line.split()[1:])


def search(pids: Sequence[int], directory: Path, secret: Masked, found: Found) -> Iterator[None]:
    """Searches all of it, a few megabytes at a time: what else there is to do is done between two of them."""
    for pid in pids:
        yield from _search_process(pid, secret, found)
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            yield from _search_file(path, secret, found)


def _search_process(pid: int, secret: Masked, found: Found) -> Iterator[None]:
    areas = list(areas_of(pid))
    buffer = bytearray(CHUNK)
    try:
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    except PermissionError:
        raise ConfigError("this drill reads the memory of a node's processes: run it as root") from None
    except (FileNotFoundError, ProcessLookupError):
        return
    try:
        for area in areas:
            for has in _chunks(memory, area.begin, area.end, buffer, secret, found):
                if has and pid not in found.memory:
                    found.memory.append(pid)
                if has and area.dumped and pid not in found.core:
                    found.core.append(pid)
                yield
    finally:
        os.close(memory)


def _search_file(path: Path, secret: Masked, found: Found) -> Iterator[None]:
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # removed meanwhile
        return
    try:
        for has in _chunks(file, 0, os.fstat(file).st_size, bytearray(CHUNK), secret, found):
            if has and path.name not in found.files:
                found.files.append(path.name)
            yield
    finally:
        os.close(file)


def _chunks(file: int, begin: int, end: int, buffer: bytearray, secret: Masked, found: Found) -> Iterator[bool]:
    """Whether each piece has the bytes; pieces overlap, so that none is missed between two."""
    at = begin
    while at < end:
        view = memoryview(buffer)[: min(CHUNK, end - at)]
        try:
            n = os.preadv(file, [view], at)
        except OSError:  # nothing lies behind these addresses
            n = 0
        with secret.bare() as needle:
            size = len(needle)
            has = buffer.find(needle, 0, n) >= 0
        found.searched += n
        yield has
        if n == 0:
            return
        at += n if at + n >= end else max(n - size + 1, 1)


def core_limits(pids: Sequence[int]) -> list[int]:
    """The processes that could leave a core file: whose limit for it is not zero."""
    found = []
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/limits").read_text()
        except OSError:
            continue
        line = next(line for line in text.splitlines() if line.startswith("Max core file size"))
        if line.split()[4:6] != ["0", "0"]:
            found.append(pid)
    return found
