"""Files that hold secrets: a regular file of this user, mode 0600, no symbolic link. All refusals are `KeyStoreError`."""

import os
import stat
from pathlib import Path

from fastmix.errors import KeyStoreError


def open_private(path: Path, what: str, remedy: str) -> int:
    """A descriptor for reading; `what` names the file's kind and `remedy` what to do where there is none."""
    try:
        if path.is_symlink():
            raise KeyStoreError(f"{path}: the {what} is a symbolic link, which could lead anywhere: put the file itself there")
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeyStoreError(f"{path}: there is no {what}: {remedy}") from None
    except OSError as error:
        remedy = f"run as its owner, which user {os.geteuid()} is not" if isinstance(error, PermissionError) else "check the path"
        raise KeyStoreError(f"{path}: cannot read the {what}: {error.strerror}; {remedy}") from None
    problem = _problem(os.fstat(fd), path, what)
    if problem:
        os.close(fd)
        raise KeyStoreError(f"{path}: {problem}")
    return fd


def _problem(status: os.stat_result, path: Path, what: str) -> str | None:
    """What is wrong with a file that was opened, and what to do about it."""
    mode, user = stat.S_IMODE(status.st_mode), os.geteuid()
    if not stat.S_ISREG(status.st_mode):
        return f"the {what} is not a regular file: name the file itself"
    if status.st_uid != user:
        return f"the {what} belongs to user {status.st_uid}, but this is user {user}: run as its owner, or chown {user} {path}"
    if mode & 0o177:
        return f"the {what} has mode {mode:04o}, so others may have read or changed it: chmod 600 {path}"
    return None


def read_private(path: Path, what: str, remedy: str, most: int) -> bytes:
    """The bytes of such a file, which may hold no more than `most`."""
    with os.fdopen(open_private(path, what, remedy), "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise KeyStoreError(f"{path}: has more than {most} bytes, so it is no {what}: check the path")
    return data
