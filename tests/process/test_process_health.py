"""A running node's health: asked by the command, by a program, and after what makes it ill."""

import json
import os
import signal

import oracle
from real_node import until

from fastmix.cli.main import main


def test_a_replay_set_that_fills(start, capsys) -> None:
    """It is told while there is room, then packets are refused with a verdict; nothing is forgotten, and the sums are exact."""
    node = start(options={"replay_capacity": 1024})
    frames = node.send(900)
    node.settle(900)
    told = until(lambda: [issue for issue in (node.ask("health") or {}).get("issues", []) if issue["name"] == "replay_set"])
    assert "raise replay_capacity" in told[0]["remedy"]
    (replay_set,) = node.ask("status")["replay_sets"]
    assert (replay_set["slot"], replay_set["tags"]) == (None, 900)
    assert 0 < replay_set["false_positive_rate"] < 1e-8
    assert main(["status", str(node.state_dir)]) == 0
    assert "of 1,020 packets" in capsys.readouterr().out
    for n in (1700, 2400):
        node.send(n - node.sent)
        node.settle(n)
    metrics = until(node.metrics)
    assert metrics.dropped["drop_replay_full"] > 100
    assert metrics.conservation == 0
    node.send_frames([node.upstream.frame(node.packet())])
    packets = [node.upstream.frame(packet) for packet in again(node, frames[:50])]
    node.send_frames(packets)
    node.settle(node.sent)
    assert until(node.metrics).dropped["drop_replay"] >= 50, "what is in the set stays there"
    issues = {issue["name"] for issue in node.ask("health")["issues"]}
    assert {"replay_set", "drop_replay_full"} <= issues


def again(node, frames: list[bytes]) -> list[bytes]:
    """The packets of frames that were sent."""
    return [oracle.open_frame(node.upstream.root.send_root, frame).packet for frame in frames]


def test_healthy_then_killed(start, capsys) -> None:
    node = start()
    assert main(["health", str(node.state_dir)]) == 0
    assert capsys.readouterr().out == "healthy\n"
    pid = node.child("data")
    os.kill(pid, signal.SIGKILL)
    until(lambda: node.child("data") not in (0, pid))
    until(lambda: main(["health", str(node.state_dir)]) == 1)
    capsys.readouterr()
    assert main(["health", str(node.state_dir), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["overall"], [issue["name"] for issue in told["issues"]]) == ("degraded", ["restarts"])
    assert node.stop() == 0
    assert main(["health", str(node.state_dir)]) == 1
    assert "no node answers" in capsys.readouterr().err
