"""Free ports and written networks for tests with real processes."""

import socket
from pathlib import Path
from typing import Any

from fastmix.config import MixnodeConfig
from fastmix.plan import NetworkPlan, plan_network


def free_places(n: int) -> list[tuple[str, int]]:
    """n loopback addresses whose ports were free a moment ago."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(n)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    places = [each.getsockname() for each in sockets]
    for each in sockets:
        each.close()
    return places


def written_plan(directory: Path, layers: tuple[int, int, int] = (1, 1, 1), clients: int = 1, **options: Any) -> NetworkPlan:
    """A network of so many nodes a layer, written into `directory`."""
    places = iter(free_places(sum(layers)))
    return plan_network([[next(places) for _ in range(n)] for n in layers], clients, **options).write(directory)


def config_of(plan: NetworkPlan, directory: Path, number: int, **options: Any) -> MixnodeConfig:
    """The configuration of one node of a written plan."""
    return MixnodeConfig(
        number=number,
        network=directory / "network.toml",
        secret_file=plan.secret_path(directory, number),
        state_dir=directory / f"state-{number}",
        allow_swap=True,
        **options,
    )
