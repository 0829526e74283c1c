"""The audit log of a store that is being made: begun before there is a store, under the key of the identity that it will hold.

A kill between leaves a log without a store, or its first head alone. That of an import goes on with the next import of the same
identity. That of an `init` is under a key that is gone with its seed: no later identity can go on with it, nor check it. So a log
that says of nothing but makings of a store that is not there is set aside, under a name that the new log's first record tells;
any other log of another identity is refused as ever. An attempt that fails in order takes its own log away: nothing was made.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fastmix.errors import KeyStoreError
from fastmix.files.durable import sync_directory
from fastmix.keys._chain import LockedBytes
from fastmix.keys.audit import HEAD, HEAD_MAX, LINE, MAKINGS, AuditLog, head_path, log_path
from fastmix.keys.privatefile import read_private
from fastmix.keys.store import check_absent

log = logging.getLogger(__name__)
UNDONE = ("begun", "failed")
UNFINISHED_MAX = 1 << 16
"""Bytes of a log that is set aside; a longer one is looked at by people."""


@contextmanager
def recorded_making(store: Path, key: LockedBytes, actor: str, action: str, **fields: object) -> Iterator[None]:
    """Around making a store that is not there yet. `key`: the identity's storage key "audit". `KeyStoreError` where store or
    log are in the way."""
    path = log_path(store)
    with _alone(store):
        check_absent(store)
        audit, is_new = AuditLog(path, key), not path.exists()
        if aside := _set_aside(path, audit):
            fields["unfinished_before"], is_new = aside.name, True
        try:
            with audit.recorded(actor, action, **fields):
                yield
        except BaseException:
            if is_new and not store.exists():
                _take_away(path)
            raise


@contextmanager
def _alone(store: Path) -> Iterator[None]:
    """One at a time makes stores in a directory: another's log that has begun is not an unfinished one."""
    try:
        fd = os.open(store.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # the first record says what is wrong with it
        yield
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("%s: another command makes a store in this directory: waiting until it has ended", store)
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError:  # file systems of other machines may have no locks for directories
            pass
        yield
    finally:
        os.close(fd)


def _set_aside(path: Path, audit: AuditLog) -> Path | None:
    """Where an unfinished log of another identity is now; None where there is none, or one that `audit` goes on with. Its head
    goes first: a kill between the two leaves what is found again."""
    try:
        audit.check()
        return None
    except KeyStoreError:
        if not _is_unfinished(path):
            raise
    aside = next(name for n in range(1, 1 << 16) if not _is_there(name := path.with_name(f"{path.name}.unfinished-{n}")))
    try:
        with suppress(FileNotFoundError):
            head_path(path).rename(head_path(aside))
        with suppress(FileNotFoundError):
            path.rename(aside)
        sync_directory(path.parent)
    except OSError as error:
        raise KeyStoreError(f"{path}: cannot be set aside: {error.strerror}; move it and its head away") from None
    log.warning("%s: a store was to be made there and never was; its log is kept as %s", path, aside.name)
    return aside


def _is_there(path: Path) -> bool:
    return any(one.is_symlink() or one.exists() for one in (path, head_path(path)))


def _is_unfinished(path: Path) -> bool:
    """Whether a log says of nothing but makings that came to nothing, or of nothing at all beside the head of an empty one."""
    try:
        if not path.is_symlink() and not path.exists():
            head = HEAD.fullmatch(read_private(head_path(path), "head of the audit log", "", HEAD_MAX))
            return head is not None and not int(head[1])
        data = read_private(path, "audit log", "", UNFINISHED_MAX)
    except KeyStoreError:
        return False
    for line in data[: data.rfind(b"\n") + 1].splitlines():  # a crash may have cut off the last
        if not LINE.fullmatch(line):
            return False
        try:
            record = json.loads(line)
        except ValueError:
            return False
        if record.get("action") not in MAKINGS or record.get("outcome") not in UNDONE:
            return False
    return True


def _take_away(path: Path) -> None:
    """Head first, as `_set_aside`."""
    for one in (head_path(path), path):
        with suppress(OSError):
            one.unlink()
