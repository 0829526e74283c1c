"""What real nodes write into their audit logs by themselves: starts, ends, and the controls that follow killed ones."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_node import RealNode, Zygote, until
from rotating_node import RotatingNode


@pytest.fixture(params=[True, False], ids=["rotates", "fixed"])
def node(request: pytest.FixtureRequest, zygote: Zygote, tmp_path: Path) -> Iterator[RealNode]:
    """Nobody has started it yet."""
    made = RotatingNode(tmp_path, zygote) if request.param else RealNode(tmp_path, zygote)
    try:
        yield made
    finally:
        made.end()


def log_of(node: RealNode) -> Path:
    config = node.config
    keys = Path(config["identity"]["store"] if node.rotates else config["secret_file"])
    return keys.with_name(f"{keys.name}.audit")


def told(node: RealNode) -> list[tuple[str, str | None]]:
    """Without what keys do by themselves, and without how the log began."""
    records: list[dict[str, Any]] = [json.loads(line) for line in log_of(node).read_text().splitlines()]
    return [(one["action"], one.get("outcome")) for one in records if not one["action"].startswith(("keys.", "audit."))]


STARTED, ENDED = ("node.start", None), [("node.stop", "begun"), ("node.stop", "done")]


def test_starts_and_ends_however_they_came_about(node: RealNode) -> None:
    """A signal, the socket, a kill of the whole node, a kill of control."""
    node.start()
    assert told(node) == [STARTED], "before it receives"
    assert node.stop() == 0
    first = [STARTED, *ENDED]
    assert told(node) == first
    node.start()
    assert node.ask("stop") is True
    assert node.ended() == 0
    second = told(node)[len(first) :]
    assert sorted(map(str, second)) == sorted(map(str, [STARTED, ("stop", "begun"), ("stop", "done"), *ENDED]))
    assert [one for one in second if one[0] != "stop"] == [STARTED, *ENDED]
    before = len(told(node))
    node.start()
    node.signal(signal.SIGKILL, "control")
    until(lambda: ("control.start", None) in told(node))
    os.killpg(node.pid, signal.SIGKILL)
    node.ended()
    node.start()
    assert node.stop() == 0
    assert told(node)[before:] == [STARTED, ("control.start", None), STARTED, *ENDED]


def test_a_start_whose_log_is_not_whole(node: RealNode) -> None:
    """It goes on, and says so; the log takes nothing."""
    node.start()
    node.stop()
    whole = log_of(node).read_bytes()
    altered = whole.replace(b'"node.start"', b'"node.sturt"', 1)
    log_of(node).write_bytes(altered)
    node.start()
    health = node.ask("health")
    (issue,) = [one for one in health["issues"] if one["name"] == "audit"]
    assert "was changed" in issue["problem"]
    assert node.stop() == 0
    assert log_of(node).read_bytes() == altered
