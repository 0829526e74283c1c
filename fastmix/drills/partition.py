"""A network falls into two parts that do not reach each other, for a while, and grows together again."""

import time

from fastmix.drills.hosts.failing import Failure, drill
from fastmix.drills.hosts.fleet import Fleet
from fastmix.drills.stage.report import Options, Report

NAME = "partition"
HELP = "A third of the nodes and a client are cut off from all others for 20 s: full delivery is back within 10 s after it."
FULL, SHORT = 1, 1


def run(options: Options) -> Report:
    """Once."""
    return drill(NAME, options, fail, options.count(FULL, SHORT))


def fail(fleet: Fleet, at: int, failed_s: float) -> Failure:
    """The last third of the nodes, with the last client."""
    layout = fleet.network.layout
    part = [fleet.host_of_node(number) for number in range(layout.nodes - layout.nodes // 3, layout.nodes)]
    began_ns = time.monotonic_ns()
    fleet.lan.partition([*part, fleet.host_of_client(layout.clients - 1)])
    fleet.run(failed_s)
    fleet.lan.heal()
    return Failure(began_ns, time.monotonic_ns(), passable=False)
