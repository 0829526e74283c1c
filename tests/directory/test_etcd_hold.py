"""A key that one machine holds at a time, with a real etcd: never two at once, however it is lost."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from etcd_server import EtcdServer, etcd_server

from fastmix.directory.backends.etcd_calls import Etcd
from fastmix.directory.backends.etcd_hold import Held, boot_ns, hold, holder

pytestmark = pytest.mark.etcd
KEY, TTL_S = b"/fastmix/held", 2.0


@pytest.fixture
async def server() -> AsyncIterator[EtcdServer]:
    with etcd_server() as running:
        yield running


@pytest.fixture
async def ends(server: EtcdServer) -> AsyncIterator[tuple[Etcd, Etcd]]:
    one, other = (Etcd((server.place,), call_s=1.0) for _ in range(2))
    yield one, other
    await one.close()
    await other.close()


async def taken(etcd: Etcd, value: bytes = b"standby") -> tuple[Held, int]:
    """The key, and when it was got."""
    return await hold(etcd, KEY, value, TTL_S), boot_ns()


async def test_one_holds_and_the_next_one_waits(ends: tuple[Etcd, Etcd]) -> None:
    one, other = ends
    assert await holder(other, KEY) is None
    began = boot_ns()
    held = await hold(one, KEY, b"main", TTL_S)
    assert began <= held.renewed_boot_ns <= boot_ns()
    assert held.until_boot_ns == held.renewed_boot_ns + int(TTL_S * 1e9)
    waiting = asyncio.ensure_future(taken(other))
    await asyncio.sleep(2 * TTL_S)
    assert not waiting.done()
    assert not held.lost.is_set()
    assert held.until_boot_ns > boot_ns()
    assert await holder(other, KEY) == b"main"
    await held.release()
    assert held.lost.is_set()
    async with asyncio.timeout(1.0):
        next_one, _ = await waiting
    assert await holder(one, KEY) == b"standby"
    await next_one.release()
    assert await holder(one, KEY) is None


async def test_who_renews_no_more_has_lost_it_before_the_next_one_has_it(ends: tuple[Etcd, Etcd]) -> None:
    one, other = ends
    held = await hold(one, KEY, b"main", TTL_S)
    waiting = asyncio.ensure_future(taken(other))
    held._renewing.cancel()  # as a process that was stopped
    async with asyncio.timeout(TTL_S + 4):
        next_one, got = await waiting
    assert held.until_boot_ns <= got
    await next_one.release()


async def test_a_holder_that_was_stopped_learns_that_it_is_over(server: EtcdServer, ends: tuple[Etcd, Etcd]) -> None:
    one, other = ends
    held = await hold(one, KEY, b"main", TTL_S)
    await one.revoke(held._lease)
    next_one, _ = await taken(other)
    async with asyncio.timeout(TTL_S):
        await held.lost.wait()
    assert held.why == "its lease is over"
    await next_one.release()


async def test_a_key_that_somebody_deletes_is_lost(ends: tuple[Etcd, Etcd]) -> None:
    one, other = ends
    held = await hold(one, KEY, b"main", TTL_S)
    await other.delete_before(KEY, KEY + b"\0")
    next_one, _ = await taken(other)
    async with asyncio.timeout(TTL_S):
        await held.lost.wait()
    assert held.why == "the key was taken away"
    await next_one.release()
    await held.release()


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_etcd_is_away(server: EtcdServer, ends: tuple[Etcd, Etcd], how: str) -> None:
    """For less than a lease nothing is lost; for longer the key is, by the holder's own clock; and then someone has it again."""
    one, other = ends
    held = await hold(one, KEY, b"main", TTL_S)
    waiting = asyncio.ensure_future(taken(other))
    before = held.renewed_boot_ns
    getattr(server, how)()
    await asyncio.sleep(TTL_S / 4)
    assert (server.start() if how == "kill" else server.go_on()) is not False
    async with asyncio.timeout(10):
        while held.renewed_boot_ns < before + TTL_S * 0.6e9:
            await asyncio.sleep(0.05)
    assert not held.lost.is_set()
    getattr(server, how)()
    async with asyncio.timeout(TTL_S + 2):
        await held.lost.wait()
    assert "could not be renewed in time" in held.why
    assert boot_ns() >= held.until_boot_ns
    assert not waiting.done()
    assert (server.start() if how == "kill" else server.go_on()) is not False
    async with asyncio.timeout(20):
        next_one, got = await waiting
    assert held.until_boot_ns <= got
    await next_one.release()


async def test_of_many_one_has_it(server: EtcdServer) -> None:
    """They take it from each other as fast as they can."""
    at_work, most = 0, 0

    async def work(name: int) -> None:
        nonlocal at_work, most
        etcd = Etcd((server.place,))
        for _ in range(5):
            held = await hold(etcd, KEY, str(name).encode(), TTL_S)
            at_work += 1
            most = max(most, at_work)
            assert await holder(etcd, KEY) == str(name).encode()
            at_work -= 1
            await held.release()
        await etcd.close()

    async with asyncio.timeout(60):
        await asyncio.gather(*map(work, range(6)))
    assert most == 1
