"""Files and directories that must be this user's alone: nobody else could have planted or changed them."""

import fcntl
import os
import stat
import time
from pathlib import Path

from fastmix.errors import ConfigError

LOOK_S = 0.01
"""Between two tries for a lock."""


def open_private(path: Path, flags: int = os.O_RDWR) -> int:
    """A descriptor of a regular file of this user's, which no symbolic link leads to; with O_CREAT it gets mode 0600.

    `ConfigError` where it is another's, `OSError` where it cannot be opened.
    """
    if path.is_symlink():
        raise ConfigError(f"{path}: is a symbolic link, which could lead anywhere: remove it, or put the file itself there")
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022:
        return fd
    os.close(fd)
    raise ConfigError(f"{path}: {_foreign(path, status)}")


def _foreign(path: Path, status: os.stat_result) -> str:
    """What keeps a file from being this user's alone, and the remedy."""
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file: look who made it, then remove it"
    if status.st_uid != os.geteuid():
        mine = os.geteuid()
        return f"belongs to user {status.st_uid}, but this is user {mine}: look who made it, then chown {mine} {path}"
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    return f"has mode {mode}, so others can write to it: look what they have written, then chmod 600 {path}"


def check_private_directory(path: Path) -> None:
    """`ConfigError` where a directory is not this user's, or others can write to it."""
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise ConfigError(
            f"{path}: belongs to user {status.st_uid}, but this is user {os.geteuid()}: "
            f"chown {os.geteuid()} {path}, or name another directory"
        )
    if status.st_mode & 0o022:
        raise ConfigError(f"{path}: has mode {stat.S_IMODE(status.st_mode):04o}, so others can write to it: chmod 700 {path}")


def why_unwritable(directory: Path) -> str | None:
    """Why this user could not write files in a directory, which need not be there yet, and a remedy; None where nothing shows."""
    place = next(place for place in (directory, *directory.absolute().parents) if os.path.lexists(place))
    if not place.is_dir():
        return f"{place} is not a directory: move it away"
    if not os.access(place, os.W_OK | os.X_OK, effective_ids=True):
        return f"user {os.geteuid()} cannot write in {place}: chown or chmod it"
    return None


def lock(fd: int, wait_s: float = 0.0) -> bool:
    """Takes the file's lock for this process, which keeps it until it ends or closes `fd`; False where another has it."""
    give_up = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                return False
            time.sleep(LOOK_S)
        else:
            return True
