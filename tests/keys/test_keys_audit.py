"""The audit log: each removed, altered, moved or added line is found, a cut end too, and a crash is no finding."""

import hmac
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import count
from pathlib import Path

import pytest
from secrets_of_tests import locked

from fastmix.errors import KeyStoreError
from fastmix.keys._chain import LockedBytes
from fastmix.keys.audit import AuditLog, Head, examine, head_path, verify

KEY = bytes(range(32))
N, ACTION = 5, "keys.import"


@pytest.fixture
def key() -> Iterator[LockedBytes]:
    with locked(KEY) as secret:
        yield secret


@pytest.fixture
def path(tmp_path: Path, key: LockedBytes) -> Path:
    """A log of N records."""
    found = tmp_path / "identity.audit"
    log = AuditLog(found, key, unix_ns=count(1_700_000_000 * 10**9, 10**9).__next__)
    for i in range(N):
        log.append("ann", ACTION, slot=i, note='\n,"mac":é')
    return found


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def findings(path: Path, key: LockedBytes) -> list[str]:
    return [str(finding) for finding in verify(path, key)]


def test_records_are_plain_json_and_chained(path: Path, key: LockedBytes) -> None:
    before = bytes(32)
    for n, line in enumerate(lines_of(path)):
        record = json.loads(line)
        assert (record["n"], record["actor"], record["action"], record["slot"]) == (n, "ann", ACTION, n)
        assert record["at"] == f"2023-11-14T22:13:{20 + n}.000000+00:00"
        body = line[: line.rindex(b',"mac":')]
        before = hmac.digest(KEY, b"line\0" + before + body, "sha256")
        assert record["mac"] == before.hex()
    assert examine(path, key) == ([], Head(N, before))
    assert [file.stat().st_mode & 0o777 for file in (path, head_path(path))] == [0o600, 0o600]


def test_a_log_goes_on_in_another_process_and_beside_one(path: Path, key: LockedBytes) -> None:
    one, other = AuditLog(path, key), AuditLog(path, key)
    for log in (one, other, one, one, other):
        log.append("ann", "x")
    assert (findings(path, key), len(lines_of(path))) == ([], N + 5)


def test_each_byte_changed(path: Path, key: LockedBytes) -> None:
    whole = path.read_bytes()
    for at in range(0, len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        line = whole.count(b"\n", 0, at) + 1
        found = verify(path, key)
        assert found, f"byte {at}"
        assert line in {near for finding in found for near in (finding.line, finding.line - 1)} | {N} - {0}


def test_each_line_removed_swapped_copied(path: Path, key: LockedBytes) -> None:
    lines = lines_of(path)
    for i in range(N - 1):
        path.write_bytes(b"".join(lines[:i] + lines[i + 1 :]))
        assert findings(path, key) == [f"line {i + 1}: record {i} is missing before it"]
        path.write_bytes(b"".join([*lines[:i], lines[i + 1], lines[i], *lines[i + 2 :]]))
        assert any(found.startswith(f"line {i + 1}: record {i} is missing") for found in findings(path, key))
        path.write_bytes(b"".join([*lines[: i + 1], lines[i], *lines[i + 1 :]]))
        assert findings(path, key)[0] == f"line {i + 2}: record {i} stands after record {i}: it was moved or copied"
    path.write_bytes(b"".join(lines[:1] + lines[4:]))
    assert findings(path, key) == ["line 2: records 1 to 3 are missing before it"]


def test_an_altered_line_is_one_finding(path: Path, key: LockedBytes) -> None:
    path.write_bytes(path.read_bytes().replace(b'"slot":3', b'"slot":9'))
    assert findings(path, key) == ["line 4: was changed, or the record before it: its mac differs"]


def test_cut_at_each_byte(path: Path, key: LockedBytes) -> None:
    whole = path.read_bytes()
    for size in range(len(whole) - 1):
        path.write_bytes(whole[:size])
        assert any("the end was cut off" in found or "is no record" in found for found in findings(path, key))
        with pytest.raises(KeyStoreError, match="nothing is added to it"):
            AuditLog(path, key).append("ann", "x")
        assert path.read_bytes() == whole[:size]


def test_the_head_missing_damaged_old_or_forged(path: Path, key: LockedBytes) -> None:
    head, whole = head_path(path), path.read_bytes()
    text = head.read_bytes()
    for at in range(len(text)):
        head.write_bytes(text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :])
        assert len(findings(path, key)) == 1
        head.write_bytes(text[:at])
        assert findings(path, key) == ["the head is damaged: a cut end cannot be seen"]
    head.unlink()
    assert findings(path, key) == ["the head is missing: a cut end cannot be seen"]
    head.write_bytes(text)
    head.chmod(0o600)
    AuditLog(path, key).append("ann", "x")
    AuditLog(path, key).append("ann", "x")
    head.write_bytes(text)
    assert findings(path, key) == [f"an older head was put back: it names {N} records, the log has {N + 2}"]
    path.write_bytes(whole)
    assert findings(path, key) == []


