"""A client joins a network that has formed itself, over real TLS and UDP, and goes around what fails in it."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest
from formed_network import FormedNetwork, formed_network, other_of_the_epoch

from fastmix import BatchTimeout, ConfigError, NetworkFailure
from fastmix.client import Client, exchanged, line
from fastmix.client.state import GRACE_NS, KEY_LIFE_NS
from fastmix.directory.bootstrap import Bootstrap
from fastmix.directory.succession import Proof, check_proof
from fastmix.network import NODE_ID_PREFIX
from fastmix.packet.verdict import Verdict

RATE = 40.0


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


async def deliver(sender: Client, to: Client, n: int = 5, timeout: float = 20.0) -> None:
    """Messages that all arrive."""
    texts = {f"message {at}".encode() for at in range(n)}
    await asyncio.gather(*(sender.send(to.address, text, timeout=timeout) for text in texts))
    assert {(await to.receive()).data for _ in range(n)} == texts


async def test_a_network_that_is_not_ready_is_waited_for() -> None:
    told: list[str] = []
    async with formed_network(3, publish=False) as network:
        network.publish(network.make(network.nodes[:2]))
        client = client_of(network, tell=told.append)
        starting = asyncio.create_task(client.start())
        await until(lambda: told)
        assert told == ["the network is not ready: it has 2 nodes, and needs three, one in each layer; waiting"]
        network.publish()
        await asyncio.wait_for(starting, 20)
        await deliver(client, client)
        await client.stop()


async def test_bootstrap_nodes_that_fail_are_named() -> None:
    async with formed_network(3) as network:
        dead = network.nodes[0].bootstrap
        await network.nodes[0].kill()
        other = Bootstrap(*network.nodes[1].door.address, bytes(32))
        told: list[str] = []
        client = Client.join([dead, other], patience=1.0, tell=told.append)
        with pytest.raises(NetworkFailure, match="given up after 1 s") as error:
            await client.start()
        for words in ("Connect call failed", "the server's PIN is", "trying the others, and again"):
            assert words in str(error.value)
        assert len(told) == 2, "each is told once"
        with pytest.raises(NetworkFailure, match="has not joined"):
            _ = client.address
    for text, words in (("127.0.0.1:9", "has no PIN.*--trust-first"), ([], "no bootstrap"), ("x#", "write HOST:PORT#PIN")):
        with pytest.raises(ConfigError, match=words):
            Client.join(text)


async def test_it_goes_around_an_entry_that_dies() -> None:
    async with formed_network(6) as network, client_of(network, 0) as alice, client_of(network, 1) as bob:
        await network.in_layer(1)[0].kill()
        await until(lambda: alice._session.keys.lacking and bob._session.keys.lacking, 5)
        dropped = alice.counters.dropped[Verdict.DROP_NO_LINK]
        await deliver(alice, bob)
        assert alice.counters.dropped[Verdict.DROP_NO_LINK] == dropped


async def test_it_goes_around_a_node_that_loses_its_loops() -> None:
    """A node of the second layer that takes packets and forwards none: only loops show it."""
    async with formed_network(6) as network, client_of(network, 0) as alice, client_of(network, 1) as bob:
        bad = network.in_layer(2)[0]
        bad.loses = True
        why = await until(lambda: alice._session.keys.lacking.get(bad.number), 15)
        assert "its loops do not come back" in why
        assert set(alice._session.keys.lacking) == {bad.number}
        await until(lambda: bob._session.keys.lacking, 15)
        before = alice.counters.fragments_retransmitted
        await deliver(alice, bob)
        assert alice.counters.fragments_retransmitted == before


async def test_it_goes_around_a_node_that_falls_silent() -> None:
    async with formed_network(6) as network, client_of(network, 0) as alice:
        quiet = network.in_layer(1)[0]
        quiet.silent = True
        await until(lambda: quiet.number in alice._session.keys.lacking, 8)
        quiet.silent = False
        await until(lambda: not alice._session.keys.lacking, 30)
        await deliver(alice, alice)


@pytest.mark.parametrize("how", ["killed", "down", "left"])
async def test_it_takes_another_exit(how: str) -> None:
    told: list[str] = []
    async with formed_network(6) as network, client_of(network, 0) as alice, client_of(network, 1, tell=told.append) as bob:
        before = bob.address
        gone = network.by_number[before.exit_index]
        if how == "killed":
            await gone.kill()
        else:
            network.down |= {gone.public} if how == "down" else set()
            network.publish(network.make([node for node in network.nodes if node is not gone or how == "down"]))
        await until(lambda: bob.address != before and not bob._session.problem, 15)
        await until(lambda: not alice._session.why_waiting(bob.address), 15)  # she may have had the same exit
        assert (bob.address.peer_id, bob.address.sphinx_public) == (before.peer_id, before.sphinx_public)
        await deliver(alice, bob)
        assert how == "left" or any(str(bob.address) in text for text in told)


async def test_a_recipient_whose_exit_is_gone_is_named() -> None:
    async with formed_network(6) as network, client_of(network, 0) as alice, client_of(network, 1) as bob:
        old = bob.address
        gone = network.by_number[old.exit_index]
        sending = asyncio.create_task(alice.send(old, bytes(200_000), timeout=6.0))
        await asyncio.sleep(0.3)
        await gone.kill()
        network.publish(network.make([node for node in network.nodes if node is not gone]))
        with pytest.raises(BatchTimeout, match=rf"no route leads to node {gone.number}: .*ask for the recipient's new address"):
            await sending
        with pytest.raises(ConfigError, match=f"has no node {gone.number}"):
            await alice.send(old, b"")


async def test_links_are_renewed_without_losing_a_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "RENEW_S", 0.3)
    monkeypatch.setattr(line, "POLL_S", 0.1)
    monkeypatch.setattr(exchanged, "OVERLAP_S", 0.5)
    async with formed_network(3) as network, client_of(network) as alice:
        began = time.monotonic()
        while time.monotonic() < began + 4:
            await deliver(alice, alice, 2)
        alice.hush()
        await until(lambda: not alice._standing._watch.n_out)
        made = max(len(links) for node in network.nodes for links in node.links.values())
        assert made > 6
        assert len(alice._standing._wire.incoming()) <= 3 * 3, "old roots are wiped"
        assert not any(verdict for node in network.nodes for verdict in node.verdicts)
        assert not alice.counters.dropped
        assert alice.counters.fragments_retransmitted == 0


@pytest.mark.parametrize("proves", [False, True])
async def test_two_documents_of_one_epoch_end_it(tmp_path: Path, proves: bool) -> None:
    """Whether its nodes have one each, or one has the proof."""
    async with formed_network(3) as network:
        network.publish()
        client = client_of(network, state=tmp_path / "state")
        async with client:
            other = other_of_the_epoch(network)
            if proves:
                network.nodes[1].proof = Proof(network.last.envelope, other.envelope).to_bytes()
            else:
                entry = network.in_layer(1)[0]
                entry.documents = [*network.documents[:-1], other.envelope.to_bytes()]
            with pytest.raises(NetworkFailure, match=r"two directory documents of one epoch .*the proof is in"):
                await asyncio.wait_for(client.receive(), 20)
            with pytest.raises(NetworkFailure, match="the client has ended: authorities of this network have signed two"):
                await client.send(client.address, b"")
        proof = (tmp_path / "state" / "equivocation.proof").read_bytes()
        assert check_proof(proof, network.rule) == network.last.document.epoch


async def test_state_is_kept(tmp_path: Path) -> None:
    async with formed_network(6) as network:
        async with client_of(network, state=tmp_path / "a") as client:
            first = client.address
            with pytest.raises(ConfigError, match="another client uses this directory"):
                await client_of(network, state=tmp_path / "a").start()
        async with client_of(network, 3, state=tmp_path / "a") as again, client_of(network, state=tmp_path / "b") as other:
            assert again.address == first
            assert other.address.peer_id != first.peer_id
            await deliver(other, again, 2)
            await deliver(again, other, 2)
        assert {path.stat().st_mode & 0o777 for path in (tmp_path / "a").iterdir()} == {0o600}


async def test_a_sphinx_key_is_good_for_a_day() -> None:
    async with formed_network(3) as network, client_of(network) as alice, client_of(network) as bob:
        old = bob.address
        key = bob._standing._state.keys[0]
        bob._standing._state.keys[0] = replace(key, made_ns=key.made_ns - KEY_LIFE_NS)
        await until(lambda: bob.address != old)
        assert bob.address.exit_index == old.exit_index
        await deliver(alice, bob, 2)
        await alice.send(old, b"to the address of yesterday", timeout=10)
        assert (await bob.receive()).data == b"to the address of yesterday"
        before = bob._standing._state.keys[1]
        bob._standing._state.keys[1] = replace(before, made_ns=before.made_ns - GRACE_NS)
        await until(lambda: len(bob._standing._state.keys) == 1)
        with pytest.raises(BatchTimeout):
            await alice.send(old, b"too late", timeout=1.5)
