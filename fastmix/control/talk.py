"""How others ask a node: one JSON object a line, over the socket in the state directory or the pair of a program that
started the node.

`{"op": "status" | "metrics" | "health" | "settings" | "ready" | "configure_mixing" | "stop", ...}` is answered by one line:
`{"ok": ...}` or `{"error": "..."}`.
"""

import asyncio
import base64
import json
import socket
from pathlib import Path
from typing import Any

from fastmix.control.ask import SOCKET_NAME, short_path
from fastmix.control.duties import Duties
from fastmix.status import NodeState

LINE_MAX = 1 << 18
MIXING_WAIT_S = 10.0
POLL_S = 0.005
READY_WAIT_S = 60.0


async def serve(duties: Duties, state_dir: Path, api_fd: int | None) -> asyncio.Server:
    """Listens in the state directory (mode 0600) and, where a program holds the node, on its socket pair: its end drains the
    node."""
    path = state_dir / SOCKET_NAME
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    with short_path(state_dir) as short:
        listening.bind(short)
    path.chmod(0o600)
    server = await asyncio.start_unix_server(lambda r, w: converse(duties, r, w), sock=listening, limit=LINE_MAX)
    if api_fd is not None:
        reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=api_fd), limit=LINE_MAX)
        duties.owner = asyncio.create_task(held(duties, reader, writer))
    return server


async def held(duties: Duties, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serves the program that started the node until it ends."""
    await converse(duties, reader, writer)
    duties.drain()


async def converse(duties: Duties, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers line by line until the other side closes."""
    try:
        while line := await reader.readline():
            writer.write(json.dumps(await answer(duties, line)).encode() + b"\n")
            await writer.drain()
    except (ConnectionError, ValueError):
        pass  # gone, or a line beyond the limit: either way there is nobody to answer
    finally:
        writer.close()


async def answer(duties: Duties, line: bytes) -> dict[str, Any]:
    """One answer. What is asked wrongly is answered with an error, never an exception."""
    try:
        asked = json.loads(line)
        op = asked["op"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {"error": 'not a request: send {"op": "status"} on one line'}
    if op == "status":
        return {"ok": duties.status().to_dict()}
    if op == "metrics":
        metrics = duties.metrics()
        return {"ok": {**metrics.counters, "dropped": metrics.dropped, "unwraps_per_s": metrics.unwraps_per_s}}
    if op == "health":
        return {"ok": duties.health().to_dict()}
    if op == "settings":
        return {"ok": {name: {"value": value, "from": source} for name, (value, source) in duties.config.settings.items()}}
    if op == "ready":
        return await ready(duties)
    if op == "stop":
        duties.drain(2 if asked.get("now") else 1)
        return {"ok": True}
    if op == "configure_mixing":
        return await configure(duties, asked)
    return {"error": f"op {op!r} is not known: use status, metrics, health, settings, ready, configure_mixing or stop"}


async def ready(duties: Duties) -> dict[str, Any]:
    """Answers when the data plane receives."""
    for _ in range(int(READY_WAIT_S / POLL_S)):
        if duties.state() is not NodeState.STARTING:
            return {"ok": duties.status().to_dict()}
        await asyncio.sleep(POLL_S)
    return {"error": f"the data plane was not ready in {READY_WAIT_S:.0f} s: see its log"}


async def configure(duties: Duties, asked: dict[str, Any]) -> dict[str, Any]:
    """Waits until the data plane has taken the strategy, or has refused it."""
    async with duties.mixing_turn:
        try:
            number = duties.ask_mixing(base64.b64decode(asked["blob"], validate=True))
        except (KeyError, ValueError, TypeError) as error:
            return {"error": f"configure_mixing: {error}"}
        for _ in range(int(MIXING_WAIT_S / POLL_S)):
            refused = duties.mixing_answer(number)
            if refused is not None:
                return {"error": refused} if refused else {"ok": True}
            await asyncio.sleep(POLL_S)
    return {"error": "the data plane did not answer in 10 s: see its log"}
