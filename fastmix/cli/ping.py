"""`fastmix ping`: loops through the nodes of a network that forms itself."""

import asyncio
from typing import TYPE_CHECKING, Any

from fastmix.cli.joining import client_of
from fastmix.cli.output import print_json, print_table
from fastmix.errors import BatchTimeout, ConfigError, NetworkFailure

if TYPE_CHECKING:
    from fastmix.client import Client

AT_ONCE = 8


def ping(
    nodes: list[int] | None = None, /, *, bootstrap: list[str] | None = None, trust_first: bool = False, count: int = 3,
    rate: float = 50.0, timeout: float = 10.0, json: bool = False,
) -> int:  # fmt: skip
    """Send loops through nodes and say how long they take; exit code 1 if none comes back through one of them.

    A loop goes through a node of each layer and back by the first, with four mixing delays; the others on it are drawn anew each
    time.

    Parameters
    ----------
    nodes
        Numbers of nodes; by default all.
    bootstrap
        A node of the network, HOST:PORT#PIN[?token], as it prints it; several times for several. Or $FASTMIX_BOOTSTRAP.
    trust_first
        Take a bootstrap without PIN: whoever answers there is believed.
    count
        Loops through each node.
    rate
        Packets a second.
    timeout
        Seconds that a loop has to come back, and that the network has to be joined.
    json
        Print one JSON array instead of a table.
    """
    if count < 1 or timeout <= 0:
        raise ConfigError("--count is at least 1, and --timeout above 0 seconds")
    client = client_of(bootstrap, trust_first=trust_first, rate=rate, patience=max(timeout, 10.0))
    told = asyncio.run(_ping(client, nodes, count, timeout))
    if json:
        print_json(told)
    else:
        header = ("node", "layer", "address", "identity", "back", "least", "mean", "most", "")
        print_table([header, *(_row(each) for each in told)])
    return int(any(not each["back"] for each in told))


def _row(told: dict[str, Any]) -> tuple[object, ...]:
    times = told["ms"]
    shown = (f"{min(times):.0f} ms", f"{sum(times) / len(times):.0f} ms", f"{max(times):.0f} ms") if times else ("-", "-", "-")
    back = f"{told['back']} of {told['sent']}"
    return told["node"], told["layer"], told["address"], told["identity"][:16], back, *shown, told["why"]


async def _ping(client: "Client", nodes: list[int] | None, count: int, timeout: float) -> list[dict[str, Any]]:
    from fastmix.bench.progress import progress_bar
    from fastmix.files.addresses import format_address

    with progress_bar("ping") as progress:
        progress(0.0, "joining the network")
        async with client:
            wanted = [client.network.node(number) for number in nodes] if nodes else list(client.network.nodes)
            room, done = asyncio.Semaphore(AT_ONCE), 0

            async def loops(number: int) -> tuple[list[float], str]:
                nonlocal done
                times, why = [], ""
                for _ in range(count):
                    async with room:
                        try:
                            times.append(1000 * await client.ping(number, timeout=timeout))
                        except (BatchTimeout, NetworkFailure) as failure:
                            why = str(failure)
                    done += 1
                    progress(done / (count * len(wanted)), f"{done} of {count * len(wanted)} loops")
                return times, why

            found = await asyncio.gather(*(loops(node.number) for node in wanted))
            return [
                {
                    "node": node.number, "layer": node.layer, "address": format_address(node.address),
                    "identity": node.identity.hex(), "sent": count, "back": len(times), "ms": [round(ms, 1) for ms in times],
                    "why": client.lacking.get(node.number, why if len(times) < count else ""),
                }
                for node, (times, why) in zip(wanted, found, strict=True)
            ]  # fmt: skip
