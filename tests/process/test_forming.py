"""Three real nodes form a network from one bootstrap text."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from forming import FormingNode, until

from fastmix.client import Client


async def answer(client: Client) -> None:
    await client.reply(await client.receive(), b"heard")


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[FormingNode]]:
    first = FormingNode(tmp_path / "n0", "n0")
    nodes = [first, *(FormingNode(tmp_path / f"n{i}", f"n{i}", [first.text]) for i in (1, 2))]
    yield nodes
    for node in nodes:
        if node.process is not None:
            node.stop(signal.SIGKILL)


async def test_three_nodes_find_each_other_and_carry_messages(nodes: list[FormingNode]) -> None:
    """Two clients know one bootstrap text. All links are made anew for each; at the end every node has lost nothing."""
    for node in nodes:
        node.start()

    def told() -> str:
        return "\n".join(f"{node.name}\n{node.log}\n{node.network()}" for node in nodes)

    until(lambda: all(node.linked() == 2 for node in nodes), told)
    found = [node.network() for node in nodes]
    assert len({each["hash"] for each in found}) == 1
    assert sorted(each["layer"] for each in found[0]["nodes"]) == [1, 2, 3]
    assert {each["identity"] for each in found[0]["nodes"]} == {node.identity.hex() for node in nodes}
    async with Client.join(nodes[0].text) as alice, Client.join(nodes[2].text) as bob:
        answering = asyncio.create_task(answer(bob))
        assert await alice.request(bob.address, b"over nodes that nobody has told of each other", timeout=60) == b"heard"
        await answering
    until(lambda: all(node.ask("metrics")["loops_returned"] for node in nodes), told)
    for node in nodes:
        node.process.terminate()
    assert [node.process.wait(60) for node in nodes] == [0, 0, 0]
    assert all("leaving: the network is told" in node.log for node in nodes)
