"""A network that forms by itself: every node knows the text of the first one, and nothing else of the others."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastmix.config import MixnodeConfig
from fastmix.control.ask import ask
from fastmix.directory.admission import TOKEN_SIZE
from fastmix.directory.bootstrap import Bootstrap
from fastmix.directory.token_file import write_token_hash
from fastmix.drills.hosts.lan import Host
from fastmix.drills.hosts.layout import PORT, Layout
from fastmix.errors import FastmixError
from fastmix.files.durations import format_duration
from fastmix.keys.hierarchy import Identity
from fastmix.plan import identity_table, write_store
from fastmix.tls.greeting import pin_of

CONTROL_PORT = 9100
STORE = "identity.keys"


class FormingNetwork:
    """The files, in a directory: an identity and a configuration for each node. The first node makes the network, and lets in
    whoever has its token."""

    def __init__(self, layout: Layout, hosts: Sequence[Host], directory: Path) -> None:
        """Node n is on the n-th host, the clients are on those behind them."""
        self.layout, self.directory = layout, directory
        self._addresses = [host.address for host in hosts[: layout.nodes]]
        self.identities = [self._make_identity(number) for number in range(layout.nodes)]
        token = os.urandom(TOKEN_SIZE)
        write_token_hash(self.node_directory(0) / STORE, token)
        self.bootstrap = str(Bootstrap(self._addresses[0], CONTROL_PORT, pin_of(self.identities[0]), token))
        for number in range(layout.nodes):
            self._config_path(number).write_text(self._config(number))

    def _make_identity(self, number: int) -> bytes:
        self.node_directory(number).mkdir(mode=0o700)
        with Identity.fresh() as identity:
            write_store(self.node_directory(number) / STORE, identity)
            return identity.public

    def node_directory(self, number: int) -> Path:
        """Its configuration, its identity, its state, its log."""
        return self.directory / f"node-{number}"

    def _config_path(self, number: int) -> Path:
        return self.node_directory(number) / "node.toml"

    def _config(self, number: int) -> str:
        host = self._addresses[number]
        head = f'node_id = "node-{number}"\nlisten_addr = "{host}:{PORT}"\n'
        join = (
            f'[join]\nbootstrap = {json.dumps([self.bootstrap] if number else [])}\ncontrol_addr = "{host}:{CONTROL_PORT}"\n'
            f'geometry = "{self.layout.geometry}"\nmean_delay = "{format_duration(self.layout.mean_delay)}"\n'
        )
        no_cover = "[cover]\nrate = 0.0\nfill = 0.0\n"  # a drill counts to the last packet, which takes an end of them
        return head + self.layout.config_lines() + identity_table(Path(STORE)) + join + no_cover

    def node_command(self, number: int) -> list[str]:
        """The arguments of `fastmix` that start the node."""
        return ["run", str(self._config_path(number))]

    def node_config(self, number: int) -> MixnodeConfig:
        """As the node will read it."""
        return MixnodeConfig.load(self._config_path(number))

    def is_formed(self, states: Sequence[Path]) -> bool:
        """Whether all believe one document, which names so many nodes, and each is linked with all of other layers."""
        told = [shown(state) for state in states]
        if any(not each.get("ready") or len(each["nodes"]) != len(states) for each in told):
            return False
        return len({each["hash"] for each in told}) == 1 and all(map(is_linked, told))

    def node_address(self, number: int) -> tuple[str, int]:
        """Where the node's datagrams go."""
        return self._addresses[number], PORT

    def words(self) -> dict[str, list[bytes]]:
        """What must not be seen on the wire."""
        return {"keys": list(self.identities)}

    def client_setup(self, at: int) -> dict[str, Any]:
        """What a client's process has to be told so that it can join."""
        return {
            "bootstrap": self.bootstrap, "send_rate": self.layout.send_rate, "record": str(self.record_path(at)),
        }  # fmt: skip

    def record_path(self, at: int) -> Path:
        """Where a client writes down the `kx_public`s of all that it builds, 32 bytes each."""
        return self.directory / f"kx-{at}"


def shown(state: Path) -> dict[str, Any]:
    """What a node says of its network; nothing where it does not answer."""
    try:
        told: dict[str, Any] = ask(state, "network")
    except (FastmixError, OSError):
        return {}
    return told


def is_linked(told: dict[str, Any]) -> bool:
    """Whether packets can leave for every node of another layer."""
    own = next((node["layer"] for node in told["nodes"] if node["identity"] == told["identity"]), None)
    return own is not None and all(node["link"] == "up" for node in told["nodes"] if node["layer"] != own)
