"""Asks a running node over the socket in its state directory. Light: imports nothing but the standard library."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fastmix import errors
from fastmix.errors import FastmixError, NetworkFailure

SOCKET_NAME = "control.sock"
LAST_METRICS = "last-metrics.json"
"""Written by the parent when the node has ended."""


def ask(state_dir: Path, op: str, timeout_s: float = 15.0, *, start: str = "fastmix run CONFIG", **more: object) -> Any:
    """The answer to one question. `NetworkFailure` where no node answers in that directory, else the `FastmixError` that the
    node has answered.

    `start`: what would start the node, for that error.
    """
    path = state_dir / SOCKET_NAME
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            with short_path(state_dir) as short:
                connection.connect(short)
            with suppress(BrokenPipeError):  # who is refused as such is told so, and not listened to
                connection.sendall(json.dumps({"op": op, **more}).encode() + b"\n")
            line = connection.makefile("rb").readline()
    except PermissionError as error:
        raise NetworkFailure(
            f"{path}: {error.strerror}: ask as root or as the node's user, or have [access] of its configuration name you"
        ) from None
    except OSError as error:
        raise NetworkFailure(f"no node answers at {path} ({error.strerror or error}): start it: {start}") from None
    if not line:
        raise NetworkFailure(f"the node at {path} closed the connection: it is ending")
    answer = json.loads(line)
    if "error" in answer:
        kind = getattr(errors, answer.get("kind", ""), FastmixError)
        raise kind(answer["error"])
    return answer["ok"]


@contextmanager
def short_path(state_dir: Path) -> Iterator[str]:
    """A name of the socket that fits into a socket address (107 bytes), however long the directory's is."""
    directory = os.open(state_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{SOCKET_NAME}"
    finally:
        os.close(directory)
