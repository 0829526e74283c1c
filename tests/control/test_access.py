"""Roles: who the kernel says connected, what its user and groups may do, what refusals say; and the record of it all."""

import asyncio
import fcntl
import grp
import json
import os
import pwd
import resource
import socket
from pathlib import Path

import pytest
from real_node import until

from fastmix.config.access import OVERFLOW_UID, AccessConfig
from fastmix.control.access import Access, Actor, Peer, Role, peer_of
from fastmix.control.ops import OPS
from fastmix.control.records import Records
from fastmix.errors import ConfigError, KeyStoreError
from fastmix.keys._chain import LockedBytes
from fastmix.keys.audit import AuditLog, verify

ALL = AccessConfig(viewers=(1001,), operators=(1002,), key_officers=(1003, "group:daemon"), admins=(1004,))
ACCESS = Access(ALL, own_uid=900)
DAEMON = grp.getgrnam("daemon").gr_gid


def actor(uid: int, *gids: int) -> Actor:
    return ACCESS.actor(Peer(uid, frozenset(gids), 77))


def may(one: Actor) -> set[str]:
    return {name for name, op in OPS.items() if one.may(op.least)}


LOOKS = {"status", "metrics", "health", "settings", "network", "ready", "keys"}
KEYS = {"rotate_keys", "set_key_rotation_policy", "confirm_clock"}


def test_what_each_role_may_do() -> None:
    assert may(actor(2000)) == set()
    assert may(actor(1001)) == LOOKS
    assert may(actor(1002)) == LOOKS | {"stop"}
    assert may(actor(1003)) == may(actor(2000, DAEMON)) == LOOKS | KEYS
    assert may(actor(1002, DAEMON)) == LOOKS | KEYS | {"stop"}
    assert may(actor(1004)) == may(actor(900)) == may(actor(0)) == set(OPS)


def test_a_peer_is_who_connected() -> None:
    """With its own groups, whatever process asks."""
    left, right = socket.socketpair()
    with left, right:
        peer = peer_of(left)
    assert peer.uid == os.geteuid()
    assert peer.pid == os.getpid()
    assert peer.gids == {os.getegid(), *os.getgroups()}
    assert peer.name == f"{pwd.getpwuid(os.geteuid()).pw_name} (uid {os.geteuid()})"
    assert Peer(4_000_000_000, frozenset(), 1).name == "uid 4000000000"


def test_a_refusal_names_role_and_who_has_it() -> None:
    text = ACCESS.refusal(actor(1002), "rotate_keys", Role.KEY_OFFICER)
    assert text.startswith("rotate_keys takes the role key-officer, and uid 1002 has operator at this node")
    assert "key_officers = [1003, 'group:daemon']; admins = [1004]" in text
    assert "operators" not in text
    assert Access(AccessConfig()).refusal(actor(5), "stop", Role.OPERATOR).endswith("ask root or the node's own user")


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ("user:rooot", "names a user whom this machine does not know: did you mean 'root'"),
        ("user:nosuchuserhere", "names a user whom this machine does not know: name one of `getent passwd`"),
        ("group:daemom", "names a group whom this machine does not know: did you mean 'daemon'"),
        ("bob", 'write "user:NAME", "group:NAME", or the number of a user'),
        ("1001", 'write "user:NAME"'),
        (-1, "is no number of a user"),
        (True, "is no user or group"),
        (1.5, "is no user or group"),
        (int(OVERFLOW_UID.read_text()), "stands for all whom this machine does not know"),
    ],
)
def test_names_that_are_refused(who: object, words: str) -> None:
    with pytest.raises(ConfigError, match="viewers") as refused:
        AccessConfig(viewers=("user:root", who))  # type: ignore[arg-type]
    assert words in str(refused.value)


@pytest.fixture
def log(tmp_path: Path):
    with LockedBytes(32) as key:
        yield AuditLog(tmp_path / "audit", key.fill_random()), key


def found(log: AuditLog) -> list[tuple[object, ...]]:
    lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert not lines or lines[0]["action"] == "audit.begun"
    return [(line["actor"], line["action"], line.get("outcome"), line.get("role"), line.get("pid")) for line in lines[1:]]


async def test_what_is_asked_is_recorded_before_and_after(log) -> None:
    records = Records(log[0], "node a")
    async with records.recorded(actor(1002), "stop", needed=True, now=True):
        assert found(log[0]) == [("uid 1002", "stop", "begun", "operator", 77)]
    with pytest.raises(ConfigError):
        async with records.recorded(actor(0), "rotate_keys", needed=True):
            raise ConfigError("no")
    assert [line[2] for line in found(log[0])] == ["begun", "done", "begun", "failed"]
    assert verify(log[0].path, log[1]) == []


