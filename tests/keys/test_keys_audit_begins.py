"""The audit log's beginning, which nobody can cut back to unseen, and disks that fail in the middle of a record."""

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from secrets_of_tests import locked

from fastmix.errors import KeyStoreError
from fastmix.keys._chain import LockedBytes
from fastmix.keys.audit import AuditLog, Head, examine, head_path, verify

KEY = bytes(range(32))
N, ACTION = 3, "keys.import"


@pytest.fixture
def key() -> Iterator[LockedBytes]:
    with locked(KEY) as secret:
        yield secret


@pytest.fixture
def path(tmp_path: Path, key: LockedBytes) -> Path:
    """A log of N records."""
    found = tmp_path / "identity.audit"
    log = AuditLog(found, key)
    for _ in range(N):
        log.append("ann", ACTION)
    return found


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def findings(path: Path, key: LockedBytes) -> list[str]:
    return [str(finding) for finding in verify(path, key)]


@pytest.mark.parametrize("has_log", [False, True])
def test_a_crash_before_the_first_record(tmp_path: Path, key: LockedBytes, has_log: bool) -> None:
    """The first head, then the log, then its first line."""
    path = tmp_path / "log"
    seen: list[tuple[bytes, bytes]] = []
    log = AuditLog(path, key, unix_ns=lambda: bool(seen.append((path.read_bytes(), head_path(path).read_bytes()))) or 10**18)
    log.append("ann", ACTION)
    ((data, head),) = seen
    path.unlink()
    head_path(path).write_bytes(head)
    if has_log:
        path.write_bytes(data)
        path.chmod(0o600)
    AuditLog(path, key).check()
    assert (path.read_bytes(), findings(path, key)) == (b"", [])
    AuditLog(path, key).append("ann", ACTION)
    assert examine(path, key)[0] == []


@pytest.mark.parametrize("kept", range(N))
def test_a_log_that_was_cut_and_its_head_deleted(path: Path, key: LockedBytes, kept: int) -> None:
    """Whatever is kept of it: the head was there before the log."""
    path.write_bytes(b"".join(lines_of(path)[:kept]))
    before = path.read_bytes()
    head_path(path).unlink()
    assert "the head is missing: a cut end cannot be seen" in [str(finding) for finding in examine(path, key)[0]]
    with pytest.raises(KeyStoreError, match=r"the head is missing: .* nothing is added to it"):
        AuditLog(path, key).append("ann", "keys.export")
    assert path.read_bytes() == before
    assert not head_path(path).exists()


def test_a_log_and_its_head_deleted(path: Path, key: LockedBytes) -> None:
    """Nobody who writes it knows of them. The new log says that it does not begin with the making, until its head is noted."""
    for one in (path, head_path(path)):
        one.unlink()
    with pytest.raises(KeyStoreError, match=r"there is no audit log: .* one that is gone was moved away or removed"):
        examine(path, key)
    head = AuditLog(path, key).append("ann", "keys.export")
    assert [json.loads(line)["action"] for line in lines_of(path)] == ["audit.begun", "keys.export"]
    (finding,), _ = examine(path, key)
    assert str(finding).startswith("line 1: the log does not begin with the store's making: an earlier one, was moved away")
    assert examine(path, key, noted=Head(0, bytes(32)))[0] == [finding]
    AuditLog(path, key).append("ann", "keys.export")
    assert examine(path, key, noted=head)[0] == []


def test_a_log_emptied_with_the_head_of_an_empty_one(path: Path, key: LockedBytes, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    head_path(path).unlink()
    path.rename(tmp_path / "away")
    AuditLog(path, key, unix_ns=lambda: bool(empty.write_bytes(head_path(path).read_bytes()))).append("ann", ACTION)
    path.write_bytes(b"")
    head_path(path).write_bytes(empty.read_bytes())
    assert str(examine(path, key)[0][0]).startswith("the log does not begin with the store's making")


BEGINS = """
import sys
from pathlib import Path
from threading import Barrier, Thread
sys.path.insert(0, sys.argv[2])
from fastmix.keys.audit import AuditLog
from secrets_of_tests import locked
key, barrier = locked(bytes(range(32))), Barrier(4)
def begin():
    log = AuditLog(Path(sys.argv[1]), key)
    barrier.wait()
    for _ in range(3):
        log.append("ann", "keys.import")
threads = [Thread(target=begin) for _ in range(4)]
print("ready", flush=True)
sys.stdin.readline()
for thread in threads:
    thread.start()
"""


def test_many_who_begin_a_log_at_once(tmp_path: Path, key: LockedBytes) -> None:
    path, support = tmp_path / "log", str(Path(__file__).parent.parent / "support")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command, pipe = [sys.executable, "-c", BEGINS, str(path), support], subprocess.PIPE
    many = [subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(3)]
    assert [one.stdout.readline() for one in many if one.stdout] == ["ready\n"] * 3
    for one in many:
        assert one.communicate("go\n", timeout=60)[1] == ""
    assert (findings(path, key), len(lines_of(path))) == ([], 3 * 4 * 3)


@pytest.mark.parametrize("action", [ACTION, "keys.rotate"])
@pytest.mark.parametrize("is_new", [False, True])
def test_a_disk_that_fails_when_the_name_of_the_head_is_synced(
    path: Path, key: LockedBytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_new: bool, action: str
) -> None:
    """The line is on disk and the new head has its name: the record counts. The next one syncs that name first, or is refused."""
    path = path.with_name("new") if is_new else path
    log, before, sync = AuditLog(path, key), 0 if is_new else N, os.fsync
    log.check()

    def failing(fd: int) -> None:
        sync(fd)
        if stat.S_ISDIR(os.fstat(fd).st_mode) and not head_path(path).read_bytes().startswith(b'{"n":0,'):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        if action == ACTION or not is_new:
            log.append("ann", action)
        with pytest.raises(KeyStoreError, match="Input/output error"):
            log.append("ann", action)
    assert "the name of its head may not be on disk yet" in caplog.text
    assert (findings(path, key), len(lines_of(path))) == ([], before + 1)
    log.append("ann", "keys.rotate")
    AuditLog(path, key).append("ann", "keys.rotate")
    assert (findings(path, key), len(lines_of(path))) == ([], before + 3)


def test_a_disk_that_fails_and_whose_head_cannot_be_read(path: Path, key: LockedBytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows whether it names the line: that stays."""
    log, aside = AuditLog(path, key), path.with_name("aside")
    log.append("ann", "keys.rotate")

    def failing(place: Path, data: bytes) -> None:
        place.rename(aside)
        place.mkdir()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr("fastmix.keys.audit.write_durably", failing)
        with pytest.raises(KeyStoreError, match="may count or not: check the disk"):
            log.append("ann", "keys.rotate")
    head_path(path).rmdir()
    aside.rename(head_path(path))
    log.append("ann", "keys.rotate")
    assert (findings(path, key), len(lines_of(path))) == ([], N + 3)
