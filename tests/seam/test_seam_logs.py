"""Logs of a node's process: one set-up, two forms, no bytes, no forged lines."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys, structlog
from fastmix.seam.logs import configure_logs
configure_logs("info", "mix-007", "control", sys.argv[1])
log = logging.getLogger("fastmix.somewhere")
log.debug("too small")
log.warning("%d things\\nERROR forged", 3, extra={"slot": 5, "secret": b"k" * 32})
structlog.get_logger("fastmix.elsewhere").error("words", slot=6, secret=b"k" * 32)
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
"""


def logged(form: str) -> str:
    done = subprocess.run([sys.executable, "-c", PROGRAM, form], capture_output=True, text=True, check=True, timeout=60)
    assert not done.stdout
    assert "kkk" not in done.stderr
    return done.stderr


def test_an_object_a_line() -> None:
    first, second, third = map(json.loads, logged("json").splitlines())
    assert {name: first[name] for name in ("level", "node", "process", "event", "slot", "secret")} == {
        "level": "warning", "node": "mix-007", "process": "control", "event": "3 things\nERROR forged", "slot": 5,
        "secret": "<32 bytes>",
    }  # fmt: skip
    assert (second["event"], second["slot"], second["secret"], second["level"]) == ("words", 6, "<32 bytes>", "error")
    assert third["exception"].endswith("ZeroDivisionError: division by zero")
    assert all(each["timestamp"].endswith("Z") for each in (first, second, third))


def test_lines_for_people() -> None:
    lines = logged("console").splitlines()
    assert lines[0].split(maxsplit=2)[2] == r"WARNING mix-007 control: 3 things\nERROR forged slot=5 secret=<32 bytes>"
    assert lines[1].split(maxsplit=2)[2] == "ERROR   mix-007 control: words slot=6 secret=<32 bytes>"
    assert lines[2].endswith("failed")
    assert lines[-1] == "ZeroDivisionError: division by zero"


def test_a_node_logs_as_it_is_told(tmp_path, request: pytest.FixtureRequest) -> None:
    from real_node import Zygote, real_node

    zygote = Zygote()
    request.addfinalizer(zygote.close)
    with real_node(tmp_path, zygote, options={"log_format": "json"}) as node:
        told = [json.loads(line) for line in node.log().splitlines()]
        assert {"parent", "data"} <= {each["process"] for each in told}
        assert node.stop() == 0
