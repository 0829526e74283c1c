"""A file that one process holds for its life and replaces whole."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from fastmix.files.durable import neighbour_of, open_neighbour, sweep, sync_directory
from fastmix.files.private import lock, open_private


class HeldFile:
    """Locked until `close`. It is replaced by a neighbour that has the lock already, so that no moment is without one."""

    def __init__(self, path: Path, first: bytes, wait_s: float = 0.0) -> None:
        """Takes the file, which begins as `first` where there is none.

        `BlockingIOError` where another process holds it after `wait_s`, another `OSError` where it cannot be used,
        `ConfigError` where it is not private.
        """
        self.path = path
        self._neighbour = neighbour_of(path)
        sweep(path)
        self._fd = self._take(first, wait_s)

    def read(self) -> bytes:
        """All of it."""
        return os.pread(self._fd, os.fstat(self._fd).st_size, 0)

    def replace(self, data: bytes) -> None:
        """The new content, durable when this returns. `OSError` leaves the old one."""
        fd = self._write_neighbour(data)
        try:
            os.replace(self._neighbour, self.path)
        except OSError:
            os.close(fd)
            self._neighbour.unlink(missing_ok=True)
            raise
        os.close(self._fd)
        self._fd = fd
        sync_directory(self.path.parent)

    def in_place(self) -> bool:
        """False where somebody has removed the file, or put another in its place."""
        try:
            return os.path.samestat(os.fstat(self._fd), self.path.lstat())
        except OSError:
            return False

    def close(self) -> None:
        """Frees it."""
        os.close(self._fd)

    def _take(self, first: bytes, wait_s: float) -> int:
        while True:
            try:
                fd = open_private(self.path)
            except FileNotFoundError:
                self._create(first)
                continue
            if not lock(fd, wait_s):
                os.close(fd)
                raise BlockingIOError(f"{self.path} is in use")
            self._fd = fd
            if self.in_place():  # while this waited, its holder may have replaced it
                return fd
            os.close(fd)

    def _create(self, first: bytes) -> None:
        """Durable and whole before it has its name; a file that another has made meanwhile stays."""
        fd = self._write_neighbour(first)
        try:
            with suppress(FileExistsError):
                os.link(self._neighbour, self.path)
        finally:
            os.close(fd)
            self._neighbour.unlink(missing_ok=True)
        sync_directory(self.path.parent)

    def _write_neighbour(self, data: bytes) -> int:
        fd = open_neighbour(self.path)
        try:
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(fd)
        except OSError:
            os.close(fd)
            self._neighbour.unlink(missing_ok=True)
            raise
        return fd
