"""How large a network on hosts is, how it mixes, and whatever else does not depend on how it comes about."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from fastmix.config import MixnodeConfig
from fastmix.files.durations import format_duration
from fastmix.seam.pair import pair_size

PORT = 9000
"""Of every node's datagrams."""
SETS = 4
"""Replay sets of a node that may lie in its directory at once."""
ROOM = 4 << 20
"""Bytes of a node's directory beside them."""


@dataclass(frozen=True)
class Layout:
    """How large a network is and how it mixes. `widths`: nodes of each layer."""

    widths: tuple[int, int, int] = (3, 3, 3)
    clients: int = 3
    geometry: str = "wan"
    mean_delay: timedelta = timedelta(milliseconds=50)
    max_latency: timedelta = timedelta(milliseconds=500)
    slot: timedelta = timedelta(minutes=10)
    early: timedelta = timedelta(seconds=60)
    late: timedelta = timedelta(seconds=120)
    replay_capacity: int = 300_000
    send_rate: float = 200.0
    """Packets/s of each client, real or cover."""

    @property
    def nodes(self) -> int:
        """In all layers."""
        return sum(self.widths)

    @property
    def room(self) -> int:
        """Bytes of all nodes' directories."""
        return self.nodes * (SETS * pair_size(self.replay_capacity) + ROOM)

    @property
    def graces(self) -> dict[str, str]:
        """For the report."""
        return {name: format_duration(getattr(self, name)) for name in ("slot", "early", "late", "max_latency")}

    def config_lines(self) -> str:
        """What all nodes' configurations have in common, identity, addresses and network aside; the last table is [keys]."""
        interval = max(self.slot, timedelta(minutes=10))
        return "\n".join((
            'state_dir = "state"', "workers = 1", "allow_swap = true  # its keys die with it",
            f"replay_capacity = {self.replay_capacity}", "[mixing]", f'max_latency = "{format_duration(self.max_latency)}"',
            "[keys]", f'slot = "{format_duration(self.slot)}"', f'early = "{format_duration(self.early)}"',
            f'late = "{format_duration(self.late)}"', f'interval = "{format_duration(interval)}"', 'overlap_period = "1min"',
            'chain = "memory"', "",
        ))  # fmt: skip


class HostedNetwork(Protocol):
    """A network whose files are written: how each of its nodes and clients is started. Node n is on the n-th host."""

    layout: Layout
    directory: Path

    def node_directory(self, number: int) -> Path:
        """The node's configuration, its `state`, its `log`."""
        ...

    def node_command(self, number: int) -> list[str]:
        """The arguments of `fastmix` that start the node."""
        ...

    def node_config(self, number: int) -> MixnodeConfig:
        """As the node will read it."""
        ...

    def is_formed(self, states: Sequence[Path]) -> bool:
        """Whether these nodes, by their state directories, are all that there are, and each is linked with all that it needs."""
        ...

    def client_setup(self, at: int) -> dict[str, Any]:
        """What a client's process has to be told so that it can join (`member.make_client`)."""
        ...

    def node_address(self, number: int) -> tuple[str, int]:
        """Where the node's datagrams go."""
        ...

    def record_path(self, at: int) -> Path:
        """Where a client writes down the `kx_public`s of all that it builds, 32 bytes each."""
        ...

    def words(self) -> dict[str, list[bytes]]:
        """What must not be seen on the wire, by kind: keys, secrets, ids."""
        ...
