"""Real nodes, each a process of its own, between our client and the plain one."""

import random
from contextlib import AsyncExitStack

from peer_party import Net, PeerClient
from test_peer_interop import free_ports

from fastmix import Mixnode, MixnodeConfig
from fastmix.client import Address, Client
from fastmix.config import MixingConfig
from fastmix.plan import plan_network


async def test_our_client_and_the_plain_one_over_real_nodes(tmp_path):
    places = [("127.0.0.1", port) for port in free_ports(3)]
    plan = plan_network([[place] for place in places], 2, mean_delay_ns=5_000_000).write(tmp_path / "network")
    folder, network = plan.network.path.parent, plan.network
    ours, plain = network.clients
    async with AsyncExitStack() as stack:
        for node in network.nodes:
            config = MixnodeConfig(
                number=node.number,
                network=network.path,
                secret_file=plan.secret_path(folder, node.number),
                state_dir=tmp_path / f"state-{node.number}",
                mixing=MixingConfig(floor=0),
                replay_capacity=100_000,
                allow_swap=True,
            )
            await stack.enter_async_context(Mixnode(config))
        client = await stack.enter_async_context(Client(network, ours.peer_id, plan.secret_path(folder, ours.peer_id)))
        peer = PeerClient(Net(network.path), plain.peer_id, plan.secrets[plain.peer_id])
        await peer.open(("127.0.0.1", 0))
        stack.callback(peer.close)
        for size in (1, 3000):
            data = random.Random(size).randbytes(size)
            await client.send(Address.from_bytes(peer.address), data, timeout=30)
            assert (await peer.inbox.get())[1:] == (data, None)
            asked = await peer.send(client.address.to_bytes(), data, n_surbs=6)
            message = await client.receive()
            assert message.data == data
            await client.reply(message, data[::-1], timeout=30)
            assert await peer.inbox.get() == ([], data[::-1], asked)
        assert not peer.dropped
        assert client.counters.difference() == 0
