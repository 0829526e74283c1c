"""Secret files: exactly 32 raw bytes, readable by their owner only (mode 0600)."""

import os
import stat
from pathlib import Path

from fastmix.errors import ConfigError
from fastmix.files.durable import sync_directory

SECRET_SIZE = 32


def read_secret(path: str | Path) -> bytes:
    """The 32 bytes of a secret file; `ConfigError` where it is missing, of another size, or readable by others."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot read the secret file: {error.strerror}; check the path, or make one with `fastmix keys new {path}`"
        ) from None
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{path}: the secret file is not a regular file")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise ConfigError(f"{path}: the secret file has mode {mode:04o}, so others can use it: chmod 600 {path}")
        data = file.read(SECRET_SIZE + 1)
    if len(data) != SECRET_SIZE:
        raise ConfigError(
            f"{path}: the secret file has {status.st_size} bytes, not {SECRET_SIZE} raw bytes: get it again, or make a new one "
            "with `fastmix keys new` (of a link: the same one for both ends)"
        )
    if not any(data):
        raise ConfigError(f"{path}: the secret file is all zeros: make a new one with `fastmix keys new {path}`")
    return data


def write_secret(path: str | Path, secret: bytes) -> None:
    """Writes a new secret file with mode 0600, whole or not at all; `ConfigError` where one exists already or it cannot be
    written."""
    path = Path(path)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ConfigError(
            f"{path}: exists already, and a secret is never overwritten: name another path, or move it away"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot write the secret file: {error.strerror}; check the directory") from None
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        sync_directory(path.parent)
    except BaseException as error:
        path.unlink(missing_ok=True)  # what is left would be no secret, and block the next try
        if not isinstance(error, OSError):
            raise
        remedy = "make room on that disk, or name a path on another one"
        raise ConfigError(f"{path}: cannot write the secret file: {error.strerror}; {remedy}") from None
