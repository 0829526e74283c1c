"""A client joins a network that has formed itself, over real TLS and UDP, and goes around what fails in it."""

import asyncio
import time

from formed_network import FormedNetwork, formed_network

from fastmix.client import Client
from fastmix.network import NODE_ID_PREFIX

RATE = 100.0


def client_of(network: FormedNetwork, at: int = 0, **options: object) -> Client:
    return Client.join(network.nodes[at].bootstrap, **({"send_rate": RATE, "retransmit_after": 0.4, "patience": 20.0} | options))


async def until(what, seconds: float = 20.0):
    give_up = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < give_up, "it never came"
        await asyncio.sleep(0.02)
    return answer


async def test_two_clients_send_to_each_other() -> None:
    async with formed_network(3) as network, client_of(network) as alice, client_of(network, 1) as bob:
        assert alice.address.peer_id != bob.address.peer_id
        assert not alice.address.peer_id.startswith(NODE_ID_PREFIX)
        sent = await alice.send(bob.address, b"hello" * 1000)
        message = await bob.receive()
        assert (message.data, message.id) == (b"hello" * 1000, sent.id)
        asking = asyncio.create_task(bob.request(alice.address, b"ping"))
        question = await alice.receive()
        await alice.reply(question, b"pong")
        assert await asking == b"pong"
        exits = {entry.identity for entry in network.last.document.entries if entry.layer == 3}
        for node in network.nodes:
            known = {visitor.identity for visitor in node.visitors}
            assert (alice.address.peer_id in known) == (node.public in exits), "only the exit learns who the client is"
        assert alice.counters.difference() == bob.counters.difference() == 0
