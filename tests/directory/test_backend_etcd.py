"""The backend that is an etcd, with a real one: leases, changes, and what happens when it is away."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from etcd_server import EtcdServer, etcd_server

from fastmix.directory.backends import NUMBER_MAX, SIZE_MAX, epoch_key
from fastmix.directory.backends.etcd import EtcdBackend
from fastmix.directory.backends.etcd_calls import PAGE, Etcd
from fastmix.errors import ConfigError, NetworkFailure

pytestmark = pytest.mark.etcd


@pytest.fixture(scope="module")
def kept() -> Iterator[EtcdServer]:
    """One for all tests that leave it running."""
    with etcd_server() as server:
        yield server


@pytest.fixture
async def own() -> AsyncIterator[EtcdServer]:
    with etcd_server() as server:
        yield server


async def until_fetched(backend: EtcdBackend, wanted: dict[str, bytes]) -> None:
    """Asks until it is so."""
    async with asyncio.timeout(20):
        while True:
            try:
                if await backend.fetch("record") == wanted:
                    return
            except NetworkFailure:
                pass
            await asyncio.sleep(0.05)


async def test_what_is_published_is_fetched(kept: EtcdServer) -> None:
    one, other = EtcdBackend(Etcd((kept.place,)), "/a"), EtcdBackend(Etcd((kept.place,)), "/a/")
    elsewhere = EtcdBackend(Etcd((kept.place,)), "/ab")
    await one.publish("record", "b", bytes(SIZE_MAX["record"]))
    await one.publish("record", "a", b"1")
    await one.publish("record", "a", b"2")
    await one.publish("bootstrap", "x", b"text")
    await other.publish("record", "c", b"3")
    assert await other.fetch("record") == {"a": b"2", "b": bytes(SIZE_MAX["record"]), "c": b"3"}
    assert await other.fetch("bootstrap") == {"x": b"text"}
    assert await other.fetch("document") == await elsewhere.fetch("record") == {}
    await one.close()
    assert await other.fetch("record") == {"c": b"3"}
    with pytest.raises(NetworkFailure, match="closed here"):
        await one.fetch("record")
    with pytest.raises(ValueError, match="are carried"):
        await other.publish("bootstrap", "x", bytes(513))
    await other.close()
    await elsewhere.close()


async def test_the_last_documents_are_kept_and_large_ones_come(kept: EtcdServer) -> None:
    backend, most = EtcdBackend(Etcd((kept.place,)), "/documents"), NUMBER_MAX["document"]
    for epoch in range(1, most + 4):
        await backend.publish("document", epoch_key(epoch), str(epoch).encode())
    whole = bytes(SIZE_MAX["document"])
    for epoch in range(most + 4, most + PAGE + 4):
        await backend.publish("document", epoch_key(epoch), whole)
    found = await backend.fetch("document")
    assert list(found) == [epoch_key(epoch) for epoch in range(PAGE + 4, most + PAGE + 4)]
    assert list(found.values())[-PAGE:] == [whole] * PAGE
    await backend.close()


async def test_what_others_have_put_there_is_bounded(kept: EtcdServer) -> None:
    etcd = Etcd((kept.place,))
    backend = EtcdBackend(etcd, "/others")
    for key, size in (("a", 1), ("A", 1), ("x/y", 1), ("large", 513), ("\udcff", 1), ("z", 2)):
        await etcd.put(b"/others/bootstrap/" + key.encode(errors="surrogateescape"), bytes(size))
    assert await backend.fetch("bootstrap") == {"a": bytes(1), "z": bytes(2)}
    for at in range(NUMBER_MAX["bootstrap"] + 6):
        await etcd.put(f"/others/bootstrap/b{at:03d}".encode(), b"")
    assert len(await backend.fetch("bootstrap")) <= NUMBER_MAX["bootstrap"]
    await backend.close()


async def test_a_record_lapses_with_its_node_and_stays_while_it_is_renewed(kept: EtcdServer) -> None:
    dies, lives = (EtcdBackend(Etcd((kept.place,)), "/leases", record_s=2) for _ in range(2))
    await dies.publish("record", "dies", b"1")
    await lives.publish("record", "lives", b"2")
    assert await lives.fetch("record") == {"dies": b"1", "lives": b"2"}
    assert dies._keeping is not None
    dies._keeping.cancel()
    await until_fetched(lives, {"lives": b"2"})
    await asyncio.sleep(3)
    assert await lives.fetch("record") == {"lives": b"2"}
    await dies.close()
    await lives.close()


async def test_a_record_whose_lease_was_ended_is_put_there_anew(kept: EtcdServer) -> None:
    etcd = Etcd((kept.place,))
    backend = EtcdBackend(etcd, "/ended", record_s=2)
    await backend.publish("record", "a", b"1")
    assert backend._lease is not None
    await etcd.revoke(backend._lease)
    await etcd.revoke(backend._lease)  # which is over already
    assert await backend.fetch("record") == {}
    await until_fetched(backend, {"a": b"1"})
    await etcd.revoke(backend._lease)
    await backend.publish("record", "b", b"2")
    assert await backend.fetch("record") == {"a": b"1", "b": b"2"}
    await backend.close()


async def test_changes_are_seen(kept: EtcdServer) -> None:
    one, other = (EtcdBackend(Etcd((kept.place,)), "/watched", record_s=2) for _ in range(2))
    changes = other.watch()
    async with asyncio.timeout(20):
        await anext(changes)
        await anext(changes)  # the watch has begun
        for kind, data in (("record", b"1"), ("document", b"2"), ("record", b"3")):
            waiting = asyncio.ensure_future(anext(changes))
            await one.publish(kind, epoch_key(1), data)  # type: ignore[arg-type]
            await waiting
        waiting = asyncio.ensure_future(anext(changes))
        await one.close()
        await waiting
        waiting = asyncio.ensure_future(anext(changes, "over"))
        await asyncio.sleep(0)
        await other.close()
        assert await waiting == "over"


async def test_etcd_goes_away_and_comes_back(own: EtcdServer) -> None:
    """Failures have names, a watch goes on, and a record of which etcd knows nothing is there again."""
    backend = EtcdBackend(Etcd((own.place,), call_s=1.0), "/away", record_s=3, draw=lambda: 0.0)
    await backend.publish("record", "a", b"1")
    changes = backend.watch()
    async with asyncio.timeout(30):
        await anext(changes)
        await anext(changes)
        own.kill()
        waiting = asyncio.ensure_future(anext(changes))
        with pytest.raises(NetworkFailure, match=rf"etcd at {own.place}: .*: look whether it runs there"):
            await backend.fetch("record")
        with pytest.raises(NetworkFailure, match="look whether it runs there"):
            await backend.publish("record", "b", b"2")
        assert own.start()
        await waiting
        await until_fetched(backend, {"a": b"1", "b": b"2"})
        own.pause()
        with pytest.raises(NetworkFailure, match="look whether it runs there"):
            await backend.fetch("record")
        own.go_on()
        await until_fetched(backend, {"a": b"1", "b": b"2"})
    await backend.close()


async def test_a_record_is_published_before_etcd_is_there(own: EtcdServer) -> None:
    own.kill()
    backend = EtcdBackend(Etcd((own.place,), call_s=1.0), "/late")
    with pytest.raises(NetworkFailure):
        await backend.publish("record", "a", b"1")
    assert own.start()
    await until_fetched(backend, {"a": b"1"})
    await backend.close()


@pytest.mark.parametrize("places", [(), ("etcd.example.org:2379",), ("127.0.0.1",), ("127.0.0.1:1", "[::1]:1")])
async def test_what_is_no_address(places: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="etcd"):
        Etcd(places)


async def test_one_of_several_that_answers_is_asked(kept: EtcdServer) -> None:
    backend = EtcdBackend(Etcd(("127.0.0.1:1", kept.place)), "/several")
    await until_fetched(backend, {})
    await backend.close()
