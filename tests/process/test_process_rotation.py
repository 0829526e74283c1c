"""Real nodes whose keys rotate every two seconds: control stopped, killed, the node killed."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_node import ROOT, children, free_port, is_control, until

from fastmix.control.ask import ask
from fastmix.errors import FastmixError
from fastmix.files.temporary import FleetingDirectory
from fastmix.plan import plan_network
from fastmix.seam.lifeline import PR_SET_PDEATHSIG
from fastmix.seam.pair import open_pair, pair_files

KEYS = '[keys]\nslot = "2s"\nearly = "500ms"\nlate = "2s"\ninterval = "1min"\noverlap_period = "0s"\nchain = "disk"\n'


def end_with_the_tests() -> None:
    """In the child: killed with the process that runs the tests, however that ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Node:
    """Node 0 of a network without delays, as `fastmix run` starts it."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.state_dir = directory, directory / "state"
        plan = plan_network([[free_port()] for _ in range(3)], rotates=True, mean_delay_ns=0).write(directory / "network")
        self.secret = plan.secret_path(directory / "network", 0)
        (directory / "node.toml").write_text(
            f'number = 0\nnetwork = "network/network.toml"\nsecret_file = "{self.secret}"\nstate_dir = "state"\n'
            f'replay_capacity = 2000\nallow_swap = true\n[mixing]\nmax_latency = "0ms"\n{KEYS}'
        )
        self.log = directory / "log"
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "fastmix", "run", str(self.directory / "node.toml")]
            self.process = subprocess.Popen(
                command, stderr=log, stdout=log, cwd=ROOT, start_new_session=True, preexec_fn=end_with_the_tests
            )
        until(lambda: self.state() == "running", 60)

    def state(self) -> str | None:
        try:
            return str(ask(self.state_dir, "status")["state"])
        except FastmixError:
            assert self.process.poll() is None, self.log.read_text()
            return None

    def slots(self) -> list[int]:
        """Of the pairs that are whole."""
        found = []
        for path in pair_files(self.state_dir):
            try:
                found.append(open_pair(path).slot)
            except (FastmixError, OSError):
                continue
        return sorted(found)

    def control(self) -> int:
        """The child that was executed: its command line is not the parent's."""
        (pid,) = filter(is_control, children(self.process.pid))
        return pid

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def node() -> Iterator[Node]:
    with FleetingDirectory("fastmix-test-", 1 << 20) as directory:
        made = Node(directory)
        try:
            yield made
        finally:
            made.kill()


def live() -> int:
    return time.time_ns() // 2_000_000_000


def test_a_stopped_control_revives_no_key(node: Node) -> None:
    """The data plane wipes what is over, alone, and the files go; control goes on when it can."""
    held = [open_pair(path) for path in pair_files(node.state_dir)]
    until(lambda: live() in node.slots())
    os.kill(control := node.control(), signal.SIGSTOP)
    until(lambda: not pair_files(node.state_dir), 20)
    assert not any(pair.secret.any() for pair in held)
    os.kill(control, signal.SIGCONT)
    until(lambda: live() in node.slots())


def test_a_killed_control_is_followed_by_one_that_goes_on(node: Node) -> None:
    until(lambda: live() in node.slots())
    before = {slot: open_pair(path).set_id for path in pair_files(node.state_dir) if (slot := open_pair(path).slot) >= live()}
    old = node.control()
    os.kill(old, signal.SIGKILL)
    until(lambda: (now := node.slots()) and live() in now and node.state() == "running")
    after = {open_pair(path).slot: open_pair(path).set_id for path in pair_files(node.state_dir) if "new" not in path.name}
    assert all(after[slot] == before[slot] for slot in after.keys() & before.keys()), "intact pairs go on"
    began = live()
    until(lambda: live() >= began + 3 and live() in node.slots(), 20)


def test_a_killed_node_goes_on_with_its_pairs(node: Node) -> None:
    until(lambda: live() in node.slots())
    node.kill()
    node.start()
    began = live()
    until(lambda: live() >= began + 2 and live() in node.slots(), 20)
    assert "Traceback" not in node.log.read_text()
