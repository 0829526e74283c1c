"""Files that are whole or not there, also after a power cut."""

import os
from pathlib import Path


def write_durably(path: Path, data: bytes, mode: int = 0o600, *, replace: bool = True) -> None:
    """Replaces `path` by `data` in one step: a neighbour is written, synced and renamed, then the directory synced.

    `OSError` leaves the old file as it was. Without `replace` an old file is never overwritten: `FileExistsError`.
    """
    neighbour = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        neighbour.unlink(missing_ok=True)
        fd = os.open(neighbour, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if not replace:
            os.link(neighbour, path)
            neighbour.unlink()
        else:
            os.replace(neighbour, path)
    except BaseException:
        neighbour.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Makes names that were created in or renamed into a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
