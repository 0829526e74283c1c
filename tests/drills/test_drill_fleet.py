"""A mix network on hosts of its own: messages cross it, and what a failure costs is told to the message."""

import time
from pathlib import Path

from own_hosts import on_own_hosts

from fastmix.drills.hosts.fleet import Fleet
from fastmix.drills.hosts.lan import Lan
from fastmix.drills.hosts.layout import Layout
from fastmix.drills.hosts.static import StaticNetwork

SMALL = Layout(widths=(1, 1, 1), clients=2)
MIDDLE = 1
PER_S = 20.0
MARGIN_NS = 10**9
"""What is sent so long before a failure has passed the node, or is lost to another one."""


@on_own_hosts
def test_what_a_failure_costs_is_told_to_the_message(tmp_path: Path) -> None:
    with Lan(SMALL.nodes + SMALL.clients) as lan, Fleet(lan, StaticNetwork(SMALL, lan.hosts, tmp_path)) as fleet:
        ledger = fleet.ledger
        fleet.send(PER_S)
        fleet.run(1)
        fleet.rest()
        fleet.until(lambda: ledger.n_sent > 10 and not ledger.lost(), 30, "messages are missing")
        cut_ns, healed_ns = hole(fleet)
        killed_ns, started_ns = kill(fleet)
        fleet.rest()
        fleet.until(lambda: not ledger.lost(started_ns + 3 * 10**9), 30, "messages are missing")
        fleet.hush()
        metrics = fleet.settle()
        assert ledger.n_unknown == ledger.n_doubled == 0
        cut = ledger.cost_of(cut_ns, until_ns=killed_ns - MARGIN_NS)
        killed = ledger.cost_of(killed_ns, since_ns=healed_ns + MARGIN_NS)
        assert cut.back_after_ns < healed_ns - cut_ns + MARGIN_NS
        assert killed.back_after_ns < started_ns - killed_ns + 3 * 10**9
        for cost in (cut, killed):
            assert cost.missed_afterwards > 0, "the only way was closed"
            assert cost.missed_under_way <= cost.under_way
            assert cost.sent_since > 0, "and it is open again"
        assert all(each.conservation == 0 for each in metrics.values())
        assert all(each["difference"] == 0 for each in fleet.reports().values())


def hole(fleet: Fleet) -> tuple[int, int]:
    """The middle node in a black hole for a second, then not."""
    fleet.send(PER_S)
    fleet.run(0.5)
    began_ns = time.monotonic_ns()
    fleet.blackhole(MIDDLE)
    fleet.run(1)
    fleet.lan.heal()
    ended_ns = time.monotonic_ns()
    fleet.run(3)
    assert fleet.nodes[MIDDLE].process.poll() is None
    return began_ns, ended_ns


def kill(fleet: Fleet) -> tuple[int, int]:
    """The middle node is killed, then another one started in its place."""
    began_ns = time.monotonic_ns()
    assert fleet.kill_node(MIDDLE).conservation == 0
    assert MIDDLE not in fleet.metrics()
    fleet.launch(MIDDLE)
    fleet.wait_ready(MIDDLE)
    ended_ns = time.monotonic_ns()
    fleet.run(4)
    return began_ns, ended_ns
