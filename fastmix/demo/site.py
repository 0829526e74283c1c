"""Where the demo lives: a private directory with a network file, fresh keys, and a configuration for each node."""

import socket
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from fastmix.demo.options import DemoOptions
from fastmix.errors import ResourceExhausted
from fastmix.files.durations import format_duration
from fastmix.files.temporary import FleetingDirectory
from fastmix.network import Network, NetworkClient
from fastmix.packet.geometry import GEOMETRIES
from fastmix.plan import NetworkPlan, identity_table, plan_network, store_path
from fastmix.process.swap import check_swap

HOST = "127.0.0.1"
LAYERS, WIDTH = 3, 2
MEAN_DELAY_NS = 50_000_000
MAX_LATENCY_MS = 500
REPLAY_CAPACITY = 300_000
"""Packets that a node remembers, at least: minutes at the clients' rates."""
REPLAY_BYTES = 7
"""Of a node's replay set, for each packet."""
PACKETS_PER_MESSAGE = 9
BYTES_PER_PACKET = 900
ROOM = 24 << 20
"""Bytes that the directory needs beside replay sets and file."""
LATE_MS = 2 * (3 * (10 * MEAN_DELAY_NS // 1_000_000 + MAX_LATENCY_MS) + 1000)
"""The shortest late grace that the network allows."""
PRIORITY_RULES = (
    '[[mixing.classes]]\nstrategy = "poisson"\n'
    '[[mixing.classes]]\nstrategy = "timed"\noptions = { interval = "60ms" }\nmax_latency = "250ms"\n'
)


@dataclass(frozen=True, slots=True)
class Relay:
    """Stands before a node on the wire: what comes to `port` goes on to `target`, the port that the node listens on."""

    node: int
    port: int
    target: int


class Site:
    """The directory, made by `with` and gone at its end or with this process, even if that is killed."""

    def __init__(self, options: DemoOptions, relayed: tuple[int, ...] = ()) -> None:
        """`relayed`: numbers of the nodes that have a relay before them."""
        self.options, self._relayed = options, relayed

    def __enter__(self) -> Self:
        self._fleeting = FleetingDirectory("fastmix-demo-", room(self.options))
        self.directory = self._fleeting.__enter__()
        try:
            self._furnish()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._fleeting.__exit__(kind, error, trace)

    def _furnish(self) -> None:
        ports = free_ports(LAYERS * WIDTH + len(self._relayed))
        targets = dict(zip(self._relayed, ports[LAYERS * WIDTH :], strict=True))
        layers = [[(HOST, ports[layer * WIDTH + at]) for at in range(WIDTH)] for layer in range(LAYERS)]
        self.plan: NetworkPlan = plan_network(
            layers,
            2,
            geometry=GEOMETRIES[self.options.geometry],
            classes=2 if self.options.strategy == "priority" else 1,
            mean_delay_ns=MEAN_DELAY_NS,
            rotates=self.options.slot is not None,
        ).write(self.directory / "network")
        self.relays = [Relay(node, ports[node], target) for node, target in targets.items()]
        for node in self.network.nodes:
            self.config_path(node.number).write_text(self._config(node.number, targets.get(node.number)))

    def _config(self, number: int, target: int | None) -> str:
        """A node's configuration file."""
        fixed = [] if self.network.rotates else [f'secret_file = "network/secrets/node-{number}"']
        lines = [
            f"number = {number}",
            'network = "network/network.toml"',
            *fixed,
            f'state_dir = "{self.state_dir(number).name}"',
            f"replay_capacity = {replay_capacity(self.options)}",
            "allow_swap = true  # its keys die with it",
            *([f'listen_addr = "{HOST}:{target}"'] if target is not None else []),
            "[mixing]",
            f'strategy = "{self.options.strategy}"',
            f'max_latency = "{MAX_LATENCY_MS}ms"',
        ]
        rules = PRIORITY_RULES if self.options.strategy == "priority" else ""
        return "\n".join(lines) + "\n" + rules + (keys_tables(self.options.slot, number) if self.options.slot else "")

    @property
    def network(self) -> Network:
        """The network, as its file has it."""
        return self.plan.network

    def config_path(self, number: int) -> Path:
        """The configuration file of a node."""
        return self.directory / f"node-{number}.toml"

    def state_dir(self, number: int) -> Path:
        """The state directory of a node."""
        return self.directory / f"node-{number}"

    def log_path(self, name: str) -> Path:
        """Where a process logs."""
        return self.directory / f"{name.replace(' ', '-')}.log"

    def secret_path(self, client: NetworkClient) -> Path:
        """The Sphinx secret of a client."""
        return self.plan.secret_path(self.directory / "network", client.peer_id)

    def warning(self) -> str | None:
        """What a node would refuse for, were it not a demo."""
        return check_swap(self.directory, True)


def keys_tables(slot: timedelta, number: int) -> str:
    """The part of a node's configuration about keys that rotate, and its identity."""
    late = timedelta(milliseconds=LATE_MS)
    early = max(min(timedelta(seconds=1), 2 * slot - late), timedelta(0))
    return (
        f'[keys]\nslot = "{format_duration(slot)}"\nearly = "{format_duration(early)}"\nlate = "{LATE_MS}ms"\n'
        'interval = "10min"\noverlap_period = "1min"\nchain = "memory"\n' + identity_table(store_path(Path("network"), number))
    )


def replay_capacity(options: DemoOptions) -> int:
    """Four times what one node may see of the messages, for cover takes its part."""
    if options.file is None:
        return max(REPLAY_CAPACITY, 4 * PACKETS_PER_MESSAGE * options.messages)
    return max(REPLAY_CAPACITY, 4 * options.file.stat().st_size // BYTES_PER_PACKET)


def room(options: DemoOptions) -> int:
    """Bytes that the directory may come to hold."""
    received = options.file.stat().st_size if options.file is not None else 0
    sets = 1 if options.slot is None else 4
    return LAYERS * WIDTH * sets * REPLAY_BYTES * replay_capacity(options) + received + ROOM


def free_ports(n: int) -> list[int]:
    """n UDP ports of the loopback address that nobody uses now; `ResourceExhausted` where the machine gives none."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(n)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    except OSError as error:
        raise ResourceExhausted(f"no free UDP port on {HOST}: {error.strerror}") from None
    finally:
        for each in sockets:
            each.close()
