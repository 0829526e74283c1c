"""A real node and its encrypted store: what it refuses, what a killed control needs, what it says when it cannot sign."""

import fcntl
import os
import stat
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from process_memory import places_of
from real_node import ROOT, children, until
from run_rotating import CommandNode

from fastmix.control.ask import ask
from fastmix.descriptor import Descriptor, read_descriptor, write_descriptor
from fastmix.errors import FastmixError
from fastmix.files.temporary import FleetingDirectory
from fastmix.keys.slots import SlotTimes
from fastmix.plan import passphrase_path
from fastmix.process.swap import TMPFS, mount_of


@pytest.fixture
def directory() -> Iterator[Path]:
    with FleetingDirectory("fastmix-test-", 1 << 20) as made:
        yield made


@pytest.fixture
def node(directory: Path) -> Iterator[CommandNode]:
    """Not started yet."""
    made = CommandNode(directory)
    try:
        yield made
    finally:
        made.kill()


def first_slot(node: CommandNode) -> int:
    """Of the descriptor that the node has published; it must be signed."""
    me = node.plan.network.node(0)
    try:
        return read_descriptor(node.descriptor, 0, me.identity, time.time_ns()).first_slot
    except FastmixError:
        return 0


def spoilt(whole: bytes, how: str) -> bytes:
    return {
        "truncated": whole[:100],
        "flipped": whole[:200] + bytes([whole[200] ^ 1]) + whole[201:],
        "newer": whole[:8] + b"\x02" + whole[9:],
        "empty": b"",
    }[how]


@pytest.mark.parametrize(
    ("how", "told"),
    [("truncated", "is truncated"), ("flipped", "is damaged"), ("newer", "has version 2"), ("empty", "is truncated")],
)
def test_a_damaged_store(node: CommandNode, how: str, told: str) -> None:
    before = {path.name for path in node.store.parent.iterdir()}
    node.store.write_bytes(spoilt(node.store.read_bytes(), how))
    said = node.refused()
    assert (said.count("\n"), f"{node.store}: {told}" in said) == (1, True), said
    assert not node.state_dir.exists()
    assert {path.name for path in node.store.parent.iterdir()} == before


def test_a_store_that_is_not_private_or_not_there(node: CommandNode) -> None:
    node.store.chmod(0o644)
    assert f"chmod 600 {node.store}" in node.refused("--check")
    node.store.chmod(0o600)
    os.chown(node.store, 12345, -1)
    assert "belongs to user 12345" in node.refused("--check")
    node.store.unlink()
    assert "there is no key store" in node.refused("--check")


def test_a_place_where_no_descriptor_can_be(node: CommandNode) -> None:
    node.descriptor.parent.write_text("")
    for options in ((), ("--check",)):
        said = node.refused(*options, code=2)
        assert f"{node.descriptor}: the descriptor could not be written: {node.descriptor.parent} is not a directory" in said
    assert not node.state_dir.exists()


