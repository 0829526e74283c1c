"""The audit log: what was done to keys and by whom, in a file that tells when a line was changed, removed or added.

One JSON object a line; `n` counts from 0, and `mac` is HMAC-SHA256 under the storage key "audit" over the mac before and the
line without its own. The *head* beside it, `PATH.head`, says under the same key how many lines there are, so that a cut end is
seen; it is there before the log is, so that no crash leaves a log without one. Both are on disk before `append` returns.

Record 0 is the making of the store, or says `audit.begun`: of a log that took the place of one that is gone, and of a fixed
network's node. Who puts back an older log together with its older head is seen only by those who have noted a newer head:
`examine(noted=)`.
"""

import fcntl
import hmac
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fastmix.errors import KeyStoreError
from fastmix.files.durable import sync_directory, write_durably
from fastmix.keys._chain import LockedBytes
from fastmix.keys.privatefile import open_private, read_private

log = logging.getLogger(__name__)
START = bytes(32)
"""The mac before the first line."""
LINE = re.compile(rb'(\{"n":(\d{1,18}),.*),"mac":"([0-9a-f]{64})"\}')
HEAD = re.compile(rb'\{"n":(\d{1,18}),"mac":"([0-9a-f]{64})","seal":"([0-9a-f]{64})"\}\n')
HEAD_MAX = 256
"""Bytes of a head's file."""
FIELDS = ("n", "at", "actor", "action", "mac")
"""Names that a record has by itself."""
MAKINGS, BEGUN = ("keys.init", "keys.import"), "audit.begun"
"""What record 0 may say."""
_BEGINNING = threading.Lock()
"""One thread at a time begins a log; other processes may, too."""


