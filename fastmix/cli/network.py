"""`fastmix network`: reading network files."""

from pathlib import Path
from typing import TYPE_CHECKING

from fastmix.cli.output import print_json, print_table
from fastmix.errors import ConfigError
from fastmix.files.addresses import format_address
from fastmix.network import End, Network

if TYPE_CHECKING:
    from fastmix.keys.slots import SlotTimes


def check(path: Path, /, *, secrets_of: str | None = None, json: bool = False) -> None:
    """Check a network file, whether the published keys have slots of one length, and the link secrets of one of its ends.

    Parameters
    ----------
    path
        The network file.
    secrets_of
        A node's number or a client's peer id: read and check the secrets of its links, too.
    json
        Print one JSON object instead of a table.
    """
    network = Network.load(path)
    if secrets_of is not None:
        from fastmix.links.static import StaticLinkRoots

        StaticLinkRoots(network, named_end(secrets_of))
    if network.rotates:
        check_slots(network)
    if json:
        print_json(summary(network))
        return
    print(
        f"{path}: good. {len(network.nodes)} nodes, {len(network.clients)} clients, {len(network.links)} links, "
        f"{sum(1 for _ in network.routes())} routes; geometry {network.geometry.name}, "
        f"mean delay {network.mean_delay_ns / 1e6:g} ms, {network.classes} priority classes"
    )
    print_table(
        [("node", "layer", "address", "links")]
        + [(node.number, node.layer, format_address(node.address), len(network.links_of(node.number))) for node in network.nodes]
    )


def check_slots(network: Network, own: "tuple[int, SlotTimes] | None" = None) -> None:
    """`ConfigError` where nodes have published that they have slots of different lengths. `own`: a node's number and what it
    will publish next, whatever it has published."""
    import time

    from fastmix.descriptor import check_same_slots, published_times

    rotating = {node.number: (network.path.parent / node.descriptor, node.identity) for node in network.nodes}
    found = published_times(rotating, time.time_ns())
    check_same_slots(network.path, found if own is None else found | dict([own]))


def named_end(text: str) -> End:
    """A node's number or a client's peer id, as written on a command line."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ConfigError(f"{text!r} is neither a node's number nor a peer id of 64 hex digits") from None


def summary(network: Network) -> dict[str, object]:
    """What `--json` prints."""
    return {
        "geometry": network.geometry.name,
        "mean_delay_ms": network.mean_delay_ns / 1e6,
        "classes": network.classes,
        "routes": sum(1 for _ in network.routes()),
        "nodes": [
            {
                "number": node.number,
                "layer": node.layer,
                "address": format_address(node.address),
                "links": len(network.links_of(node.number)),
            }
            for node in network.nodes
        ],
        "clients": [{"peer_id": client.peer_id.hex(), "exit": client.exit} for client in network.clients],
        "links": len(network.links),
    }
