"""`Client`: what it refuses, and how it ends."""

import asyncio

import pytest

from fastmix import BatchTimeout, ConfigError, NetworkFailure
from fastmix.client import MESSAGE_LIMIT, Address, Client, Message
from fastmix.plan import plan_network


@pytest.fixture
def plan(tmp_path):
    """A network whose nodes do not run."""
    places = [("127.0.0.1", 1 + i) for i in range(3)]
    return plan_network([[place] for place in places], 2, mean_delay_ns=1_000_000).write(tmp_path / "network")


def client_of(plan, at=0, **options):
    client = plan.network.clients[at]
    return Client(plan.network.path, client.peer_id.hex(), plan.secret_path(plan.network.path.parent, client.peer_id), **options)


def address_of(plan, at=1):
    client = plan.network.clients[at]
    return Address(client.peer_id, client.sphinx_public, client.exit)


async def test_batch_timeout_past_the_deadline(plan):
    async with client_of(plan) as client:
        with pytest.raises(BatchTimeout, match=r"10 bytes was not acknowledged within 0.2 s: 0 of 1 fragments"):
            await client.send(address_of(plan), bytes(10), timeout=0.2)
        with pytest.raises(BatchTimeout, match="not answered within"):
            await client.request(address_of(plan), b"", timeout=0.2)
        assert client.counters.difference() == 0
        assert client.counters.messages_timed_out == 1


async def test_messages_under_way_fail_when_it_stops(plan):
    client = client_of(plan)
    await client.start()
    sending = asyncio.create_task(client.send(address_of(plan), b"x"))
    await asyncio.sleep(0)
    await client.stop()
    with pytest.raises(NetworkFailure, match="stopped"):
        await sending
    with pytest.raises(NetworkFailure, match="not running"):
        await client.send(address_of(plan), b"x")
    with pytest.raises(NetworkFailure, match="not running"):
        await client.receive()
    async with client:
        assert client.bound[0] == "127.0.0.1"


async def test_a_waiting_receive_ends_when_it_stops(plan):
    client = client_of(plan)
    await client.start()
    receiving = asyncio.create_task(client.receive())
    await asyncio.sleep(0)
    await client.stop()
    with pytest.raises(NetworkFailure, match="stopped"):
        await receiving


async def test_a_cancelled_receive_loses_no_message(plan):
    async with client_of(plan) as client:
        receiving = asyncio.create_task(client.receive())
        await asyncio.sleep(0)
        client._happened(Message(b"data", bytes(16)))
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        assert (await client.receive()).data == b"data"


async def test_bad_arguments(plan):
    async with client_of(plan) as client:
        to = address_of(plan)
        with pytest.raises(ValueError, match=f"at most {MESSAGE_LIMIT} bytes"):
            await client.send(to, bytes(MESSAGE_LIMIT + 1))
        with pytest.raises(ValueError, match="0 to 1536"):
            await client.send(to, b"", surbs=1537)
        with pytest.raises(ConfigError, match="has no node 999"):
            await client.send(Address(to.peer_id, to.sphinx_public, 999), b"")
        with pytest.raises(NetworkFailure, match="in use"):
            await client_of(plan, 1, bind=client.bound).start()
        with pytest.raises(NetworkFailure, match="runs already"):
            await client.start()


def test_bad_construction(plan, tmp_path):
    with pytest.raises(ConfigError, match="send_rate is 0"):
        client_of(plan, send_rate=0)
    path = plan.network.path
    secret = plan.secrets[plan.network.clients[0].peer_id]
    for peer_id, words in (("xyz", "not hexadecimal"), (b"short", "32 bytes, not 5"), (b"u" * 32, "has no client")):
        with pytest.raises(ConfigError, match=words):
            Client(path, peer_id, secret)
    with pytest.raises(ConfigError, match="cannot read"):
        Client(path, plan.network.clients[0].peer_id, tmp_path / "nothing")
    with pytest.raises(ConfigError, match="32 bytes, not 31"):
        Client(path, plan.network.clients[0].peer_id, secret[1:])


def test_addresses_as_text(plan):
    address = address_of(plan)
    assert Address.from_text(str(address)) == address
    assert len(address.to_bytes()) == 66
    with pytest.raises(ConfigError, match="66 bytes, not 2"):
        Address.from_text("abcd")
    with pytest.raises(ConfigError, match="not hexadecimal"):
        Address.from_text("hello")
