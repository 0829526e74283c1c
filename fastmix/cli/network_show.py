"""`fastmix network show`: the network as a running node knows it."""

import time
from pathlib import Path
from typing import Any

from fastmix.cli.network_home import config_of
from fastmix.cli.output import print_json, print_table
from fastmix.cli.status import start_of, state_dir_of
from fastmix.control.ask import SOCKET_NAME, ask


def show(node: Path | None = None, /, *, json: bool = False) -> int:
    """Show the network that a running node is in: exit code 0 if packets find a way through it, 1 otherwise.

    Parameters
    ----------
    node
        The node's home, configuration file or state directory. By default the first home of `fastmix run` without a file.
    json
        Print one JSON object.
    """
    if node is not None and node.is_dir() and (node / SOCKET_NAME).exists():
        state_dir = start = node
    else:
        start = config_of(node)
        state_dir = state_dir_of(start)
    found = ask(state_dir, "network", start=start_of(start))
    if json:
        print_json(found)
    else:
        tell(found)
    return int(not found.get("ready"))


def tell(found: dict[str, Any]) -> None:
    """In words, and a table of the nodes."""
    print_table(facts(found), wrap=True)
    if found.get("nodes"):
        print_table([("node", "layer", "identity", "address", "control", "state", "link"), *map(row, found["nodes"])])


def facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and text of each line."""
    lines = [("identity", found["identity"]), ("others come in by", found["bootstrap"])]
    if "network" in found:
        n = len(found["authorities"])
        lines += [
            ("network", found["network"]),
            ("signed by", f"{found['threshold']} of {n} {'authority' if n == 1 else 'authorities'}"),
        ]
    if "epoch" in found:
        left_s = (found["valid_until_ns"] - time.time_ns()) / 1e9
        good = f"good for {left_s / 60:.0f} min more" if left_s > 0 else "over"
        lines.append(("document", f"epoch {found['epoch']}, {found['hash'][:16]}, {good}"))
        lines.append(("ready", "yes" if found["ready"] else f"no: {len(found['nodes'])} nodes, and three layers need one each"))
    if found["problem"]:
        lines.append(("problem", found["problem"]))
    return lines


def row(node: dict[str, Any]) -> tuple[object, ...]:
    """A node's line."""
    state = "up" if node["up"] else "away"
    return node["number"], node["layer"], node["identity"][:16], node["address"], node["control"], state, node["link"]
