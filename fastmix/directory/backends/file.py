"""A directory of files: `PLACE/document/KEY`, `PLACE/record/KEY`, `PLACE/bootstrap/KEY`. For networks whose nodes share a disk,
and for files that are brought by hand."""

import asyncio
import logging
import os
import stat
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from fastmix.directory.backends import NUMBER_MAX, SIZE_MAX, TOTAL_MAX, Kind, check, is_key
from fastmix.errors import NetworkFailure
from fastmix.files.durable import write_durably

log = logging.getLogger(__name__)
LOOK_S = 1.0
"""Between two looks for changes."""
Seen = tuple[tuple[str, int, int, int], ...]
"""(name, inode, ns of the last change, size) of each file."""


class FileBackend:
    """A directory, which need not be there yet. Files that are none of its own, too large, or no regular files are left out."""

    def __init__(self, place: Path, look_s: float = LOOK_S) -> None:
        self.place = place
        self._look_s = look_s
        self._closed = asyncio.Event()

    async def publish(self, kind: Kind, key: str, data: bytes) -> None:
        """As `Backend`: durable when it returns. Takes away the oldest documents beyond those that are carried."""
        check(kind, key, data)
        try:
            await asyncio.to_thread(self._write, kind, key, data)
        except OSError as error:
            raise self._failure(error) from None

    async def fetch(self, kind: Kind) -> dict[str, bytes]:
        """As `Backend`."""
        try:
            return await asyncio.to_thread(self._read, kind)
        except OSError as error:
            raise self._failure(error) from None

    async def watch(self) -> AsyncIterator[None]:
        """As `Backend`."""
        seen: dict[Kind, Seen] | None = None
        while not self._closed.is_set():
            before, seen = seen, await asyncio.to_thread(self._look)
            if seen != before:
                yield
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), self._look_s)

    async def close(self) -> None:
        """As `Backend`."""
        self._closed.set()

    def _failure(self, error: OSError) -> NetworkFailure:
        return NetworkFailure(f"directory at {self.place}: {error.strerror}: look whether the path is right and may be used")

    def _write(self, kind: Kind, key: str, data: bytes) -> None:
        folder = self.place / kind
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_durably(folder / key, data, mode=0o644)
        if kind == "document":
            for old in self._names(kind)[: -NUMBER_MAX[kind]]:
                (folder / old).unlink(missing_ok=True)

    def _read(self, kind: Kind) -> dict[str, bytes]:
        found, total = dict[str, bytes](), 0
        for name in self._names(kind)[-NUMBER_MAX[kind] :]:
            data = _read_file(self.place / kind / name, SIZE_MAX[kind])
            total += len(data or b"")
            if total > TOTAL_MAX:
                log.warning(
                    "directory at %s: has more than %d bytes of each kind, and the rest is left out", self.place, TOTAL_MAX
                )
                break
            if data is not None:
                found[name] = data
        return found

    def _names(self, kind: Kind) -> list[str]:
        try:
            return sorted(filter(is_key, os.listdir(self.place / kind)))
        except FileNotFoundError:
            return []

    def _look(self) -> dict[Kind, Seen]:
        """What tells whether something has changed; nothing where the directory cannot be read."""
        seen: dict[Kind, Seen] = {}
        for kind in SIZE_MAX:
            with suppress(OSError):
                entries = [entry for entry in os.scandir(self.place / kind) if is_key(entry.name)]
                seen[kind] = tuple(sorted(filter(None, map(_state, entries))))
        return seen


def _state(entry: "os.DirEntry[str]") -> tuple[str, int, int, int] | None:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    return entry.name, status.st_ino, status.st_mtime_ns, status.st_size


def _read_file(path: Path, size_max: int) -> bytes | None:
    """None for what is no regular file of at most so many bytes, or gone meanwhile."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        log.warning("%s: cannot be read: %s", path, error.strerror)
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            log.warning("%s: is no regular file", path)
            return None
        data = os.read(fd, size_max + 1)
    finally:
        os.close(fd)
    if len(data) > size_max:
        log.warning("%s: has more than %d bytes", path, size_max)
        return None
    return data
