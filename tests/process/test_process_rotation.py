"""Real nodes whose keys rotate every two seconds: control stopped, killed, the node killed."""

import os
import signal
import time
from collections.abc import Iterator

import pytest
from real_node import until
from run_rotating import CommandNode

from fastmix.files.temporary import FleetingDirectory
from fastmix.seam.pair import open_pair, pair_files


@pytest.fixture
def node() -> Iterator[CommandNode]:
    with FleetingDirectory("fastmix-test-", 1 << 20) as directory:
        made = CommandNode(directory)
        try:
            made.start()
            yield made
        finally:
            made.kill()


def live() -> int:
    return time.time_ns() // 2_000_000_000


def test_a_stopped_control_revives_no_key(node: CommandNode) -> None:
    """The data plane wipes what is over, alone, and the files go; control goes on when it can."""
    held = [open_pair(path) for path in pair_files(node.state_dir)]
    until(lambda: live() in node.slots())
    os.kill(control := node.control(), signal.SIGSTOP)
    until(lambda: not pair_files(node.state_dir), 20)
    assert not any(pair.secret.any() for pair in held)
    os.kill(control, signal.SIGCONT)
    until(lambda: live() in node.slots())


def test_a_killed_control_is_followed_by_one_that_goes_on(node: CommandNode) -> None:
    until(lambda: live() in node.slots())
    before = node.sets()
    old = node.control()
    os.kill(old, signal.SIGKILL)
    until(lambda: (now := node.slots()) and live() in now and node.state() == "running")
    after = node.sets()
    assert all(after[slot] == before[slot] for slot in after.keys() & before.keys()), "intact pairs go on"
    began = live()
    until(lambda: live() >= began + 3 and live() in node.slots(), 20)


def test_a_killed_node_goes_on_with_its_pairs(node: CommandNode) -> None:
    until(lambda: live() in node.slots())
    node.kill()
    node.start()
    began = live()
    until(lambda: live() >= began + 2 and live() in node.slots(), 20)
    assert "Traceback" not in node.log.read_text()
