"""The demo as a user runs it: whole networks of processes, small ones."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

KEYS = {
    "sent",
    "delivered",
    "replied",
    "lost",
    "mismatched",
    "retransmitted",
    "kernel_drop_events",
    "conservation",
    "latency_ms",
    "nodes",
}
PR_CAPBSET_DROP, CAP_NET_RAW = 24, 13
PATIENCE_S = 150.0
MARK = "HOME_OF_A_TESTED_DEMO"
"""Environment variable by which the processes of one test's demo are found."""


@contextmanager
def demo(home: Path, *args: str | Path, before: Callable[[], None] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A demo whose temporary directory is under `home`."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), MARK: str(home), "NO_COLOR": "1"}

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if before:
            before()

    process = subprocess.Popen(
        [sys.executable, "-m", "fastmix", "demo", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        preexec_fn=prepare,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def family(home: Path) -> list[int]:
    """All processes of demos of that home, the demo's own too: they carry the name in their environment."""
    mark = f"{MARK}={home}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def commands(home: Path) -> dict[int, str]:
    """Command lines of the family."""
    found = {}
    for pid in family(home):
        try:
            found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def directory(home: Path) -> Path | None:
    """The directory of the family's demo: the process that will remove it names it."""
    words = [word for line in commands(home).values() for word in line.split() if "/fastmix-demo-" in word]
    return next((Path(word) for word in words if Path(word).name.startswith("fastmix-demo-")), None)


def wait_until(true: Callable[[], object], what: str) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not (found := true()):
        assert time.monotonic() < end, f"{what}: not within {PATIENCE_S} s"
        time.sleep(0.02)
    return found


def said_by(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The one JSON object of a demo that must end well."""
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (0, ""), (process.returncode, out, err)
    said: dict[str, Any] = json.loads(out)
    return said


def check_good(said: dict[str, Any], n: int) -> None:
    assert said.keys() >= KEYS
    assert (said["sent"], said["delivered"], said["replied"], said["lost"], said["mismatched"]) == (n, n, n, 0, 0)
    assert said["conservation"] == said["network"]["difference"] == "exact"
    assert len(said["nodes"]) == 6
    assert all(node["conservation"] == "exact" and node["pooled"] == 0 for node in said["nodes"].values())
    assert all(client["difference"] == 0 for client in said["clients"].values())
    assert 0 < said["latency_ms"]["p50"] <= said["latency_ms"]["p99"]


@pytest.mark.parametrize(("geometry", "size", "strategy"), [("wan", 1232, "poisson"), ("jumbo", 2284, "priority")])
def test_everything_arrives_and_is_accounted_for(tmp_path: Path, geometry: str, size: int, strategy: str) -> None:
    args = ["--messages", "30", "--geometry", geometry, "--strategy", strategy, "--json"]
    with demo(tmp_path, *args) as process:
        said = said_by(process)
    check_good(said, 30)
    assert said["wire_sizes"] == [size]
    order = said["wire"]["order"]
    assert order["packets"] > 100
    assert abs(order["rank_correlation"]) < 0.5  # of a hundred independent ones it is 0.1; in order of arrival, 1
    if said["wire"]["by"] == "capture" and not said["wire"]["lost"]:
        assert said["wire"]["seen"] == said["network"]["forwarded"]
    assert not family(tmp_path)


def test_a_file_arrives_whole_through_relays_where_nobody_may_capture(tmp_path: Path) -> None:
    """Without CAP_NET_RAW the observer stands between nodes instead."""
    import ctypes

    prctl = ctypes.CDLL(None).prctl

    def renounce() -> None:
        prctl(PR_CAPBSET_DROP, CAP_NET_RAW, 0, 0, 0)

    content = hashlib.shake_128(b"a file").digest((1 << 20) + 5000)
    (tmp_path / "file").write_bytes(content)
    with demo(tmp_path, "--file", tmp_path / "file", "--json", before=renounce) as process:
        said = said_by(process)
    check_good(said, 2)
    assert said["file"] == {
        "name": "file",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "verified": True,
    }
    assert said["wire"]["by"] == "relay"
    assert said["wire_sizes"] == [1232]
    assert said["wire"]["order"]["packets"] > 500
    assert abs(said["wire"]["order"]["rank_correlation"]) < 0.3


def test_a_killed_node_is_an_error_that_names_it(tmp_path: Path) -> None:
    with demo(tmp_path, "--messages", "100000", "--json") as process:
        wait_until(lambda: any("fastmix.demo.client" in line for line in commands(tmp_path).values()), "clients")
        victim = next(pid for pid, line in commands(tmp_path).items() if "run" in line.split() and "node-3.toml" in line)
        os.kill(victim, signal.SIGKILL)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (1, "")
    assert err.startswith("fastmix: node 3 ended before its work was done (SIGKILL)")
    assert err.count("\n") == 1
    wait_until(lambda: not family(tmp_path), "all processes gone")


@pytest.mark.parametrize(
    ("moment", "number", "code"),
    [
        ("observer", signal.SIGINT, 130),
        ("run", signal.SIGINT, 130),
        ("run", signal.SIGTERM, 143),
        ("sending", signal.SIGINT, 130),
        ("sending", signal.SIGKILL, -9),
    ],
)
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, moment: str, number: signal.Signals, code: int) -> None:
    with demo(tmp_path, "--messages", "100000") as process:
        assert process.stdout is not None
        if moment == "sending":
            wait_until(lambda: "sending" in process.stdout.readline(), "sending")
        else:
            wait_until(lambda: any(moment in line for line in commands(tmp_path).values()), moment)
        place = wait_until(lambda: directory(tmp_path), "the demo's directory")
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, (out, err)
    assert "Traceback" not in err
    wait_until(lambda: not family(tmp_path), "all processes gone")
    assert not place.exists()