@dataclass(frozen=True)
class Head:
    """Where a log ends: how many records it has, and the last one's mac (32 bytes)."""

    n: int
    mac: bytes

    def __str__(self) -> str:
        return f"{self.n}:{self.mac.hex()}"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a log; `line` counts from 1, 0 is the log as a whole."""

    line: int
    problem: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.problem}" if self.line else self.problem


class AuditLog:
    """Appends to a log, also beside other processes. `KeyStoreError` where the log is not whole, and then nothing is added."""

    def __init__(self, path: Path, key: LockedBytes, *, unix_ns: Callable[[], int] = time.time_ns) -> None:
        """`key` is the identity's storage key "audit"; it stays the caller's. The file is made at the first record."""
        self.path = path
        self._key, self._unix_ns = key, unix_ns
        self._end, self._head = 0, Head(0, START)
        self._seen: tuple[int, int, int] | None = None
        self._lost: Head | None = None

    def append(self, actor: str, action: str, **fields: object) -> Head:
        """Writes one record and syncs it; the fields are of JSON's kinds. Returns the new end of the log."""
        if any(name in FIELDS for name in fields):
            raise ValueError(f"a record has {', '.join(FIELDS)} by itself: name other fields")
        fd = self._open()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            self._follow(fd)
            if not self._head.n and (self._lost or action not in MAKINGS):
                self._record(fd, {"actor": "fastmix", "action": BEGUN, **({"lost": str(self._lost)} if self._lost else {})})
                self._lost = None
                self._follow(fd)
            self._record(fd, {"actor": actor, "action": action, **fields})
        finally:
            os.close(fd)
        return self._head

    def check(self) -> None:
        """`KeyStoreError` where the log, if there is one, is not whole, another identity's, or cannot be written."""
        if self.path.is_symlink() or self.path.exists() or head_path(self.path).exists():
            fd = self._open()
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                self._follow(fd)
            finally:
                os.close(fd)

    @contextmanager
    def recorded(self, actor: str, action: str, **fields: object) -> Iterator[None]:
        """Around an act: `begun` is on disk before it, `done` or `failed` after it. What cannot be recorded is not done; of an
        outcome that cannot be there is a warning."""
        self.append(actor, action, outcome="begun", **fields)
        try:
            yield
        except BaseException as error:
            self._end_act(actor, action, outcome="failed", error=str(error) or type(error).__name__, **fields)
            raise
        self._end_act(actor, action, outcome="done", **fields)

    def _end_act(self, actor: str, action: str, **fields: object) -> None:
        try:
            self.append(actor, action, **fields)
        except KeyStoreError as error:
            log.warning("%s: is %s, but the audit log says only that it has begun: %s", action, fields["outcome"], error)

    def _open(self) -> int:
        """A descriptor for reading and appending."""
        try:
            if not self.path.is_symlink() and not self.path.exists():
                self._begin()
            os.close(open_private(self.path, "audit log", f"put it back, or move {head_path(self.path)} away to begin a new one"))
            return os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise KeyStoreError(
                f"{self.path}: cannot be written, nothing was recorded: {error.strerror}; make room, or check the directory"
            ) from None

    def _begin(self) -> None:
        """The head of an empty log, then the log: a crash between the two leaves what is gone on with here. Beside a head that
        names records nothing is made."""
        head = _head_line(Head(0, START), self._key)
        with _BEGINNING:
            if _read_head(self.path) is None:
                with suppress(FileExistsError):  # another process begins it
                    write_durably(head_path(self.path), head, replace=False)
            if _read_head(self.path) == head:
                with suppress(FileExistsError):
                    os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
                sync_directory(self.path.parent)

    def _record(self, fd: int, what: dict[str, object]) -> None:
        at = datetime.fromtimestamp(self._unix_ns() / 1e9, UTC).isoformat(timespec="microseconds")
        body = json.dumps({"n": self._head.n, "at": at, **what}, separators=(",", ":")).encode()[:-1]
        mac = _mac(self._key, b"line", self._head.mac + body)
        self._write(fd, body + b',"mac":"' + mac.hex().encode() + b'"}\n', Head(self._head.n + 1, mac))

    def _follow(self, fd: int) -> None:
        """Comes to the log's end: what others have added since is checked, what a crash left unfinished is taken off. Where the
        log that was there is gone, the new one's first record will say where that had ended."""
        if self._seen == _identity(fd):
            return
        size = os.fstat(fd).st_size
        data = _whole(os.pread(fd, size, 0))
        findings, head = _findings(data, _read_head(self.path), self._key)
        before = self._head if self._head.n else None
        if before and data and before not in _heads(data):
            findings.append(
                Finding(0, f"record {before.n - 1} is not in it any more as it was: another log was put in its place")
            )
        if findings:
            raise KeyStoreError(
                f"{self.path}: {findings[0]}: nothing is added to it; "
                "see `fastmix keys audit`, then move the log and its head away together"
            )
        if len(data) != size:
            os.ftruncate(fd, len(data))
        if data:
            self._mend_head(head)
        if before and not data:
            self._lost = before
        self._end, self._head, self._seen = len(data), head, _identity(fd)

    def _mend_head(self, head: Head) -> None:
        """A crash between a line and its head has left that one behind, or a disk that failed has not synced its name: before
        another line, so that it is never two behind."""
        line = _head_line(head, self._key)
        try:
            if _read_head(self.path) != line:
                write_durably(head_path(self.path), line)
            else:
                sync_directory(self.path.parent)
        except OSError as error:
            raise KeyStoreError(f"{self.path}: cannot be written, nothing was recorded: {error.strerror}; make room") from None

    def _write(self, fd: int, line: bytes, head: Head) -> None:
        """Line, then head. After an error the log ends where it ended, unless the new head is there: then the line counts."""
        sealed = _head_line(head, self._key)
        try:
            if os.write(fd, line) != len(line):
                raise OSError(0, "No space left on device")
            os.fsync(fd)
            write_durably(head_path(self.path), sealed)
        except OSError as error:
            self._seen = None
            if not self._names(sealed, error):
                self._cut(fd)
                problem = f"cannot be written, nothing was recorded: {error.strerror}; make room"
                raise KeyStoreError(f"{self.path}: {problem}") from None
            log.warning("%s: recorded, but the name of its head may not be on disk yet: %s", self.path, error.strerror)
        else:
            inode, _, written_ns = _identity(fd)
            self._seen = inode, self._end + len(line), written_ns  # the size that it should have: another's line between is seen
        self._end, self._head = self._end + len(line), head

    def _names(self, sealed: bytes, after: OSError) -> bool:
        """Whether this is the head that is there. Where nobody can read it the line stays: it may name that."""
        try:
            return _read_head(self.path) == sealed
        except (OSError, KeyStoreError):
            problem = f"cannot be written, and its head cannot be read: {after.strerror}"
            raise KeyStoreError(f"{self.path}: {problem}; the last record may count or not: check the disk") from None

    def _cut(self, fd: int) -> None:
        """Takes off what was not recorded. Where that fails, too, the next record does it, or goes on behind a whole line."""
        with suppress(OSError):
            os.ftruncate(fd, self._end)


def _identity(fd: int) -> tuple[int, int, int]:
    """By which a file is known to be as it was left: its inode, its size, when it was written."""
    status = os.fstat(fd)
    return status.st_ino, status.st_size, status.st_mtime_ns


def log_path(keys: Path) -> Path:
    """Where the audit log of a store, or of another file of keys, is."""
    return keys.with_name(keys.name + ".audit")


def head_path(path: Path) -> Path:
    """The file of a log's head."""
    return path.with_name(path.name + ".head")


def verify(path: Path, key: LockedBytes) -> list[Finding]:
    """What is wrong with the lines and the head of a log, whatever it begins with; none where it is whole."""
    return _examined(path, key)[1]


