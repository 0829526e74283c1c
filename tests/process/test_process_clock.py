"""The wall clock of a running machine is set, ahead and back: `fastmix run` and `fastmix keys` as an operator has them.

Only the C library's answer is moved, for all processes of the node (tests/support/moved_clock.c).
"""

import json
import mmap
import os
import shlex
import shutil
import struct
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_node import ROOT, until
from run_rotating import CommandNode

from fastmix.keys.audit import log_path

S = 1_000_000_000
SLOT_NS = 2 * S
SOURCE = Path(__file__).parent.parent / "support" / "moved_clock.c"


class MovedNode(CommandNode):
    """A node on a machine whose wall clock can be set."""

    def __init__(self, directory: Path, library: Path) -> None:
        super().__init__(directory)
        path = directory / "moved"
        path.write_bytes(bytes(8))
        self.environment |= {"LD_PRELOAD": str(library), "MOVED_CLOCK": str(path)}
        with path.open("r+b") as file:
            self._moved = mmap.mmap(file.fileno(), 8)
        self.moved_ns = 0

    def set_clock(self, ahead_ns: int) -> None:
        """Ahead of the clock of the tests from now on."""
        self.moved_ns = ahead_ns
        self._moved[:] = struct.pack("=q", ahead_ns)

    def slot(self) -> int:
        """That of its machine's wall clock."""
        return (time.time_ns() + self.moved_ns) // SLOT_NS

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of `fastmix`, on that machine."""
        command = [sys.executable, "-m", "fastmix", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=self.environment, timeout=60, check=False)

    def keys(self, *words: str) -> str:
        """What `fastmix keys` prints."""
        ended = self.ask("keys", *words)
        assert (ended.returncode, ended.stderr) == (0, ""), ended
        return ended.stdout

    def live(self) -> dict[int, str]:
        """Slots whose keys are accepted, as the node says, and the chains that they come from."""
        slots = json.loads(self.keys("list", str(self.config), "--json"))["slots"]
        return {slot["slot"]: slot["chain"] for slot in slots if slot["state"] != "coming"}

    def chains(self) -> set[str]:
        """Of all live keys."""
        return set(self.live().values())


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("clock") / "moved_clock.so"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    subprocess.run(
        [*compiler, "-O1", "-std=gnu11", "-fPIC", "-shared", str(SOURCE), "-o", str(built), "-ldl"], check=True, timeout=60
    )
    return built


@pytest.fixture
def stopped(tmp_path: Path, library: Path) -> Iterator[MovedNode]:
    """A node that was not started yet."""
    made = MovedNode(tmp_path, library)
    yield made
    made.kill()


@pytest.fixture
def node(stopped: MovedNode) -> MovedNode:
    stopped.start()
    return stopped


def burnt(node: MovedNode, before: set[str]) -> None:
    """Waits until the live keys are all of fresh chains."""
    until(lambda: (now := node.chains()) and not now & before, else_tell=node.log.read_text)


def test_a_jump_ahead_burns_waits_and_is_confirmed(node: MovedNode) -> None:
    before, first = until(node.chains), node.slot()
    node.set_clock(3600 * S)
    _, told = until(lambda: node.issues().get("clock"))
    for part in ("3600 s ahead of", "fastmix keys clock NODE --confirm", "follow_clock_after", "(fastmix keys new)"):
        assert part in told
    burnt(node, before)
    log = node.log.read_text()
    assert log.count("has parted from boot time") == 1
    assert "restored from a snapshot with its memory" in log
    assert max(node.live()) < first + 1800, "keys go on by boot time"
    assert "3600 s ahead of the time that keys go by" in node.keys("clock", str(node.config))
    assert node.keys("clock", str(node.config), "--confirm") == "keys go by the wall clock\n"
    until(lambda: max(node.live(), default=0) >= node.slot() - 2)
    assert "clock" not in node.issues()
    acts = [json.loads(line) for line in log_path(node.store).read_text().splitlines()]
    assert [act["ahead_s"] for act in acts if act["action"] == "keys.burnt"] == [3600]
    assert [act["outcome"] for act in acts if act["action"] == "confirm_clock"] == ["begun", "done"]


def test_a_step_back_revives_no_key(node: MovedNode) -> None:
    """It waits; confirmed, keys stand; burning them by hand begins again with the time that the clock shows."""
    before = until(node.chains)
    lived = max(until(node.live))
    node.set_clock(-3600 * S)
    _, told = until(lambda: node.issues().get("clock"))
    assert "3600 s behind" in told
    burnt(node, before)
    assert min(until(node.live)) >= lived - 2
    assert "stands for 3" in node.keys("clock", str(node.config), "--confirm")
    _, told = until(lambda: (found := node.issues().get("clock")) and "keys stand for" in found[1] and found)
    assert "fastmix keys rotate --compromised NODE" in told
    assert min(node.live(), default=lived) >= lived - 2
    node.keys("rotate", "--compromised", str(node.config))
    until(lambda: "clock" not in node.issues())
    assert max(until(node.live)) <= node.slot() + 1


def test_a_start_after_a_jump_burns(node: MovedNode) -> None:
    """It believes the clock, and takes nothing that was there."""
    before = until(node.chains)
    node.stop()
    node.set_clock(3600 * S)
    node.start()
    burnt(node, before)
    assert "has parted from boot time" in node.log.read_text()
    assert "clock" not in node.issues()
    until(lambda: max(node.live(), default=0) >= node.slot() - 2)


def test_a_boot_with_a_clock_ahead(stopped: MovedNode) -> None:
    """The next boot, with the right clock, has no key for a week: health says so, and how to begin again."""
    node = stopped
    node.set_clock(7 * 24 * 3600 * S)
    node.start()
    until(node.live)
    assert node.ask("health", str(node.config)).returncode == 0, "a start is no reason to say anything"
    node.stop()
    shutil.rmtree(node.state_dir)
    node.set_clock(0)
    node.start()
    health = node.ask("health", str(node.config))
    said = " ".join(health.stdout.split())
    assert (health.returncode, said.split()[0]) == (1, "unhealthy"), health
    assert "no key is live" in said
    assert "rotate --compromised NODE begins again" in said
    assert "given up all slots before" in node.log.read_text()
    node.keys("rotate", "--compromised", str(node.config))
    until(lambda: max(node.live(), default=0) >= node.slot())
    until(lambda: node.ask("health", str(node.config)).returncode == 0)
