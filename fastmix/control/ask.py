"""Asks a running node over the socket in its state directory. Light: imports nothing but the standard library."""

import json
import socket
from pathlib import Path
from typing import Any

from fastmix.errors import FastmixError, NetworkFailure

SOCKET_NAME = "control.sock"
LAST_METRICS = "last-metrics.json"
"""Written by the parent when the node has ended."""


def ask(state_dir: Path, op: str, timeout_s: float = 15.0, **more: object) -> Any:
    """The answer to one question. `NetworkFailure` where no node answers in that directory, `FastmixError` where it refuses."""
    path = state_dir / SOCKET_NAME
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(json.dumps({"op": op, **more}).encode() + b"\n")
            line = connection.makefile("rb").readline()
    except OSError as error:
        raise NetworkFailure(
            f"no node answers at {path} ({error.strerror or error}): is it running, with this state_dir?"
        ) from None
    if not line:
        raise NetworkFailure(f"the node at {path} closed the connection: it is ending")
    answer = json.loads(line)
    if "error" in answer:
        raise FastmixError(answer["error"])
    return answer["ok"]
