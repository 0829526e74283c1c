"""Our client and the plain one talk over plain nodes on loopback: both are held to the same document."""

import asyncio
import random
import socket
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from peer_party import Net, PeerClient, PeerNode

from fastmix.client import Address, Client
from fastmix.packet.geometry import GEOMETRIES
from fastmix.plan import plan_network


def free_ports(n):
    """Ports that were free a moment ago."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(n)]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


@asynccontextmanager
async def parties(folder, geometry="wan", clients=2):
    """A network of plain nodes, two a layer; yields (the plan, the peer's network, secrets in the order of the clients)."""
    places = [("127.0.0.1", port) for port in free_ports(6)]
    plan = plan_network(
        [places[:2], places[2:4], places[4:]], clients, geometry=GEOMETRIES[geometry], mean_delay_ns=5_000_000
    ).write(folder / "network")
    net = Net(plan.network.path)
    async with AsyncExitStack() as stack:
        for node in plan.network.nodes:
            party = PeerNode(net, node.number, plan.secrets[node.number])
            await party.open(node.address)
            stack.callback(party.close)
        yield plan, net, [plan.secrets[client.peer_id] for client in plan.network.clients]


def our_client(plan, at, **options):
    """A slow one: its covers go through six plain nodes on one thread, which a busy machine must keep up with."""
    client = plan.network.clients[at]
    return Client(plan.network, client.peer_id, plan.secrets[client.peer_id], send_rate=20.0, retransmit_after=3.0, **options)


@pytest.mark.parametrize("geometry", ["wan", "jumbo"])
async def test_our_client_and_the_plain_one(tmp_path, geometry):
    draw = random.Random(geometry)
    async with parties(tmp_path, geometry) as (plan, net, secrets), our_client(plan, 0) as ours:
        plain = PeerClient(net, plan.network.clients[1].peer_id, secrets[1])
        await plain.open(("127.0.0.1", 0))
        try:
            for size in (0, 1, 730, 960, 5000):
                data = draw.randbytes(size)
                await ours.send(Address.from_bytes(plain.address), data)
                assert (await plain.inbox.get())[1:] == (data, None)
                await plain.send(ours.address.to_bytes(), data)
                assert (await ours.receive()).data == data
            assert not plain.dropped
        finally:
            plain.close()
        assert ours.counters.difference() == 0


async def test_answers_both_ways(tmp_path):
    async with parties(tmp_path) as (plan, net, secrets), our_client(plan, 0) as ours:
        plain = PeerClient(net, plan.network.clients[1].peer_id, secrets[1])
        await plain.open(("127.0.0.1", 0))
        try:
            asking = asyncio.create_task(ours.request(Address.from_bytes(plain.address), b"a?", reply_size=3000))
            records, data, _ = await plain.inbox.get()
            assert data == b"a?"
            await plain.answer(records, bytes(range(250)) * 12)
            assert await asking == bytes(range(250)) * 12

            asked = asyncio.create_task(plain.send(ours.address.to_bytes(), b"b?", n_surbs=6))
            message = await ours.receive()
            await ours.reply(message, b"b!" * 1500)
            assert await plain.inbox.get() == ([], b"b!" * 1500, await asked)
        finally:
            plain.close()


async def test_two_of_ours(tmp_path):
    async with parties(tmp_path) as (plan, _, _), our_client(plan, 0) as a, our_client(plan, 1) as b:
        contents = [random.Random(i).randbytes(400 * i) for i in range(10)]
        results = await asyncio.gather(*(a.send(b.address, data) for data in contents))
        received = [(await b.receive()) for _ in contents]
        assert sorted(message.data for message in received) == sorted(contents)
        assert {message.id for message in received} == {sent.id for sent in results}
