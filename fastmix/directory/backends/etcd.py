"""A fleet's etcd: documents, node records and bootstrap texts under a prefix.

A record lies there under a lease, which its node renews: the record of a node that has died is gone a minute later. After etcd
was away, and has forgotten the lease, the records are put there anew.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress

from fastmix.directory.back_off import FIRST_WAIT_S, BackOff
from fastmix.directory.backends import NUMBER_MAX, SIZE_MAX, TOTAL_MAX, Kind, check, is_key
from fastmix.directory.backends.etcd_calls import Etcd
from fastmix.errors import NetworkFailure

log = logging.getLogger(__name__)
RECORD_S = 60.0
"""A record's lease."""
LONGEST_WAIT_S = 5.0


class EtcdBackend:
    """A prefix of keys in an etcd, which it closes. `record_s`: the lease of this node's records."""

    def __init__(
        self, etcd: Etcd, prefix: str = "/fastmix", record_s: float = RECORD_S, draw: Callable[[], float] = random.random
    ) -> None:
        self._etcd, self._prefix, self._record_s, self._draw = etcd, prefix.rstrip("/"), record_s, draw
        self._lease: int | None = None
        self._records: dict[str, bytes] = {}
        """What this node has published, whether it is there or not."""
        self._missing: set[str] = set()
        """The keys of those that are not there, or not as they are now."""
        self._turn = asyncio.Lock()
        self._keeping: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    async def publish(self, kind: Kind, key: str, data: bytes) -> None:
        """As `Backend`. A record that could not be put there will be, once etcd is back."""
        check(kind, key, data)
        if kind == "record":
            self._records[key] = data
            self._missing.add(key)
            self._keeping = self._keeping or asyncio.create_task(self._keep())
            await self._put_missing()
            return
        await self._etcd.put(self._under(kind) + key.encode(), data)
        if kind == "document":
            keys = await self._etcd.last_keys(self._under(kind), NUMBER_MAX[kind])
            await self._etcd.delete_before(self._under(kind), keys[0])

    async def fetch(self, kind: Kind) -> dict[str, bytes]:
        """As `Backend`."""
        prefix, total = self._under(kind), 0
        keys = await self._etcd.last_keys(prefix, NUMBER_MAX[kind])
        found, first = dict[str, bytes](), keys[0] if keys else b""
        while first and (page := await self._etcd.page(first, prefix)):
            for key, data in page:
                name = key.removeprefix(prefix).decode("ascii", "replace")
                total += len(data)
                if total > TOTAL_MAX or len(found) >= NUMBER_MAX[kind]:
                    log.warning("%s: has too many bytes of %ss, and the rest is left out", self._etcd.name, kind)
                    return found
                if is_key(name) and len(data) <= SIZE_MAX[kind]:
                    found[name] = data
            first = page[-1][0] + b"\0"
        return found

    async def watch(self) -> AsyncIterator[None]:
        """As `Backend`."""
        back_off, clock = BackOff(longest_s=LONGEST_WAIT_S), asyncio.get_running_loop().time
        yield  # also where etcd is away: its caller learns of that when it fetches
        while not self._closed.is_set():
            try:
                async with aclosing(self._etcd.changes(f"{self._prefix}/".encode())) as changes:
                    async for _ in changes:
                        back_off.succeeded()
                        yield
            except NetworkFailure as failure:
                if not back_off.failures and not self._closed.is_set():
                    log.warning("changes of the directory are not seen: %s", failure)
                back_off.failed(clock(), self._draw())
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closed.wait(), back_off.not_before - clock())

    async def close(self) -> None:
        """As `Backend`; this node's records are taken away, where etcd can be reached."""
        self._closed.set()
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._lease is not None:
            with suppress(NetworkFailure):
                await self._etcd.revoke(self._lease)
        await self._etcd.close()

    def _under(self, kind: Kind) -> bytes:
        return f"{self._prefix}/{kind}/".encode()

    async def _put_missing(self) -> None:
        """Puts what is not there, all of it under a new lease where the one before is over."""
        async with self._turn:
            while self._missing:
                if self._lease is None:
                    self._lease, _ = await self._etcd.grant(self._record_s)
                    self._missing = set(self._records)
                key = min(self._missing)
                data = self._records[key]
                if not await self._etcd.put(self._under("record") + key.encode(), data, self._lease):
                    self._lease = None
                elif self._records[key] is data:
                    self._missing.discard(key)

    async def _keep(self) -> None:
        """Renews the lease, three times while it lasts, and sooner again where that fails."""
        back_off, clock = BackOff(longest_s=min(LONGEST_WAIT_S, self._record_s / 3)), asyncio.get_running_loop().time
        while True:
            at_rest = FIRST_WAIT_S if self._missing else self._record_s / 3
            await asyncio.sleep(max(0.0, back_off.not_before - clock()) if back_off.failures else at_rest)
            try:
                if self._lease is not None and not await self._etcd.keep_alive(self._lease):
                    self._lease, self._missing = None, set(self._records)
                await self._put_missing()
                back_off.succeeded()
            except NetworkFailure as failure:
                if not back_off.failures:
                    log.warning("this node's record is not renewed: %s", failure)
                back_off.failed(clock(), self._draw())
