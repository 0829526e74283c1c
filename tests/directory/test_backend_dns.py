"""Bootstrap texts out of a real name server's zone."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from name_server import NameServer, name_server

from fastmix.directory.backends import NUMBER_MAX
from fastmix.directory.backends.dns import DnsBackend
from fastmix.directory.bootstrap import Bootstrap
from fastmix.errors import ConfigError, NetworkFailure

NAME = "_fastmix._tcp.example.org."
PINS = [bytes([i]) * 32 for i in range(9)]


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    async with name_server() as running:
        yield running


def text(host: str, port: int, pin: int) -> str:
    return f'"{host}:{port}#{PINS[pin].hex()}"'


async def test_nodes_in_order_with_their_pins(server: NameServer) -> None:
    server.records = {
        (NAME, "SRV"): [
            "20 0 9100 c.example.org.",
            "10 1 9100 b.example.org.",
            "10 9 9101 A.example.org.",
            "5 0 1 bare.example.org.",
        ],
        (NAME, "TXT"): [
            text("b.example.org", 9100, 2),
            text("a.example.org", 9101, 1),
            text("c.example.org", 9100, 3),
            text("192.0.2.7", 9, 4),
        ],
    }
    backend = DnsBackend("example.org", server.resolver())
    assert await backend.bootstraps() == [
        Bootstrap("a.example.org", 9101, PINS[1]),
        Bootstrap("b.example.org", 9100, PINS[2]),
        Bootstrap("c.example.org", 9100, PINS[3]),
        Bootstrap("192.0.2.7", 9, PINS[4]),
        Bootstrap("bare.example.org", 1),
    ]
    fetched = await backend.fetch("bootstrap")
    assert list(fetched) == sorted(fetched)
    assert fetched["0003"] == f"192.0.2.7:9#{PINS[4].hex()}".encode()
    assert await backend.fetch("record") == {}
    with pytest.raises(NetworkFailure, match="is read only"):
        await backend.publish("bootstrap", "a", b"")


async def test_many_texts_come_by_tcp_and_are_bounded(server: NameServer) -> None:
    server.records = {(NAME, "TXT"): [text(f"n{i}.example.org", 9100, 1) for i in range(100)]}
    assert len(await DnsBackend("example.org.", server.resolver()).bootstraps()) == NUMBER_MAX["bootstrap"]


async def test_texts_in_parts_and_texts_that_are_none(server: NameServer, caplog: pytest.LogCaptureFixture) -> None:
    whole = f"a.example.org:9100#{PINS[1].hex()}"
    server.records = {
        (NAME, "TXT"): [f'"{whole[:40]}" "{whole[40:]}"', '"v=spf1 -all"', '"\\027[2J\\255:1"', '""'],
        (NAME, "SRV"): ["0 0 0 ."],
    }
    assert await DnsBackend("example.org", server.resolver()).bootstraps() == [Bootstrap("a.example.org", 9100, PINS[1])]
    assert len(caplog.records) == 3
    assert all(record.getMessage().isprintable() for record in caplog.records)


async def test_no_such_domain_has_no_nodes(server: NameServer) -> None:
    assert await DnsBackend("example.com", server.resolver()).bootstraps() == []


async def test_a_server_that_refuses(server: NameServer) -> None:
    server.refuses = True
    with pytest.raises(
        NetworkFailure, match=r"_fastmix\._tcp\.example\.org\.: no (SRV|TXT) records: .*: look at this machine's DNS"
    ):
        await DnsBackend("example.org", server.resolver()).fetch("bootstrap")


@pytest.mark.parametrize("domain", ["a..b", "x" * 64 + ".org", "a." * 130 + "org"])
def test_what_is_no_domain(domain: str) -> None:
    with pytest.raises(ConfigError, match="is none"):
        DnsBackend(domain, NameServer().resolver())


async def test_changes_are_seen_and_failures_outlived(server: NameServer) -> None:
    backend = DnsBackend("example.org", server.resolver(), look_s=0.01)
    server.refuses = True
    changes = backend.watch()
    await asyncio.wait_for(anext(changes), 10)
    server.refuses = False
    server.records = {(NAME, "TXT"): [text("a.example.org", 9100, 1)]}
    await asyncio.wait_for(anext(changes), 10)
    server.refuses = True
    waiting, asked = asyncio.ensure_future(anext(changes, "over")), server.asked
    while server.asked < asked + 6:
        await asyncio.sleep(0)
    server.refuses = False
    server.records[NAME, "SRV"] = ["0 0 9100 b.example.org."]
    assert await asyncio.wait_for(waiting, 10) is None
    waiting = asyncio.ensure_future(anext(changes, "over"))
    await asyncio.sleep(0)
    await backend.close()
    assert await asyncio.wait_for(waiting, 10) == "over"
