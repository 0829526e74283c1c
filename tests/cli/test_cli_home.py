"""A node without a file: what is made for it, what is said, what is refused; and three of them that find each other."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fastmix.config import MixnodeConfig
from fastmix.directory.admission import token_hash
from fastmix.directory.bootstrap import parse_bootstrap
from fastmix.directory.token_file import read_token_hash
from fastmix.files import durable
from fastmix.home.files import make_files
from fastmix.home.wishes import Wishes

HERE = "127.0.0.1"
MINE = ("--address", HERE, "--allow-swap")


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where homes are made; the same for commands."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path / "fastmix"


def fastmix(*words: str | Path, code: int = 0) -> str:
    """What it says; on which of the two outputs is not asked."""
    command = [sys.executable, "-m", "fastmix", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said
    return said


def text_of(said: str) -> str:
    """The bootstrap text in what a node has said."""
    return re.search(r"--bootstrap '?([^' \n]+)", said)[1]


def test_a_home_is_made_once_and_told(homes: Path) -> None:
    said = fastmix("network", "init", *MINE)
    assert len(said.splitlines()) <= 10
    home = homes / "node"
    config = MixnodeConfig.load(home / "node.toml")
    assert config.join.bootstrap == ()
    assert {path.stat().st_mode & 0o777 for path in home.glob("identity.*") if path.is_file()} == {0o600}
    bootstrap = parse_bootstrap(text_of(said))
    assert read_token_hash(home / "identity.keys") == token_hash(bootstrap.token), "the token itself is nowhere"
    assert all(bootstrap.token not in path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert "is set up already" in fastmix("network", "init", *MINE, code=2)
    newer = parse_bootstrap(fastmix("network", "token").strip())
    assert (newer.host, newer.port, newer.pin) == (bootstrap.host, bootstrap.port, bootstrap.pin)
    assert read_token_hash(home / "identity.keys") == token_hash(newer.token) != token_hash(bootstrap.token)
    for words, told in (
        (("--control-port", "9999"), "--control-port 9999: "),
        (("--address", "192.0.2.9"), "--address 192.0.2.9: "),
        (("--bootstrap", f"192.0.2.1:9100#{'ab' * 32}"), "is that of the first node of a network of its own"),
    ):
        assert told in fastmix("run", *words, code=2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--bootstrap", "192.0.2.1:9100"), "has no PIN"),
        (("--bootstrap", "192.0.2.1:9100#abc"), "has a PIN of 3 characters"),
        (("--bootstrap", "192.0.2.1"), "no host in front of the port"),
        (("--trust-first",), "--trust-first is for a bootstrap node"),
        (("--address", "0.0.0.0"), "others cannot reach a node there"),
        (("--port", "0"), "port"),
    ],
)
def test_refused_before_anything_is_made(homes: Path, words: tuple[str, ...], told: str) -> None:
    assert told in fastmix("run", "--allow-swap", *words, code=2)
    assert not (homes / "node" / "node.toml").exists()


def test_a_directory_with_something_else_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    tmp_path.chmod(0o700)
    assert "'mine.txt', which is no file of a node" in fastmix("run", "--home", tmp_path, *MINE, code=2)


def killed_at(steps: Iterator[signal.Signals | None], _: Path) -> None:
    """In place of a sync."""
    if (how := next(steps, None)) is not None:
        os.kill(os.getpid(), how)


def test_killed_between_any_two_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was finished is used by the next start: there is one identity, and in the end a whole home."""
    wishes = Wishes(address=HERE, allow_swap=True)
    for at in range(1, 30):
        home = tmp_path / f"home {at}"
        home.mkdir(mode=0o700)
        if (pid := os.fork()) == 0:
            steps = iter([*[None] * (at - 1), signal.SIGKILL])
            monkeypatch.setattr(durable, "sync_directory", partial(killed_at, steps))
            make_files(home, wishes, "test")
            os._exit(0)
        was_killed = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        before = {path: path.read_bytes() for path in home.glob("identity.keys")}
        make_files(home, wishes, "test")
        assert all(path.read_bytes() == data for path, data in before.items())
        assert MixnodeConfig.load(home / "node.toml").join.announce == HERE
        if not was_killed:
            break
    assert 3 < at < 29


@pytest.fixture
def running() -> Iterator[list["subprocess.Popen[bytes]"]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_three_nodes_without_a_file(homes: Path, running: list["subprocess.Popen[bytes]"]) -> None:
    """As three shells on one machine do it: each finds a home and ports of its own."""
    text = text_of(fastmix("network", "init", *MINE))
    names = [homes / name for name in ("node", "node-2", "node-3")]
    for name in names[1:]:
        fastmix("network", "join", text, name, *MINE)
    for name in names:
        with (name.parent / f"{name.name}.log").open("wb") as log:
            command = [sys.executable, "-m", "fastmix", "run", "--home", str(name)]
            running.append(subprocess.Popen(command, stdout=log, stderr=log))

    def network(home: Path) -> dict[str, Any]:
        command = [sys.executable, "-m", "fastmix", "network", "show", str(home), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return json.loads(done.stdout) if done.stdout else {}

    give_up = time.monotonic() + 120
    for name in names:
        while not (found := network(name)).get("ready") or len(found["nodes"]) < 3:
            assert time.monotonic() < give_up, "\n".join(path.read_text() for path in homes.glob("*.log"))
    assert sorted(node["layer"] for node in found["nodes"]) == [1, 2, 3]
    table = fastmix("network", "show", names[1])
    assert all(node["identity"][:16] in table for node in found["nodes"])
    assert "runs already" in fastmix("run", "--home", names[0], code=2)
    for process in running:
        process.terminate()
    assert [process.wait(60) for process in running] == [0, 0, 0]
