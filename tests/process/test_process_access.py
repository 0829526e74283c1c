"""Other users of the machine ask a running node, over its real socket: what they may, and what is noted of it."""

import ctypes
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from real_node import RealNode, Zygote, until

from fastmix.control.ask import SOCKET_NAME, ask
from fastmix.control.talk import CONNECTIONS_MAX
from fastmix.errors import FastmixError

ACCESS = {"viewers": ["user:daemon"], "operators": ["user:bin"], "key_officers": ["group:sys"], "admins": [61000]}
DAEMON, BIN, OFFICER, ADMIN, STRANGER = (1, ()), (2, ()), (60_000, (3,)), (61_000, ()), (60_001, (4,))
"""(uid, further groups)"""
PR_SET_KEEPCAPS, CAP_DAC_READ_SEARCH, LINUX_CAPABILITY_VERSION_3 = 8, 2, 0x20080522
"""prctl(2), capabilities(7), capset(2)."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where others may pass."""
    path = Path(tempfile.mkdtemp(prefix="fastmix-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def node(zygote: Zygote, folder: Path) -> Iterator[RealNode]:
    made = RealNode(folder, zygote, options={"access": ACCESS})
    try:
        made.start()
        yield made
    finally:
        made.end()


def become(uid: int, groups: tuple[int, ...]) -> None:
    """Makes this process one of that user. Where nobody else may pass `/`, as in some containers, it may pass all directories:
    what it may not write to, such as a socket, it still cannot."""
    passes = os.stat("/").st_mode & 0o001
    libc = ctypes.CDLL(None, use_errno=True)
    if not passes:
        assert libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0
    os.setgroups(groups)
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if not passes:
        kept = 1 << CAP_DAC_READ_SEARCH
        header, sets = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)(kept, kept)
        assert libc.capset(header, sets) == 0


def as_user(who: tuple[int, tuple[int, ...]], what: Callable[[], Any]) -> Any:
    """What a process of that user gets: the value, or the words of the error. Who is not root can be nobody else."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            become(*who)
            try:
                told = what()
            except (FastmixError, OSError) as error:
                told = f"refused: {error}"
            os.write(writing, json.dumps(told).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return json.loads(told)


def asks(node: RealNode, who: tuple[int, tuple[int, ...]], op: str, **more: Any) -> Any:
    return as_user(who, lambda: ask(node.state_dir, op, **more))


def test_each_does_what_its_role_allows(node: RealNode) -> None:
    if os.geteuid() != 0:  # then there is one user only, whose node it is
        assert node.state() == "running"
        return
    for who in (DAEMON, BIN, OFFICER, ADMIN):
        assert asks(node, who, "status")["state"] == "running"
    assert "stop takes the role operator, and daemon (uid 1) has viewer at this node" in asks(node, DAEMON, "stop")
    assert "(operators = ['user:bin']; admins = [61000])" in asks(node, OFFICER, "stop")
    assert "rotate_keys takes the role key-officer, and bin (uid 2) has operator" in asks(node, BIN, "rotate_keys")
    assert "which do not rotate" in asks(node, OFFICER, "rotate_keys")
    for who in (DAEMON, BIN, OFFICER):
        assert "configure_mixing takes the role admin" in asks(node, who, "configure_mixing", blob="")
    assert "configure_mixing" in asks(node, ADMIN, "configure_mixing", blob="no base64!")
    told = asks(node, STRANGER, "status")
    assert "to ask this node anything takes the role viewer, and uid 60001 has no role at this node" in told
    assert asks(node, BIN, "stop") is True
    assert node.ended() == 0
    (head,) = node.folder.rglob("*.audit.head")
    noted = [json.loads(line) for line in head.with_suffix("").read_text().splitlines()]
    found = {(record["actor"], record["action"], record.get("outcome"), record.get("role")) for record in noted}
    assert {
        ("daemon (uid 1)", "stop", "refused", "viewer"),
        ("uid 60000", "stop", "refused", "key-officer"),
        ("uid 60000", "rotate_keys", "begun", "key-officer"),
        ("uid 60000", "rotate_keys", "failed", "key-officer"),
        ("uid 61000", "configure_mixing", "failed", "admin"),
        ("uid 60001", "connect", "refused", "none"),
        ("bin (uid 2)", "stop", "begun", "operator"),
        ("bin (uid 2)", "stop", "done", "operator"),
    } <= found


def test_the_rest_of_the_state_directory_is_the_nodes_own(node: RealNode) -> None:
    """Others reach the socket and nothing else: they can neither list the directory nor open a file of it."""
    modes = {path.name: path.stat().st_mode & 0o777 for path in node.state_dir.iterdir()}
    assert modes.pop(SOCKET_NAME) == 0o666
    assert set(modes.values()) == {0o600}
    assert node.state_dir.stat().st_mode & 0o777 == 0o711


def test_one_user_does_not_take_all_connections(node: RealNode) -> None:
    if os.geteuid() != 0:
        assert node.state() == "running"
        return

    def crowd() -> list[int]:
        held, answered = [], 0
        for _ in range(CONNECTIONS_MAX + 3):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(node.state_dir / SOCKET_NAME))
            held.append(connection)
            with suppress(BrokenPipeError):
                connection.sendall(b'{"op": "status"}\n')
            answered += b'"ok"' in connection.makefile("rb").readline()
        return [answered, len(held)]

    assert as_user(DAEMON, crowd) == [CONNECTIONS_MAX, CONNECTIONS_MAX + 3]
    assert node.state() == "running"
    until(lambda: isinstance(asks(node, DAEMON, "status"), dict))


def test_without_a_table_nobody_else_reaches_the_socket(zygote: Zygote, folder: Path) -> None:
    node = RealNode(folder, zygote)
    try:
        node.start()
        assert (node.state_dir / SOCKET_NAME).stat().st_mode & 0o777 == 0o600
        assert node.state_dir.stat().st_mode & 0o077 == 0
        if os.geteuid() == 0:
            assert "or have [access] of its configuration name you" in asks(node, DAEMON, "status")
    finally:
        node.end()
