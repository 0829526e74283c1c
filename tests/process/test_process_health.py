"""A running node's health: asked by the command, by a program, and after what makes it ill."""

import json
import os
import signal

from real_node import until

from fastmix.cli.main import main


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