def test_slots_of_another_length_than_others_have_published(node: CommandNode) -> None:
    network, hour_ns = node.plan.network, 3600 * 10**9
    other = Descriptor(1, SlotTimes(hour_ns, 0, hour_ns), time.time_ns() // hour_ns, (bytes(32),), time.time_ns() + hour_ns)
    path = network.path.parent / network.node(1).descriptor
    write_descriptor(path, other, node.plan.identities[1])
    said = node.refused("--check", code=2)
    assert "its nodes have slots of different lengths: node 0: slot " in said
    assert "; node 1: slot 1h, early 0ms, late 1h: give all the same [keys]" in said
    path.write_text("rubbish")
    node.checked()


def test_a_chain_that_cannot_be_opened(node: CommandNode) -> None:
    """The check sees it, while the node runs and before a start, and changes nothing; without a chain there is nothing to see."""
    node.checked()
    node.start()
    until(lambda: first_slot(node))
    node.checked()
    assert node.state() == "running"
    node.stop()
    node.checked()
    (chain,) = node.store.parent.glob("mix-keys.chain-0")
    wrapping = chain.with_name(f"{chain.name}.wrap")
    for file, told in ((chain, "is damaged"), (wrapping, "is damaged")):
        good = file.read_bytes()
        file.write_bytes(good[:-1])
        assert all(words in (said := node.refused("--check")) for words in (str(file), told, "begins a new chain")), said
        assert file.read_bytes() == good[:-1]
        file.write_bytes(good)
    wrapping.unlink()
    assert f"{wrapping}: is missing" in node.refused("--check")
    chain.unlink()
    node.checked()
    node.start()
    assert f"there is no chain of mix keys at {chain}, though keys of one are published" in node.log.read_text()


def test_a_wrong_passphrase(node: CommandNode) -> None:
    """The check and the node say the same; nothing is published, nothing half-written."""
    file = passphrase_path(node.store)
    right = file.read_text()
    file.write_text("correct horse")
    assert f"{node.store}: wrong passphrase" in node.refused("--check")
    said = node.refused()
    assert f"{node.store}: wrong passphrase" in said
    assert "control ended with code 78 and is not started again" in said
    assert not node.descriptor.exists()
    assert "correct horse" not in said
    file.write_text(right)
    file.chmod(0o644)
    assert f"chmod 600 {file}" in node.refused()
    file.chmod(0o600)
    node.write_config({"passphrase_file": None}, {})
    assert "there is no terminal to ask on; use identity.passphrase_fd, identity.passphrase_file or" in node.refused()
    node.write_config({}, {})
    node.start()


def test_a_killed_control_asks_nobody(node: CommandNode) -> None:
    """The passphrase came from a pipe, and is gone; the store as well. The next control signs all the same."""
    ours, theirs = os.pipe()
    os.write(theirs, passphrase_path(node.store).read_bytes())
    os.close(theirs)
    node.write_config({"passphrase_file": None, "passphrase_fd": ours}, {})
    node.start(ours)
    os.close(ours)
    until(lambda: first_slot(node))
    passphrase_path(node.store).unlink()
    away = node.store.rename(node.store.with_name("away"))
    node.descriptor.unlink()
    node.kill_control()
    until(lambda: first_slot(node))
    status, said = until(lambda: node.issues().get("identity"))
    assert (status, "there is no key store" in said, "what is published lasts to" in said) == ("degraded", True, True)
    away.rename(node.store)
    until(lambda: not node.issues())


def test_a_descriptor_that_cannot_be_written(node: CommandNode) -> None:
    """The next control goes on without, keys go on changing, and health says so."""
    node.start()
    until(lambda: first_slot(node))
    folder = node.descriptor.parent
    folder.rename(folder.with_name("away"))
    folder.write_text("no directory")
    node.kill_control()
    status, said = until(lambda: node.issues().get("descriptor"))
    assert (status, "what is published is over" in said) == ("unhealthy", True), "it cannot be read either"
    began = max(node.slots(), default=0)
    until(lambda: node.slots() and max(node.slots()) > began + 1)
    folder.unlink()
    folder.with_name("away").rename(folder)
    node.kill_control()
    until(lambda: not node.issues() and first_slot(node))
    assert "Traceback" not in node.log.read_text()


def test_a_chain_that_cannot_be_had(node: CommandNode) -> None:
    """A control that comes back leaves the keys that are in use alone, and says that there will be no more."""
    node.start()
    (chain,) = node.store.parent.glob("mix-keys.chain-0")
    chain.write_bytes(b"no chain")
    node.kill_control()
    status, said = until(lambda: node.issues().get("keys"))
    assert (status, str(chain) in said) == ("unhealthy", True)
    assert node.state() == "running"


def test_the_seed_is_nowhere(node: CommandNode) -> None:
    """Only control has it, in the memory that is meant for it; and files have it only encrypted."""
    node.start()
    until(lambda: first_slot(node))
    seed = bytes(node.plan.identities[0].seed.view)
    assert node.process
    family = [node.process.pid, *children(node.process.pid)]
    assert len(family) == 3
    for pid in family:
        expected = {"/memfd:fastmix-kept (deleted)"} if pid == node.control() else set()
        assert set(places_of(pid, [seed])[seed]) == expected
    for path in node.directory.rglob("*"):
        if stat.S_ISREG(path.lstat().st_mode):
            assert seed not in path.read_bytes(), path


def test_state_on_a_disk(node: CommandNode, tmp_path: Path) -> None:
    """Refused with the remedies; allowed where that is said, with a warning."""
    if mount_of(tmp_path)[0] in TMPFS:
        return  # this machine's temporary files are in memory, too
    text = node.config.read_text().replace('"state"', f'"{tmp_path / "state"}"')
    node.config.write_text(text.replace("allow_swap = true", ""))
    for words in ((), ("--check",)):
        said = node.refused(*words, code=2)
        assert "is on a disk" in said
        assert "tmpfs, such as one in /run or /dev/shm, or set allow_swap = true" in said
    node.config.write_text(text)
    node.state_dir = tmp_path / "state"
    node.start()
    assert "which may keep keys that are over (allow_swap is set)" in node.log.read_text()


@contextmanager
def at_terminal(node: CommandNode) -> Iterator[tuple[int, int]]:
    """The node on a terminal of its own, asking there; the terminal's two ends."""
    node.write_config({"passphrase_file": None}, {})
    keyboard, screen = os.openpty()
    node.process = subprocess.Popen(
        node.command(), stdin=screen, stdout=screen, stderr=screen, cwd=ROOT, env=node.environment, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(screen, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    said = b""
    try:
        while b"passphrase of" not in said:
            said += os.read(keyboard, 4096)
        until(lambda: not echoes(screen))
        yield keyboard, screen
    finally:
        node.kill()
        os.close(keyboard)
        os.close(screen)


def echoes(screen: int) -> bool:
    return bool(termios.tcgetattr(screen)[3] & termios.ECHO)


def test_a_passphrase_typed_once(node: CommandNode) -> None:
    """Control asks on the terminal, and its successor does not."""
    with at_terminal(node) as (keyboard, screen):
        os.write(keyboard, passphrase_path(node.store).read_bytes() + b"\n")
        until(lambda: node.state() == "running", 60)
        assert echoes(screen)
        node.descriptor.unlink()
        node.kill_control()
        until(lambda: first_slot(node))


def test_interrupted_while_it_asks(node: CommandNode) -> None:
    """Ctrl-C ends the node, and the terminal has its echo back."""
    with at_terminal(node) as (keyboard, screen):
        os.write(keyboard, b"\x03")
        assert node.process
        assert node.process.wait(30) in (0, 130)
        assert echoes(screen)
    assert not node.descriptor.exists()


def test_replay_sets_for_what_the_cores_can_do(node: CommandNode) -> None:
    """Without `replay_capacity` they are measured at the start, and the start says so."""
    text = node.config.read_text()
    node.config.write_text(text.replace("replay_capacity = 2000\n", ""))
    node.checked()
    node.start()
    told = until(lambda: ask(node.state_dir, "status"))
    (capacity,) = {each["capacity"] for each in told["replay_sets"]}
    life_s = 2 + 0.5 + 2
    assert capacity == pytest.approx(told["unwraps_per_s"] * life_s, rel=0.01)
    assert f"a second over a key's life of {int(1000 * life_s)}ms" in node.log.read_text()