def examine(path: Path, key: LockedBytes, *, noted: Head | None = None) -> tuple[list[Finding], Head]:
    """All that is wrong with the log of a store, and where it ends; `noted` is a head that it had once: who knows one knows how
    the log begins. `KeyStoreError` where it is none."""
    data, findings, head = _examined(path, key)
    if noted is None or not noted.n:
        is_known = any(finding.line == 1 for finding in findings)
        return findings if is_known else findings + _beginning_findings(data), head
    if noted not in _heads(data):
        had = f"the noted head is of {noted.n} records"
        lacks = f"the log has only {head.n}" if noted.n > head.n else "they are not in it as they were"
        problem = f"{had}, and {lacks}: an older log was put back, or another"
        findings.append(Finding(0, problem))
    return findings, head


def _examined(path: Path, key: LockedBytes) -> tuple[bytes, list[Finding], Head]:
    """The bytes of a log, what is wrong with them, and where they end."""
    with os.fdopen(open_private(path, "audit log", "check the path; one that is gone was moved away or removed"), "rb") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_SH)
        data = file.read()
        told = _read_head(path)
    return data, *_findings(data, told, key)


def _beginning_findings(data: bytes) -> list[Finding]:
    """Whether record 0, in which nothing was changed, is the making of a store."""
    record = json.loads(data.partition(b"\n")[0]) if data else {}
    if record.get("action") in MAKINGS:
        return []
    ended = f", which had ended at {record['lost']}" if "lost" in record else ""
    problem = f"the log does not begin with the store's making: an earlier one{ended}, was moved away or removed"
    return [Finding(1 if data else 0, f"{problem}; if that was you, note this log's head and give it with --noted")]


def _findings(data: bytes, told: bytes | None, key: LockedBytes) -> tuple[list[Finding], Head]:
    """Walks the chain; each record is checked against the mac that stands before it, so one changed line is one finding."""
    findings: list[Finding] = []
    head = Head(0, START)
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n") if data else (), 1):
        match = LINE.fullmatch(line)
        if match is None:
            findings.append(Finding(number, "is no record: it was changed, or a crash cut it off"))
            head = Head(head.n + 1, head.mac)
            continue
        body, n, mac = match[1], int(match[2]), bytes.fromhex(match[3].decode())
        if n != head.n:
            findings.append(Finding(number, _gap(head.n, n)))
        elif not hmac.compare_digest(mac, _mac(key, b"line", head.mac + body)):
            findings.append(Finding(number, "was changed, or the record before it: its mac differs"))
        head = Head(n + 1, mac)
    return findings + _head_findings(told, head, data, key), head


def _gap(expected: int, n: int) -> str:
    """What a record's number says that is not the next one."""
    if n < expected:
        return f"record {n} stands after record {expected - 1}: it was moved or copied"
    one = n == expected + 1
    return f"record {expected} is missing before it" if one else f"records {expected} to {n - 1} are missing before it"


def _head_findings(told: bytes | None, head: Head, data: bytes, key: LockedBytes) -> list[Finding]:
    """What the head's file says of the log's end. The log may be one record ahead: a crash between the two."""
    if told is None:
        return [Finding(0, "the head is missing: a cut end cannot be seen")]
    match = HEAD.fullmatch(told)
    if match is None:
        return [Finding(0, "the head is damaged: a cut end cannot be seen")]
    named = Head(int(match[1]), bytes.fromhex(match[2].decode()))
    if not hmac.compare_digest(match[3], _seal(named, key)):
        return [Finding(0, "the head was changed, or is another identity's: its seal differs")]
    if named.n > head.n:
        return [Finding(0, f"the end was cut off: the head names {named.n} records, the log has {head.n}")]
    if named.n < head.n - 1:
        return [Finding(0, f"an older head was put back: it names {named.n} records, the log has {head.n}")]
    if named not in _heads(data):
        return [Finding(named.n, "is not the record that the head names")]
    return []


def _heads(data: bytes) -> set[Head]:
    """The head after each record, and that of an empty log."""
    found = (LINE.fullmatch(line) for line in data.split(b"\n"))
    return {Head(0, START), *(Head(int(match[2]) + 1, bytes.fromhex(match[3].decode())) for match in found if match)}


def _whole(data: bytes) -> bytes:
    """Without a last line that has no end: its `append` never returned, so nobody relies on it."""
    return data[: data.rfind(b"\n") + 1]


def _read_head(path: Path) -> bytes | None:
    """The bytes of a log's head; None where there is none."""
    head = head_path(path)
    return read_private(head, "head of the audit log", "", HEAD_MAX) if head.is_symlink() or head.exists() else None


def _mac(key: LockedBytes, kind: bytes, data: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104) of lines or heads, which are told apart by the word in front."""
    return hmac.digest(key.view, kind + b"\0" + data, "sha256")


def _seal(head: Head, key: LockedBytes) -> bytes:
    """The seal of a head, in hex."""
    return _mac(key, b"head", head.n.to_bytes(8, "little") + head.mac).hex().encode()


def _head_line(head: Head, key: LockedBytes) -> bytes:
    """The content of a head's file."""
    return b'{"n":%d,"mac":"%s","seal":"%s"}\n' % (head.n, head.mac.hex().encode(), _seal(head, key))
