"""A network whose file is written beforehand: three layers on hosts of a `Lan`, keys that rotate, and clients."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from fastmix.client import Address
from fastmix.config import MixnodeConfig
from fastmix.drills.hosts.lan import Host
from fastmix.files.durations import duration_ns, format_duration
from fastmix.packet.geometry import GEOMETRIES
from fastmix.plan import identity_table, plan_network, store_path
from fastmix.seam.pair import pair_size

PORT = 9000
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


class StaticNetwork:
    """The files, in a directory, and from them how each node and each client is started."""

    def __init__(self, layout: Layout, hosts: Sequence[Host], directory: Path) -> None:
        """Node n is on the n-th host, the clients are on those behind them; clients need no address beforehand."""
        self.layout, self.directory = layout, directory
        addresses = iter([(host.address, PORT) for host in hosts[: layout.nodes]])
        self.plan = plan_network(
            [[next(addresses) for _ in range(width)] for width in layout.widths], layout.clients,
            geometry=GEOMETRIES[layout.geometry], mean_delay_ns=duration_ns(layout.mean_delay), rotates=True,
        ).write(directory / "network")  # fmt: skip
        self.network = self.plan.network
        for node in self.network.nodes:
            self.node_directory(node.number).mkdir()
            self._config_path(node.number).write_text(self._config(node.number))

    def node_directory(self, number: int) -> Path:
        """Its configuration, its state, its log."""
        return self.directory / f"node-{number}"

    def _config_path(self, number: int) -> Path:
        return self.node_directory(number) / "node.toml"

    def _config(self, number: int) -> str:
        layout = self.layout
        interval = max(layout.slot, timedelta(minutes=10))
        return "\n".join((
            f"number = {number}", 'network = "../network/network.toml"', 'state_dir = "state"', "workers = 1",
            "allow_swap = true  # its keys die with it", f"replay_capacity = {layout.replay_capacity}",
            "[mixing]", f'max_latency = "{format_duration(layout.max_latency)}"', "[keys]",
            f'slot = "{format_duration(layout.slot)}"', f'early = "{format_duration(layout.early)}"',
            f'late = "{format_duration(layout.late)}"', f'interval = "{format_duration(interval)}"',
            'overlap_period = "1min"', 'chain = "memory"', identity_table(store_path(Path("../network"), number)),
        ))  # fmt: skip

    def node_command(self, number: int) -> list[str]:
        """The arguments of `fastmix` that start the node."""
        return ["run", str(self._config_path(number))]

    def node_config(self, number: int) -> MixnodeConfig:
        """As the node will read it."""
        return MixnodeConfig.load(self._config_path(number))

    def client_setup(self, at: int) -> dict[str, Any]:
        """What a client's process has to be told so that it can join."""
        client = self.network.clients[at]
        return {
            "network": str(self.network.path), "peer_id": client.peer_id.hex(), "send_rate": self.layout.send_rate,
            "secret": str(self.plan.secret_path(self.directory / "network", client.peer_id)),
            "record": str(self.record_path(at)),
        }  # fmt: skip

    def client_address(self, at: int) -> Address:
        """Where others send to it."""
        client = self.network.clients[at]
        return Address(client.peer_id, client.sphinx_public, self.network.index(client.exit))

    def record_path(self, at: int) -> Path:
        """Where a client writes down the `kx_public`s of all that it builds, 32 bytes each."""
        return self.directory / f"kx-{at}"