async def test_refusals_are_recorded_once_a_minute_each(log) -> None:
    records = Records(log[0], "node a")
    for _ in range(100):
        records.refused(actor(2000), "connect")
        records.refused(actor(1001), "stop")
    await records.settle()
    assert [line[:4] for line in found(log[0])] == [
        ("uid 2000", "connect", "refused", "none"),
        ("uid 1001", "stop", "refused", "viewer"),
    ]
    for uid in range(3000, 4000):
        records.refused(actor(uid), "connect")
    await records.settle()
    assert len(found(log[0])) < 300


async def test_a_log_that_is_not_whole(log) -> None:
    """What needs it is not done; what the node does by itself waits, and is recorded when the log is whole again."""
    audit, key = log
    records = Records(audit, "node a")
    records.note("keys.slot", slot=7)
    await records.settle()
    good = audit.path.read_bytes()
    audit.path.write_bytes(good.replace(b"7", b"8", 1) + b"\n")
    with pytest.raises(KeyStoreError):
        async with records.recorded(actor(0), "rotate_keys", needed=True):
            raise AssertionError("done without a record")
    assert records.problem
    async with records.recorded(actor(0), "stop", needed=False):
        pass
    records.note("keys.slot", slot=9)
    await records.settle()
    audit.path.write_bytes(good)
    await records.settle()
    assert not records.problem
    assert [line[1:3] for line in found(audit)] == [("keys.slot", None), ("stop", "done"), ("keys.slot", None)]
    assert verify(audit.path, key) == []


@pytest.mark.parametrize("fails", [False, True])
async def test_what_was_done_is_not_told_as_failed_by_a_log_that_fails_after_it(
    log, fails: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log goes between an act's begin and its end. Who has asked gets what came of the act; the outcome is written later."""
    audit, key = log
    records, aside = Records(audit, "node a"), tmp_path / "aside"

    async def act() -> str:
        async with records.recorded(actor(0), "rotate_keys", needed=True):
            audit.path.rename(aside)
            if fails:
                raise ConfigError("the act's own error")
        return "burnt"

    outcome = "failed" if fails else "done"
    if fails:
        with pytest.raises(ConfigError, match="the act's own error"):
            await act()
    else:
        assert await act() == "burnt"
    assert "put it back" in records.problem
    assert f"not recorded yet: the end of rotate_keys ({outcome})" in records.problem
    assert f"is {outcome}, which the audit log does not say yet" in caplog.text
    with pytest.raises(KeyStoreError):
        async with records.recorded(actor(0), "rotate_keys", needed=True):
            raise AssertionError("done without a record")
    aside.rename(audit.path)
    assert [line[2] for line in found(audit)] == ["begun"]
    await records.settle()
    assert not records.problem
    assert [line[1:3] for line in found(audit)] == [("rotate_keys", "begun"), ("rotate_keys", outcome)]
    assert verify(audit.path, key) == []


async def test_an_outcome_on_a_disk_that_is_full(log) -> None:
    """The real limit of this process' files, reached in the middle of an act."""
    audit, key = log
    records, limits = Records(audit, "node a"), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        async with records.recorded(actor(0), "rotate_keys", needed=True):
            resource.setrlimit(resource.RLIMIT_FSIZE, (audit.path.stat().st_size, limits[1]))
        assert "make room" in records.problem
        assert "the end of rotate_keys (done)" in records.problem
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    await records.settle()
    assert [line[2] for line in found(audit)] == ["begun", "done"]
    assert verify(audit.path, key) == []


async def test_a_start_does_not_wait_for_a_log_that_is_locked(log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody looks at it, and has stopped there. The record is written when that is over, and health says so meanwhile."""
    monkeypatch.setattr("fastmix.control.records.NOW_S", 0.05)
    audit, key = log
    audit.append("a", "x")
    records = Records(audit, "node a")
    with audit.path.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        records.note_now("node.start", pid=7)
        assert "look who has locked it" in records.problem
    records.note("keys.slot", slot=1)
    await records.settle()
    await asyncio.to_thread(until, lambda: len(found(audit)) == 3)
    assert sorted(line[1] for line in found(audit)) == ["keys.slot", "node.start", "x"]
    assert not records.problem
    assert verify(audit.path, key) == []


async def test_records_that_the_disk_does_not_take_are_bounded(log, tmp_path: Path) -> None:
    audit, _ = log
    records = Records(audit, "node a")
    audit.path.mkdir()
    for slot in range(1500):
        records.note("keys.slot", slot=slot)
    await records.settle()
    assert records.problem
    audit.path.rmdir()
    await records.settle()
    lines = [json.loads(line) for line in audit.path.read_text().splitlines()][1:]
    assert lines[0]["lost_before"] == 1500 - len(lines)
    assert (lines[0]["slot"], lines[-1]["slot"]) == (1500 - len(lines), 1499)


async def test_writing_does_not_stand_in_the_way(log) -> None:
    """While the disk takes its time, control goes on."""
    audit, _ = log
    records = Records(audit, "node a")
    for slot in range(20):
        records.note("keys.slot", slot=slot)
    records.flush()
    ticks = 0
    while not audit.path.exists() or len(found(audit)) < 20:
        await asyncio.sleep(0)
        ticks += 1
    assert ticks > 20
