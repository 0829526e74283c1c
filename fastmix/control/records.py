"""What is done to a node, and by whom, into its audit log: without standing in the way of what control does ten times a second.

What someone asks for is recorded before it is done (`begun`) and after it (`done`, `failed`); what is refused once a minute at
most for each user and question, with how often; what the node does to its keys by itself in one record, when the disk takes it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastmix.control.access import Actor
from fastmix.errors import KeyStoreError
from fastmix.keys.audit import AuditLog

log = logging.getLogger(__name__)
REFUSED_S = 60.0
REFUSED_MAX = 256
"""So many users and questions are told apart; what others ask is one."""
WAITING_MAX = 1024
"""Records that wait for the disk; then the oldest are lost, and the next one says how many."""


class Records:
    """The records of one node. `problem`: why the last one could not be written; empty where it was."""

    def __init__(self, audit: AuditLog, node: str) -> None:
        """`node`: the actor of what the node does by itself."""
        self.problem = ""
        self._audit, self._node = audit, node
        self._waiting: deque[tuple[str, str, dict[str, Any]]] = deque()
        self._lost = 0
        self._refused: dict[tuple[int, str], tuple[float, int]] = {}
        self._writing: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def recorded(self, actor: Actor, action: str, *, needed: bool, **fields: object) -> AsyncIterator[None]:
        """Around what someone asks for. `needed`: what cannot be recorded is not done, `KeyStoreError`; else that is logged."""
        fields |= actor.fields
        await self._append(actor.name, action, {"outcome": "begun", **fields}, needed=needed)
        try:
            yield
        except BaseException as error:
            await self._append(actor.name, action, {"outcome": "failed", "error": str(error) or type(error).__name__, **fields})
            raise
        await self._append(actor.name, action, {"outcome": "done", **fields}, needed=needed)

    def refused(self, actor: Actor, action: str) -> None:
        """Someone asked for what it may not have. Writes nothing yet: `flush`."""
        key = (actor.peer.uid, action)
        if key not in self._refused and len(self._refused) >= REFUSED_MAX:
            key = (-1, "others")
        last_s, before = self._refused.get(key, (-REFUSED_S, 0))
        if time.monotonic() - last_s < REFUSED_S:
            self._refused[key] = last_s, before + 1
            return
        self._refused[key] = time.monotonic(), 0
        log.warning("refused: %s asked for %s", actor.name, action)
        self._wait(actor.name, action, {"outcome": "refused", **({"also_before": before} if before else {}), **actor.fields})

    def note(self, action: str, **fields: object) -> None:
        """What the node has done by itself. Writes nothing yet: `flush`."""
        self._wait(self._node, action, fields)

    def flush(self) -> None:
        """Begins to write what waits, in a thread."""
        if self._waiting and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write())

    async def settle(self) -> None:
        """Writes what waits, and returns then."""
        self.flush()
        if self._writing is not None:
            await self._writing

    def _wait(self, actor: str, action: str, fields: dict[str, Any]) -> None:
        if len(self._waiting) == WAITING_MAX:
            self._waiting.popleft()
            self._lost += 1
        self._waiting.append((actor, action, fields))

    async def _write(self) -> None:
        while self._waiting:
            actor, action, fields = self._waiting.popleft()
            lost, self._lost = self._lost, 0
            await self._append(actor, action, fields | ({"lost_before": lost} if lost else {}))
            if self.problem:
                self._waiting.appendleft((actor, action, fields))
                self._lost += lost
                return

    async def _append(self, actor: str, action: str, fields: dict[str, Any], *, needed: bool = False) -> None:
        try:
            await asyncio.to_thread(self._audit.append, actor, action, **fields)
            self.problem = ""
        except KeyStoreError as error:
            if self.problem != str(error):
                log.error("%s", error)
            self.problem = str(error)
            if needed:
                raise
