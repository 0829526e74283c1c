"""A node of a network that has formed itself is killed; the others and the clients go around it, and it comes back."""

import time

from fastmix.drills.hosts.failing import Failure, drill, place_of
from fastmix.drills.hosts.fleet import Fleet
from fastmix.drills.stage.report import Options, Report

NAME = "node-killed"
HELP = "SIGKILL to nodes of a network that has formed itself, one after another: full delivery is back within 10 s."
FULL, SHORT = 3, 1


def run(options: Options) -> Report:
    """Three kills, or one."""
    return drill(NAME, options, fail, options.count(FULL, SHORT))


def fail(fleet: Fleet, at: int, failed_s: float) -> Failure:
    """Another node each time, never the first: it alone signs. Then the next one in its place, over the same files."""
    number = 1 + at % (fleet.network.layout.nodes - 1)
    what = place_of(fleet, number)
    began_ns = time.monotonic_ns()
    last = fleet.kill_node(number)
    fleet.run(failed_s)
    ended_ns = time.monotonic_ns()
    fleet.launch(number)
    fleet.wait_ready(number)
    return Failure(began_ns, ended_ns, last.pooled + last.in_stage, what=what)