def test_an_older_log_with_its_own_head_is_seen_by_who_has_noted_a_newer_one(path: Path, key: LockedBytes) -> None:
    older = path.read_bytes(), head_path(path).read_bytes()
    early = examine(path, key)[1]
    noted = AuditLog(path, key).append("ann", "x")
    assert examine(path, key, noted=noted)[0] == examine(path, key, noted=early)[0] == []
    path.write_bytes(older[0])
    head_path(path).write_bytes(older[1])
    assert examine(path, key)[0] == examine(path, key, noted=early)[0] == []
    assert f"the noted head is of {N + 1} records, and the log has only {N}: an older log" in str(
        examine(path, key, noted=noted)[0][0]
    )


def test_another_key_sees_every_line(path: Path) -> None:
    with locked(bytes(31) + b"\1") as other:
        assert len(verify(path, other)) == N + 1
        with pytest.raises(KeyStoreError, match="line 1: was changed"):
            AuditLog(path, other).check()


def test_a_crash_at_each_byte_of_a_record_is_no_finding(path: Path, key: LockedBytes) -> None:
    """The line first, then its head: whatever part of the line is there, the next record follows the last whole one."""
    head_before = head_path(path).read_bytes()
    size = path.stat().st_size
    AuditLog(path, key).append("ann", "crash")
    whole = path.read_bytes()
    for end in range(size, len(whole) + 1):
        path.write_bytes(whole[:end])
        head_path(path).write_bytes(head_before)
        AuditLog(path, key).append("bob", "after")
        assert findings(path, key) == []
        assert len(lines_of(path)) == N + (2 if end == len(whole) else 1)


@pytest.mark.parametrize("n", [0, 1, N])
def test_crashes_in_a_row_between_a_line_and_its_head(tmp_path: Path, key: LockedBytes, n: int) -> None:
    """Each writer ends so: whenever that is, the head is one behind at most."""
    path, heads = tmp_path / "log", []

    def passed() -> int:
        """Called when a record is about to be written."""
        heads.append(head_path(path).read_bytes() if head_path(path).exists() else None)
        return 10**18

    for _ in range(n):
        AuditLog(path, key).append("ann", ACTION)
    for _ in range(3):
        AuditLog(path, key, unix_ns=passed).append("ann", ACTION)
        head_path(path).unlink()
        if heads[-1] is not None:
            head_path(path).write_bytes(heads[-1])
            head_path(path).chmod(0o600)
        assert findings(path, key) == []
    AuditLog(path, key).append("ann", ACTION)
    assert examine(path, key)[1].n == n + 4


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from fastmix.errors import KeyStoreError
from fastmix.keys.audit import AuditLog
from secrets_of_tests import locked
path = Path(sys.argv[1])
log = AuditLog(path, locked(bytes(range(32))))
for room in range(0, 140, 9):
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, -1))
    try:
        log.append("ann", "full")
        sys.exit("written")
    except KeyStoreError as error:
        assert "nothing was recorded: " in str(error), error
resource.setrlimit(resource.RLIMIT_FSIZE, (150, -1))  # none for the first head
try:
    AuditLog(path.with_name("new"), locked(bytes(range(32)))).append("a", "x")
    sys.exit("written")
except KeyStoreError as error:
    assert "nothing was recorded: " in str(error), error
