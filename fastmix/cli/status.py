"""`fastmix status`: state and counters of a running node."""

import tomllib
from pathlib import Path
from shlex import quote
from typing import Any

from fastmix.cli.output import print_json, print_table
from fastmix.control.ask import ask
from fastmix.errors import ConfigError
from fastmix.files.toml import toml_text
from fastmix.status import Metrics, ReplaySetStatus


def status(node: Path, /, *, settings: bool = False, json: bool = False) -> None:
    """Ask a running node for its state, its counters, and what its machine can do.

    Parameters
    ----------
    node
        The node's configuration file, or its state directory.
    settings
        Show every setting of the node, and whether the file, the profile or the default says so.
    json
        Print one JSON object.
    """
    state_dir = node if node.is_dir() else state_dir_of(node)
    start = start_of(node)
    if settings:
        show_settings(ask(state_dir, "settings", start=start), json)
        return
    told, metrics = ask(state_dir, "status", start=start), Metrics(**ask(state_dir, "metrics", start=start))
    if json:
        print_json({"status": told, "metrics": metrics.to_dict()})
        return
    print_table([(name.replace("_", " "), value) for name, value in rows(told, metrics)])


def show_settings(found: dict[str, dict[str, Any]], json: bool) -> None:
    """Name, origin and value of each setting, in the words of a configuration file."""
    if json:
        print_json(found)
    else:
        print_table([(name, one["from"], toml_text(one["value"])) for name, one in found.items()])


def start_of(node: Path) -> str:
    """What starts the node of a configuration file or a state directory."""
    return "fastmix run, with the configuration that names this state_dir" if node.is_dir() else f"fastmix run {quote(str(node))}"


def state_dir_of(config: Path) -> Path:
    """The state directory that a configuration file names, without reading the rest of it."""
    try:
        return config.parent / str(tomllib.loads(config.read_text())["state_dir"])
    except OSError as error:
        raise ConfigError(f"{config}: {error.strerror}: name the node's configuration file or its state directory") from None
    except (ValueError, KeyError) as error:
        why = "it names no state_dir" if isinstance(error, KeyError) else f"it is no TOML file: {error}"
        raise ConfigError(f"{config}: {why}: name the node's configuration file") from None


def replay_rows(sets: list[ReplaySetStatus]) -> list[tuple[str, str]]:
    """One of each live key."""
    return [("replay set" if each.slot is None else f"replay set of slot {each.slot}", each.text) for each in sets]


def rows(told: dict[str, Any], metrics: Metrics) -> list[tuple[str, object]]:
    """What a person wants to see: who, since when, what came and went, what was dropped and why."""
    by_worker = told["received_by_worker"]
    drops = [(reason, n) for reason, n in metrics.dropped.items() if n]
    return [
        ("node", told["node_id"]),
        ("state", told["state"]),
        ("uptime", f"{told['uptime']:.0f} s"),
        ("profile", told["profile"] or "none"),
        ("capacity", f"{told['unwraps_per_s']} unwraps/s a core ({told['isa']})"),
        ("io", told["io"]),
        ("load", f"{told['load_percent']:.1f} %"),
        ("links heard", told["active_connections"]),
        *([("received by worker", ", ".join(map(str, by_worker)))] if len(by_worker) > 1 else []),
        *replay_rows([ReplaySetStatus(**each) for each in told["replay_sets"]]),
        ("cover", told["cover"]),
        *metrics.counters.items(),
        *drops,
        ("conservation", metrics.conservation or "exact"),
    ]
