"""The stage of the drills: a flow that counts right, also what comes twice; and the drills' registry."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from process_tree import command_of, descendants
from real_node import until

from fastmix.cli.main import main
from fastmix.drills.stage.alone import nodes_running
from fastmix.drills.stage.registry import drill_named, drills
from fastmix.drills.stage.report import Options, Outcome
from fastmix.drills.stage.scene import ATTEMPTS, Scene, Stage, open_stage, repeated_while_void
from fastmix.errors import ConfigError
from fastmix.files.temporary import SHARED_MEMORY

ROOT = Path(__file__).parent.parent.parent


def test_a_flow_counts_what_is_sent_once_and_twice(options: Options) -> None:
    with open_stage(options, Scene()) as stage:
        with stage.flow(800, copies=2) as flow:
            flow.run(0.3)
            flow.send(flow.waves[-1].packets)  # once more: a replay
            fresh = stage.packets.headers(stage.packets.slots_at(time.time_ns(), 40))
            flow.send(fresh, expected=True)
            again = len(flow.waves[-1].packets)
            flow.run(0.2)
            flow.finish()
        metrics = stage.settle()
        assert flow.expected == flow.arrived
        assert (flow.lost, flow.doubled, flow.unknown, flow.bad) == (0, 0, 0, 0)
        copies = flow.expected - 40
        assert flow.sent == metrics.received == 2 * copies + 40 + again
        assert metrics.dropped["drop_replay"] == copies + again
        assert metrics.forwarded == flow.received == flow.expected
        assert stage.kernel_drop_events() == 0


def little(stage: Stage) -> Outcome:
    """A moment of load."""
    with stage.flow() as flow:
        flow.run(0.05)
        flow.finish()
    return Outcome({"n": np.int64(1)}, {"good": np.bool_(True)})


def test_a_void_run_is_repeated(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = iter([3, 0])
    monkeypatch.setattr(Stage, "kernel_drop_events", lambda stage: next(dropped))
    report = repeated_while_void("some", options, Scene(), little)
    assert report.passed
    assert json.loads(json.dumps(report.to_dict()))["figures"] == {"n": 1}
    assert report.load["sent_per_s"] > 0
    told = report.to_dict()
    assert (told["form"], told["seed"], told["mean_delay"]) == ("short", 5, "5ms")
    assert set(told["graces"]) == {"slot", "early", "late", "max_latency"}
    assert told["machine"]["cores"] == len(os.sched_getaffinity(0)), "not those of the drill's own process alone"
    assert told["machine"]["cpu"]
    assert told["version"].startswith("fastmix ")
    assert (report.void_runs, report.conservation["kernel_drop_events"]) == (1, 0)
    assert ATTEMPTS > 1


def test_drills_are_the_files_of_the_folder(capsys: pytest.CaptureFixture[str]) -> None:
    found = drills()
    assert {"kill-data-plane", "rotation"} <= set(found)
    files = {path.stem.replace("_", "-") for path in (ROOT / "fastmix" / "drills").glob("*.py")} - {"--init--"}
    assert set(found) == files, "a drill's file has its name"
    assert all(drill.help[0].isupper() and drill.help.endswith(".") for drill in found.values())
    assert main(["drill", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {name: drill.help for name, drill in found.items()}
    with pytest.raises(ConfigError, match=r"'rotations': use one of .*rotation"):
        drill_named("rotations")


@pytest.mark.parametrize(
    ("line", "node"),
    [
        ("/usr/bin/python3 -P -m fastmix run node.toml", True),
        ("/usr/bin/python3 /opt/venv/bin/fastmix run node.toml", True),
        ("fastmix run --profile single-thread node.toml", True),
        ("/usr/bin/python3 -P -m fastmix.control {}", True),
        ("/usr/bin/python3 -m fastmix.process 5", True),
        ("/usr/bin/python3 -m fastmix drill run rotation", False),
        ("/usr/bin/python3 -m fastmix status node.toml", False),
        ("grep fastmix run", False),
        ("vi fastmix", False),
    ],
)
def test_a_node_is_known_by_its_command_line(line: str, node: bool, tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cmdline").write_bytes(b"\0".join(line.encode().split(b" ")) + b"\0")
    (tmp_path / "8").mkdir()
    (tmp_path / "9").write_text("")
    assert nodes_running(tmp_path) == ([7] if node else [])


def test_a_drill_refuses_beside_a_node(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastmix.drills.stage.alone.nodes_running", lambda: [17])
    assert main(["drill", "run", "rotation", "--short"]) == 2
    assert "a node runs on this machine (process 17)" in (said := capsys.readouterr().err)
    assert "--force" in said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_an_interrupted_drill_leaves_nothing(number: signal.Signals, code: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fastmix", "drill", "run", "rotation", "--force", "--rate", "500", "--json"]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
    try:
        until(lambda: any(b"fastmix.control" in command_of(pid) for pid in descendants(process.pid)), 60)
        family = descendants(process.pid)
        places = {place for pid in family for place in directories_of(pid)}
        process.send_signal(number)
        assert process.wait(60) == code
    finally:
        process.kill()
        process.wait()
    until(lambda: not any(command_of(pid) for pid in family))
    assert places
    until(lambda: not any(Path(place).exists() for place in places))
    assert b"Traceback" not in (tmp_path / "said").read_bytes()


def directories_of(pid: int) -> set[str]:
    """The drill's directories that a command line names."""
    words = command_of(pid).decode(errors="replace").split("\0")
    return {word.removesuffix("/node.toml") for word in words if word.startswith(f"{SHARED_MEMORY}/fastmix-drill-")}
