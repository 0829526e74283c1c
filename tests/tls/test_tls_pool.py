"""Kept connections, and how long tries wait."""

import asyncio

import pytest
from control_end import Town
from hypothesis import given
from hypothesis import strategies as st

from fastmix.directory.back_off import FIRST_WAIT_S, LONGEST_WAIT_S, BackOff
from fastmix.errors import NetworkFailure
from fastmix.tls.pool import Pool


@given(st.lists(st.floats(0, 1), max_size=30))
def test_waits_grow_to_a_minute(draws: list[float]) -> None:
    back_off, now = BackOff(), 100.0
    for at, draw in enumerate(draws):
        back_off.failed(now, draw)
        longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**at)
        assert 0.4999 * longest <= back_off.not_before - now <= 1.0001 * longest
        now = back_off.not_before
    back_off.succeeded()
    assert back_off == BackOff()


async def test_one_connection_for_all_that_is_said() -> None:
    a, b = Town("a"), Town("b")
    a.knows(b)
    b.knows(a)
    async with a.door() as door:
        pool = Pool(b.end, lambda _: a.place.pair)
        answers = await asyncio.gather(*(pool.ask(a.identity.public, "echo", bytes([i])) for i in range(30)))
        assert answers == [bytes([i]) for i in range(30)]
        assert door.counts["taken"] == 1
        first = await pool.get(a.identity.public)
        first.end("gone")
        await asyncio.wait_for(first.closed.wait(), 10)
        assert await pool.ask(a.identity.public, "echo", b"again") == b"again"
        assert door.counts["taken"] == 2
        pool.keep_only(set())
        assert (await pool.get(a.identity.public)) is not first
        (other_way, *_) = door.connections
        back = Pool(a.end, lambda _: None)
        with pytest.raises(NetworkFailure, match="has no address now"):
            await back.get(b.identity.public)
        back.adopt(b.identity.public, other_way)
        assert (await back.get(b.identity.public)) is other_way


async def test_a_peer_that_is_away_is_not_asked_all_the_time() -> None:
    a, b = Town("a"), Town("b")
    b.knows(a)
    async with a.door():
        place = a.place.pair
    pool = Pool(b.end, lambda _: place, lambda: 1.0)
    with pytest.raises(NetworkFailure, match=r"127\.0\.0\.1:"):
        await pool.get(a.identity.public)
    with pytest.raises(NetworkFailure, match=r"the next try is in 0\.[0-9] s"):
        await pool.get(a.identity.public)
