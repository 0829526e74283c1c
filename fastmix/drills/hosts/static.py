"""A network whose file is written beforehand: three layers on hosts of a `Lan`, keys that rotate, and clients."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastmix.client import Address
from fastmix.config import MixnodeConfig
from fastmix.drills.hosts.lan import Host
from fastmix.drills.hosts.layout import PORT, Layout
from fastmix.files.durations import duration_ns
from fastmix.packet.geometry import GEOMETRIES
from fastmix.plan import identity_table, plan_network, store_path


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
        head = f'number = {number}\nnetwork = "../network/network.toml"\n'
        return head + self.layout.config_lines() + identity_table(store_path(Path("../network"), number))

    def node_command(self, number: int) -> list[str]:
        """The arguments of `fastmix` that start the node."""
        return ["run", str(self._config_path(number))]

    def node_config(self, number: int) -> MixnodeConfig:
        """As the node will read it."""
        return MixnodeConfig.load(self._config_path(number))

    def is_formed(self, states: Sequence[Path]) -> bool:
        """From the start."""
        return True

    def node_address(self, number: int) -> tuple[str, int]:
        """Where the node's datagrams go."""
        return self.network.node(number).address

    def words(self) -> dict[str, list[bytes]]:
        """What must not be seen on the wire."""
        network, plan = self.network, self.plan
        publics = [*(client.sphinx_public for client in network.clients), *(node.identity for node in network.nodes)]
        return {
            "peer_ids": [client.peer_id for client in network.clients],
            "keys": [*publics, *plan.secrets.values(), *plan.link_secrets],
        }

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
