"""`fastmix demo`: a whole network on this machine."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from fastmix.demo.options import DemoOptions
from fastmix.errors import ConfigError


def demo(
    *,
    messages: Annotated[int, Parameter(validator=Number(gte=1, lte=1_000_000))] = 1000,
    file: Path | None = None,
    geometry: Literal["wan", "jumbo"] = "wan",
    strategy: str = "poisson",
    seed: Annotated[int | None, Parameter(validator=Number(gte=0, lt=1 << 64))] = None,
    slot: str | None = None,
    json: bool = False,
) -> int:
    """Run a whole mix network on this machine and send messages through it.

    Three layers of two nodes and two clients, each a process of its own, on loopback. Real messages of 1 B to 64 KB go
    through three hops to the other client, replies come back anonymously. Exit code 0 only if every message was delivered
    unchanged and every packet is accounted for.

    Parameters
    ----------
    messages
        How many messages to send.
    file
        Send this file instead, and verify its hash on arrival.
    geometry
        Packet sizes: wan (data 996 bytes, packet 1,200) or jumbo (2,048 and 2,252).
    strategy
        Mixing strategy: poisson, timed, size, adaptive, priority, or an import path "package.module:Class".
    seed
        Makes contents and routes repeatable; never keys or shuffle.
    slot
        Let the nodes' keys live for slots of this length, such as 10s, and change under the traffic.
    json
        Print one JSON object at the end and nothing else.
    """
    from fastmix.config import MixingConfig

    MixingConfig(strategy=strategy)
    if file is not None and not file.is_file():
        what = "is not a regular file" if file.exists() else "there is no such file"
        raise ConfigError(f"--file {file}: {what}: name a file to send")
    from fastmix.demo.main import run

    return run(DemoOptions(messages, file, geometry, strategy, seed, json, slot_of(slot)))


def slot_of(text: str | None) -> timedelta | None:
    """The length of a slot. `ConfigError` where it is none, or the graces of the demo's network do not fit."""
    if text is None:
        return None
    from fastmix.files.durations import parse_duration

    try:
        slot = parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"--slot {text!r} {error}") from None
    if not timedelta(seconds=4) <= slot <= timedelta(hours=1):
        raise ConfigError(f"--slot {text}: the graces of this network need a slot of 4s to 1h")
    return slot
