"""A key in etcd that one machine holds at a time, as long as it renews its lease: so of a node and its standby one is at work.

When a lease counts as renewed is said by the holder's own CLOCK_BOOTTIME *before* it asked: etcd has counted from then or later.
So who stops by `until_boot_ns` has stopped before etcd gives the key away, however long an answer took or this process was
stopped.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import aclosing, suppress

from fastmix.directory.back_off import BackOff
from fastmix.directory.backends.etcd_calls import Etcd
from fastmix.errors import NetworkFailure

log = logging.getLogger(__name__)
RENEWALS = 4
"""In the time of a lease."""


def boot_ns() -> int:
    """Time since this machine was started, sleep included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Held:
    """A key that is held. `lost` is set once it is another's, or may soon be; `why` says for what reason."""

    def __init__(
        self, etcd: Etcd, key: bytes, lease: int, made_by: int, ttl_ns: int, renewed_boot_ns: int, clock: Callable[[], int]
    ) -> None:
        self.key, self.ttl_ns, self.renewed_boot_ns = key, ttl_ns, renewed_boot_ns
        self.lost, self.why = asyncio.Event(), ""
        self._etcd, self._lease, self._made_by, self._clock = etcd, lease, made_by, clock
        self._renewing = asyncio.create_task(self._renew())

    @property
    def until_boot_ns(self) -> int:
        """Until when nobody else can hold it, if no renewal succeeds any more."""
        return self.renewed_boot_ns + self.ttl_ns

    async def release(self) -> None:
        """Gives the key away at once, where etcd can be reached; else it is free when the lease is over."""
        self._renewing.cancel()
        await asyncio.gather(self._renewing, return_exceptions=True)
        self._lose("it was released")
        with suppress(NetworkFailure):
            await self._etcd.revoke(self._lease)

    async def _renew(self) -> None:
        every_s = self.ttl_ns / 1e9 / RENEWALS
        while not self.lost.is_set():
            await asyncio.sleep(every_s)
            asked = self._clock()
            try:
                if not await self._etcd.keep_alive(self._lease, every_s):
                    self._lose("its lease is over")
                elif await self._etcd.made_by(self.key) != self._made_by:
                    self._lose("the key was taken away")
                else:
                    self.renewed_boot_ns = asked
            except NetworkFailure as failure:
                if self._clock() >= self.until_boot_ns:
                    self._lose(f"its lease could not be renewed in time: {failure}")

    def _lose(self, why: str) -> None:
        self.why = self.why or why
        self.lost.set()


async def holder(etcd: Etcd, key: bytes) -> bytes | None:
    """What the holder of a key has put there; None where nobody holds it."""
    return await etcd.get(key)


async def hold(
    etcd: Etcd,
    key: bytes,
    value: bytes,
    ttl_s: float,
    clock: Callable[[], int] = boot_ns,
    draw: Callable[[], float] = random.random,
) -> Held:
    """Waits until nobody holds the key, and holds it, whatever else fails meanwhile. `ttl_s`: of the lease; etcd counts in whole
    seconds and gives two or more, of which the holder counts on no more than it has asked for."""
    back_off, loop_s = BackOff(), asyncio.get_running_loop().time
    while True:
        try:
            held = await _take(etcd, key, value, ttl_s, clock)
            if held is not None:
                return held
            await _wait_until_free(etcd, key)
            back_off.succeeded()
        except NetworkFailure as failure:
            if not back_off.failures:
                log.warning("%s is not held: %s", key.decode(errors="replace"), failure)
            back_off.failed(loop_s(), draw())
            await asyncio.sleep(max(0.0, back_off.not_before - loop_s()))


async def _take(etcd: Etcd, key: bytes, value: bytes, ttl_s: float, clock: Callable[[], int]) -> Held | None:
    """None where somebody holds it."""
    if await etcd.get(key) is not None:
        return None
    asked = clock()
    lease, granted_s = await etcd.grant(ttl_s)
    made_by = await etcd.create(key, value, lease)
    if made_by is None:
        await etcd.revoke(lease)
        return None
    return Held(etcd, key, lease, made_by, int(min(ttl_s, granted_s) * 1e9), asked, clock)


async def _wait_until_free(etcd: Etcd, key: bytes) -> None:
    async with aclosing(etcd.changes(key)) as changes:
        async for _ in changes:
            if await etcd.get(key) is None:
                return
