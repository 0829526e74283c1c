"""All that is sent to a node or by it vanishes for a while, without an error to anybody; the node itself notices nothing."""

import time

from fastmix.drills.hosts.failing import Failure, drill, place_of
from fastmix.drills.hosts.fleet import Fleet
from fastmix.drills.stage.report import Options, Report

NAME = "blackhole"
HELP = "What nodes send and get vanishes for 20 s, one after another: the others go around them within 10 s, and they come back."
FULL, SHORT = 3, 1


def run(options: Options) -> Report:
    """Three nodes, or one."""
    return drill(NAME, options, fail, options.count(FULL, SHORT))


def fail(fleet: Fleet, at: int, failed_s: float) -> Failure:
    """Another node each time, never the first."""
    number = 1 + at % (fleet.network.layout.nodes - 1)
    what = place_of(fleet, number)
    began_ns, last = time.monotonic_ns(), fleet.nodes[number].metrics()
    fleet.blackhole(number)
    fleet.run(failed_s)
    fleet.lan.heal()
    return Failure(began_ns, time.monotonic_ns(), last.pooled + last.in_stage, what=what)
