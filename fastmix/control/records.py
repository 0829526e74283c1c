"""What is done to a node, and by whom, into its audit log: without standing in the way of what control does ten times a second.

What someone asks for is recorded before it is done (`begun`) and after it (`done`, `failed`); what is refused once a minute at
most for each user and question, with how often; what the node does by itself in one record, when the disk takes it.
An outcome that the disk refuses waits for it too: who has asked is told what came of the act, never that it has failed because
the log has.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from fastmix.control.access import Actor
from fastmix.errors import KeyStoreError
from fastmix.keys.audit import AuditLog

log = logging.getLogger(__name__)
REFUSED_S = 60.0
NOW_S = 2.0
"""So long a start waits for its record."""
ACTS_SHOWN = 3
REFUSED_MAX = 256
"""So many users and questions are told apart; what others ask is one."""
WAITING_MAX = 1024
"""Records that wait for the disk; then the oldest are lost, and the next one says how many."""


class Records:
    """The records of one node."""

    def __init__(self, audit: AuditLog, node: str) -> None:
        """`node`: the actor of what the node does by itself."""
        self._audit, self._node, self._refusal = audit, node, ""
        self._waiting: deque[tuple[str, str, dict[str, Any]]] = deque()
        self._lost = 0
        self._refused: dict[tuple[int, str], tuple[float, int]] = {}
        self._writing: asyncio.Task[None] | None = None

    @property
    def problem(self) -> str:
        """Why the last record could not be written, and which acts are done or failed without a record of that; empty where it
        was."""
        acts = [f"{action} ({fields['outcome']})" for _, action, fields in self._waiting if "ended_at" in fields]
        missing = f"; not recorded yet: the end of {', '.join(acts[:ACTS_SHOWN])}" if acts else ""
        more = f" and {len(acts) - ACTS_SHOWN} more" if len(acts) > ACTS_SHOWN else ""
        return self._refusal and f"{self._refusal}{missing}{more}"

    @asynccontextmanager
    async def recorded(self, actor: Actor, action: str, *, needed: bool, **fields: object) -> AsyncIterator[None]:
        """Around what someone asks for. `needed`: what cannot be recorded is not done, `KeyStoreError`; else that is logged. Of
        what was begun the outcome is recorded when that can be; until then `begun` stands alone, and `problem` says so."""
        fields |= actor.fields
        await self._append(actor.name, action, {"outcome": "begun", **fields}, needed=needed)
        try:
            yield
        except BaseException as error:
            await self._outcome(actor.name, action, {"outcome": "failed", "error": str(error) or type(error).__name__, **fields})
            raise
        await self._outcome(actor.name, action, {"outcome": "done", **fields})

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

    def note_now(self, action: str, **fields: object) -> None:
        """As `note`, written before it returns where the disk takes it soon: for a start."""

        def write() -> None:
            try:
                self._audit.append(self._node, action, **fields)
            except KeyStoreError as error:
                self._refuse(error)
                self._wait(self._node, action, fields)

        writing = threading.Thread(target=write, name="audit", daemon=True)
        writing.start()
        writing.join(NOW_S)
        if writing.is_alive():  # it goes on
            self._refuse(KeyStoreError(f"{self._audit.path}: cannot be written yet: look who has locked it (lslocks)"))

    def flush(self) -> None:
        """Begins to write what waits, in a thread."""
        if self._waiting and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write())

    async def settle(self) -> None:
        """Writes what waits, and returns then."""
        self.flush()
        if self._writing is not None:
            await self._writing

    async def _outcome(self, actor: str, action: str, fields: dict[str, Any]) -> None:
        if await self._append(actor, action, fields):
            return
        log.warning("%s by %s is %s, which the audit log does not say yet", action, actor, fields["outcome"])
        self._wait(actor, action, fields | {"ended_at": datetime.now(UTC).isoformat(timespec="microseconds")})

    def _wait(self, actor: str, action: str, fields: dict[str, Any]) -> None:
        if len(self._waiting) == WAITING_MAX:
            self._waiting.popleft()
            self._lost += 1
        self._waiting.append((actor, action, fields))

    async def _write(self) -> None:
        while self._waiting:
            actor, action, fields = self._waiting.popleft()
            lost, self._lost = self._lost, 0
            if not await self._append(actor, action, fields | ({"lost_before": lost} if lost else {})):
                self._waiting.appendleft((actor, action, fields))
                self._lost += lost
                return

    def _refuse(self, error: KeyStoreError) -> None:
        if self._refusal != str(error):
            log.error("%s", error)
        self._refusal = str(error)

    async def _append(self, actor: str, action: str, fields: dict[str, Any], *, needed: bool = False) -> bool:
        """Whether it was written."""
        try:
            await asyncio.to_thread(self._audit.append, actor, action, **fields)
        except KeyStoreError as error:
            self._refuse(error)
            if needed:
                raise
            return False
        self._refusal = ""
        return True
