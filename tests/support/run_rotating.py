"""A node whose keys rotate every two seconds, as `fastmix run` starts it: gone with the tests, however these end."""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from fastmix_command import fastmix
from real_node import ROOT, children, free_port, is_control, until

from fastmix.control.ask import ask
from fastmix.errors import FastmixError
from fastmix.files.toml import toml_text
from fastmix.plan import passphrase_path, plan_network, store_path
from fastmix.seam.lifeline import PR_SET_PDEATHSIG
from fastmix.seam.pair import open_pair, pair_files

KEYS = {"slot": "2s", "early": "500ms", "late": "2s", "interval": "1min", "overlap_period": "0s", "chain": "disk"}


def end_with_the_tests() -> None:
    """In the child: killed with the process that runs the tests, however that ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class CommandNode:
    """Node 0 of a network without delays. `identity` and `keys` lie over what its tables say; None takes a key out."""

    def __init__(self, directory: Path, *, identity: dict[str, Any] | None = None, keys: dict[str, Any] | None = None) -> None:
        self.directory, self.state_dir, self.log = directory, directory / "state", directory / "log"
        self.plan = plan_network([[free_port()] for _ in range(3)], rotates=True, mean_delay_ns=0).write(directory / "network")
        self.store = store_path(directory / "network", 0)
        self.descriptor = self.plan.network.path.parent / self.plan.network.node(0).descriptor
        self.config = directory / "node.toml"
        self.environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process: subprocess.Popen[bytes] | None = None
        self.write_config(identity or {}, keys or {})

    def write_config(self, identity: dict[str, Any], keys: dict[str, Any]) -> None:
        """With these changes."""
        identity = {"store": str(self.store), "passphrase_file": str(passphrase_path(self.store))} | identity
        text = 'number = 0\nnetwork = "network/network.toml"\nstate_dir = "state"\nreplay_capacity = 2000\nallow_swap = true\n'
        for name, table in (("mixing", {"max_latency": "0ms"}), ("identity", identity), ("keys", KEYS | keys)):
            text += f"[{name}]\n" + "".join(f"{key} = {toml_text(value)}\n" for key, value in table.items() if value is not None)
        self.config.write_text(text)

    def command(self, *words: str) -> list[str]:
        """`fastmix run` with its configuration."""
        return [sys.executable, "-m", "fastmix", "run", str(self.config), *words]

    def launch(self, *fds: int) -> None:
        """Starts it, and returns at once."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stderr=log, stdout=log, cwd=ROOT, env=self.environment,
                start_new_session=True, pass_fds=fds, preexec_fn=end_with_the_tests,
            )  # fmt: skip

    def start(self, *fds: int) -> None:
        """Returns when it receives."""
        self.launch(*fds)
        until(lambda: self.state() == "running", 150)

    def stop(self) -> None:
        """Drains it, and waits for its end."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.log.read_text()

    def check(self) -> subprocess.CompletedProcess[str]:
        """What `--check` says."""
        return fastmix("run", self.config, "--check", cwd=ROOT, **self.environment)

    def checked(self) -> None:
        """`--check` has nothing to say against a start."""
        assert (ended := self.check()).returncode == 0, ended

    def refused(self, *words: str, code: int = 78) -> str:
        """What it says when it must not start."""
        if words == ("--check",):
            ended = self.check()
        else:
            ended = subprocess.run(
                self.command(*words), capture_output=True, text=True, cwd=ROOT, env=self.environment, start_new_session=True,
                stdin=subprocess.DEVNULL, timeout=60, check=False,
            )  # fmt: skip
        assert ended.returncode == code, ended
        assert "Traceback" not in ended.stderr
        return ended.stderr

    def state(self) -> str | None:
        """Its state, if it answers; it must not have ended."""
        try:
            return str(ask(self.state_dir, "status")["state"])
        except (FastmixError, OSError):
            assert self.process
            assert self.process.poll() is None, self.log.read_text()
            return None

    def issues(self) -> dict[str, tuple[str, str]]:
        """What is wrong with it: name -> (how bad, what)."""
        try:
            found = ask(self.state_dir, "health")["issues"]
        except (FastmixError, OSError):
            return {}
        return {issue["name"]: (issue["status"], f"{issue['problem']}: {issue['remedy']}") for issue in found}

    def slots(self) -> list[int]:
        """Of the pairs that are whole."""
        return sorted(self.sets())

    def sets(self) -> dict[int, bytes]:
        """The replay set of each slot whose pair is whole."""
        found = {}
        for path in pair_files(self.state_dir):
            try:
                pair = open_pair(path)
            except (FastmixError, OSError):
                continue
            found[pair.slot] = pair.set_id
        return found

    def control(self) -> int:
        """The child that was executed: its command line is not the parent's."""
        assert self.process
        (pid,) = filter(is_control, children(self.process.pid))
        return pid

    def kill_control(self) -> None:
        """And waits until the next one answers."""
        old = self.control()
        os.kill(old, signal.SIGKILL)
        until(lambda: self.process and old not in children(self.process.pid) and self.state() == "running")

    def kill(self) -> None:
        """All of it, at once."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
