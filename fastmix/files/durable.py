"""Files that are whole or not there, also after a power cut.

Each is written as a neighbour, `.NAME.PID.new`, which its writer has locked until it has its name. What a killed writer has left
has no lock: the next one takes it away.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path


def write_durably(path: Path, data: bytes, mode: int = 0o600, *, replace: bool = True) -> None:
    """Replaces `path` by `data` in one step: a neighbour is written, synced and renamed, then the directory synced.

    `OSError` leaves the old file as it was. Without `replace` an old file is never overwritten: `FileExistsError`.
    """
    sweep(path)
    neighbour = neighbour_of(path)
    try:
        with os.fdopen(open_neighbour(path, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if not replace:
                os.link(neighbour, path)
                neighbour.unlink(missing_ok=True)
            else:
                os.replace(neighbour, path)
    except BaseException:
        neighbour.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def neighbour_of(path: Path) -> Path:
    """What this process writes before it gets the name."""
    return path.with_name(f".{path.name}.{os.getpid()}.new")


def open_neighbour(path: Path, mode: int = 0o600) -> int:
    """A new neighbour for reading and writing, locked where the file system has locks."""
    neighbour = neighbour_of(path)
    while True:
        neighbour.unlink(missing_ok=True)
        fd = os.open(neighbour, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        if _is_at(fd, neighbour):
            return fd
        os.close(fd)  # taken for a dead one's before it had its lock


def sweep(path: Path) -> None:
    """Takes away the neighbours of writers that were killed; those that cannot be, now or ever, stay."""
    with suppress(OSError):
        for name in os.listdir(path.parent):
            pid = name.removeprefix(f".{path.name}.").removesuffix(".new")
            if name == f".{path.name}.{pid}.new" and pid.isdecimal():
                with suppress(OSError):
                    _sweep_one(path.with_name(name), path)


def sync_directory(path: Path) -> None:
    """Makes names that were created in or renamed into a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sweep_one(neighbour: Path, path: Path) -> None:
    fd = os.open(neighbour, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not _is_at(fd, path):  # else it is a second name of what was finished
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(fd, neighbour):
            neighbour.unlink()
    finally:
        os.close(fd)


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False
