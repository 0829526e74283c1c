"""How others ask a node: one JSON object a line, over the socket in the state directory or the pair of a program that
started the node.

`{"op": "status", ...}` (`ops.py` has them all) is answered by one line: `{"ok": ...}`, or `{"error": "...", "kind": "..."}`.
Who may ask what is decided by who the kernel says has connected (`access.py`).
"""

import asyncio
import json
import logging
import socket
from pathlib import Path
from typing import Any

from fastmix.control.access import Access, Actor, Role, peer_of
from fastmix.control.ask import SOCKET_NAME, short_path
from fastmix.control.duties import Duties
from fastmix.control.ops import OPS, Op
from fastmix.errors import FastmixError
from fastmix.files.toml import suggestion

log = logging.getLogger(__name__)
LINE_MAX = 1 << 18
CONNECTIONS_MAX = 16
"""Of one user who is no admin, at a time."""
ALONE, OTHERS = 0o600, 0o666
"""Mode of the socket: where `[access]` names others they can reach it, and the node decides whom it answers."""
PASSABLE = 0o011


async def serve(duties: Duties, state_dir: Path, api_fd: int | None) -> asyncio.Server:
    """Listens in the state directory and, where a program holds the node, on its socket pair: its end drains the node."""
    path, access = state_dir / SOCKET_NAME, Access(duties.config.access)
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    with short_path(state_dir) as short:
        listening.bind(short)
    path.chmod(ALONE)
    if duties.config.access.names_any:
        open_to_others(path)
    server = await asyncio.start_unix_server(lambda r, w: welcome(duties, access, r, w), sock=listening, limit=LINE_MAX)
    if api_fd is not None:
        reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=api_fd), limit=LINE_MAX)
        duties.owner = asyncio.create_task(held(duties, access, reader, writer))
    return server


def open_to_others(path: Path) -> None:
    """Lets everyone connect: they may pass through the state directory, but neither list nor read it. Directories above it are
    the operator's, who is told of those that let nobody through."""
    path.parent.chmod(path.parent.stat().st_mode & 0o7777 | PASSABLE)
    path.chmod(OTHERS)
    for directory in path.parent.resolve().parents:
        if not directory.stat().st_mode & 0o001:
            log.warning("[access] names users who cannot reach %s: chmod o+x %s, or name another state_dir", path, directory)


async def held(duties: Duties, access: Access, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serves the program that started the node until it ends."""
    peer = peer_of(writer.get_extra_info("socket"))
    try:
        await converse(duties, access, Actor(peer, frozenset({Role.ADMIN})), reader, writer)
    except Exception:
        log.exception("what the program that started this node has asked cannot be answered: the node drains")
    duties.drain()


async def welcome(duties: Duties, access: Access, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Someone has connected: who, and may it ask anything at all?"""
    actor = access.actor(peer_of(writer.get_extra_info("socket")))
    uid = actor.peer.uid
    duties.connections[uid] += 1
    try:
        if not actor.roles:
            duties.records.refused(actor, "connect")
            await refuse(writer, access.refusal(actor, "to ask this node anything", Role.VIEWER))
        elif duties.connections[uid] > CONNECTIONS_MAX and not actor.may(Role.ADMIN):
            await refuse(writer, f"{actor.name} has {CONNECTIONS_MAX} connections to this node already: close some")
        else:
            await converse(duties, access, actor, reader, writer)
    finally:
        duties.connections[uid] -= 1
        if not duties.connections[uid]:
            del duties.connections[uid]


async def refuse(writer: asyncio.StreamWriter, why: str) -> None:
    """One line, and the end."""
    try:
        writer.write(json.dumps({"error": why}).encode() + b"\n")
        await writer.drain()
    except ConnectionError:
        pass  # gone already
    finally:
        writer.close()


async def converse(
    duties: Duties, access: Access, actor: Actor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answers line by line until the other side closes."""
    try:
        while line := await read_line(reader):
            writer.write(json.dumps(await answer(duties, access, actor, line)).encode() + b"\n")
            await writer.drain()
    except ConnectionError:
        pass  # gone
    finally:
        writer.close()


async def read_line(reader: asyncio.StreamReader) -> bytes:
    """One line; none at the end, and for one beyond the limit: there is nobody to answer."""
    try:
        return await reader.readline()
    except ValueError:
        return b""


async def answer(duties: Duties, access: Access, actor: Actor, line: bytes) -> dict[str, Any]:
    """One answer. What is asked wrongly is answered with an error, never an exception."""
    try:
        asked = json.loads(line)
        name = str(asked["op"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return {"error": 'not a request: send {"op": "status"} on one line'}
    op = OPS.get(name)
    if op is None:
        return {"error": f"op {name!r} is not known: {suggestion(name, OPS)}"}
    if not actor.may(op.least):
        duties.records.refused(actor, name)
        return {"error": access.refusal(actor, name, op.least)}
    try:
        return {"ok": await act(duties, actor, name, op, asked)}
    except FastmixError as error:
        return {"error": str(error), "kind": type(error).__name__}


async def act(duties: Duties, actor: Actor, name: str, op: Op, asked: dict[str, Any]) -> Any:
    """Does it, and records it where it is to be recorded: with what was asked, except for code."""
    if not op.recorded:
        return await op.act(duties, asked)
    about = {key: value for key, value in asked.items() if key in op.shown}
    async with duties.records.recorded(actor, name, needed=op.needed, **about):
        return await op.act(duties, asked)