"""


def test_a_full_disk_leaves_the_log_as_it_was(path: Path, key: LockedBytes) -> None:
    before = path.read_bytes(), head_path(path).read_bytes()
    support = str(Path(__file__).parent.parent / "support")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", FULL, str(path), support], env=environment, check=True, timeout=60)
    assert (path.read_bytes(), head_path(path).read_bytes()) == before
    assert sorted(os.listdir(path.parent)) == [path.name, head_path(path).name]
    assert findings(path, key) == []


def test_an_act_is_recorded_before_and_after_it(path: Path, key: LockedBytes) -> None:
    log = AuditLog(path, key)
    with log.recorded("ann", "keys.export", to="usb"):
        assert json.loads(lines_of(path)[-1])["outcome"] == "begun"
    with pytest.raises(ZeroDivisionError), log.recorded("ann", "keys.rotate"):
        raise ZeroDivisionError("boom")
    told = [json.loads(line) for line in lines_of(path)[N:]]
    assert [record["outcome"] for record in told] == ["begun", "done", "begun", "failed"]
    assert (told[1]["to"], told[3]["error"]) == ("usb", "boom")


def test_what_cannot_be_recorded_is_not_done(path: Path, key: LockedBytes) -> None:
    path.write_bytes(path.read_bytes()[:-9])
    done = []
    with pytest.raises(KeyStoreError), AuditLog(path, key).recorded("ann", "x"):
        done.append("x")
    assert not done


@pytest.mark.parametrize("fails", [False, True])
def test_an_outcome_that_cannot_be_recorded_is_warned_of(
    path: Path, key: LockedBytes, fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The act has come to it: it is not to look as if it had not."""
    log, wanted = AuditLog(path, key), pytest.raises(ZeroDivisionError, match="boom") if fails else nullcontext()
    with wanted, log.recorded("ann", "keys.passwd"):
        path.chmod(0o644)
        if fails:
            raise ZeroDivisionError("boom")
    assert f"keys.passwd: is {'failed' if fails else 'done'}, but the audit log says only that it has begun" in caplog.text
    path.chmod(0o600)
    assert json.loads(lines_of(path)[-1])["outcome"] == "begun"


def test_files_that_are_no_log(path: Path, key: LockedBytes, tmp_path: Path) -> None:
    log = AuditLog(path, key)
    path.chmod(0o644)
    with pytest.raises(KeyStoreError, match="the audit log has mode 0644"):
        log.append("ann", "x")
    path.rename(tmp_path / "elsewhere")
    with pytest.raises(KeyStoreError, match=r"there is no audit log: put it back, or move .*head away"):
        log.append("ann", "x")
    path.symlink_to("elsewhere")
    with pytest.raises(KeyStoreError, match="symbolic link"):
        log.append("ann", "x")
    with pytest.raises(KeyStoreError, match="there is no audit log"):
        verify(tmp_path / "none", key)
    with pytest.raises(ValueError, match="name other fields"):
        log.append("ann", "x", mac="mine")


def test_a_log_taken_away_from_one_who_writes_it(path: Path, key: LockedBytes) -> None:
    """It begins anew, and its first record says where the lost one had ended."""
    log = AuditLog(path, key)
    head = log.append("ann", "keys.list")
    path.unlink()
    head_path(path).unlink()
    log.check()
    log.append("bob", "stop")
    begun, stop = (json.loads(line) for line in lines_of(path))
    assert (begun["n"], begun["action"], begun["lost"]) == (0, "audit.begun", str(head))
    assert (stop["n"], stop["actor"]) == (1, "bob")
    assert verify(path, key) == []


def test_a_log_altered_or_put_back_under_one_who_writes_it(path: Path, key: LockedBytes) -> None:
    old, old_head = path.read_bytes(), head_path(path).read_bytes()
    log = AuditLog(path, key)
    log.append("ann", "keys.list")
    newer, newer_head = path.read_bytes(), head_path(path).read_bytes()
    path.write_bytes(newer.replace(b'"keys.list"', b'"keys.rate"'))
    with pytest.raises(KeyStoreError, match="line 6: was changed"):
        log.append("bob", "stop")
    path.write_bytes(old)
    head_path(path).write_bytes(old_head)
    with pytest.raises(KeyStoreError, match="record 5 is not in it any more as it was"):
        log.append("bob", "stop")
    path.write_bytes(newer)
    head_path(path).write_bytes(newer_head)
    assert log.append("bob", "stop").n == 7


def test_a_log_altered_while_a_record_is_written(path: Path, key: LockedBytes, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(path, key)
    log.append("ann", "keys.list")
    sync = os.fsync

    def altered(fd: int) -> None:
        path.write_bytes(path.read_bytes().replace(b'"keys.list"', b'"keys.lists"'))
        sync(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", altered)
        log.append("ann", "keys.list")
    with pytest.raises(KeyStoreError, match="line 6: was changed"):
        log.append("bob", "stop")
