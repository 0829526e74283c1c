"""What drills share in which a part of a network fails: messages before, during and after it, and what it has cost."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

from fastmix.drills.hosts.fleet import Fleet
from fastmix.drills.hosts.forming import FormingNetwork, shown
from fastmix.drills.hosts.layout import Layout
from fastmix.drills.hosts.ledger import NEVER, Cost
from fastmix.drills.hosts.site import Site, open_site, repeated_while_void, report_of
from fastmix.drills.stage.report import Figures, Options, Outcome, Report
from fastmix.errors import BatchTimeout

LARGE, SMALL = Layout(), Layout(widths=(2, 2, 2), clients=2)
PER_S = 30.0
"""Messages that each client sends."""
BACK_S = 10.0
"""Full delivery is back by then."""
IN_TIME_NS = 2_500_000_000
"""What comes later has been sent again: clients do so after 60 mean delays."""
LAST_S = 60.0
"""What has not come so long after the last message was sent is lost."""


@dataclass(frozen=True, slots=True)
class Tempo:
    """Seconds of calm before a failure, of the failure, and of calm after it."""

    calm_s: float
    failed_s: float
    after_s: float


FULL, SHORT = Tempo(5.0, 20.0, 15.0), Tempo(2.0, 8.0, 5.0)


@dataclass(frozen=True)
class Failure:
    """When something failed, and when that was over. `held`: packets that were in it, by its own word. `passable`: the network
    goes around it, so that delivery is back before it is over. `what` has failed, for the report."""

    began_ns: int
    ended_ns: int
    held: int = 0
    passable: bool = True
    what: str = ""


Fail = Callable[[Fleet, int, float], Failure]
"""Is told which round it is and for how many seconds something has to fail; listens to the clients as long, and heals."""


def drill(name: str, options: Options, fail: Fail, rounds: int) -> Report:
    """Of a network that has formed itself, so many failures, each after the one before is healed."""

    def once() -> Report:
        layout = SMALL if options.short else LARGE
        with open_site(options, layout, FormingNetwork, retransmit_after_s=None, in_time_ns=IN_TIME_NS) as site:
            return perform(name, site, fail, rounds)

    return repeated_while_void(once)


def perform(name: str, site: Site, fail: Fail, rounds: int) -> Report:
    """Calm, failure, calm, again and again; then the account."""
    fleet, failures, calm = site.fleet, [], []
    tempo = SHORT if site.options.short else FULL
    began, sent = time.monotonic(), fleet.sent()
    fleet.send(PER_S)
    for at in range(rounds):
        site.options.progress(0.1 + 0.8 * at / rounds, f"failure {at + 1} of {rounds}")
        calm.append(time.monotonic_ns())
        fleet.run(tempo.calm_s)
        failures.append(fail(fleet, at, tempo.failed_s))
        fleet.run(tempo.after_s)
    sent_per_s = (fleet.sent() - sent) / (time.monotonic() - began)
    fleet.rest()
    with suppress(BatchTimeout):
        fleet.until(lambda: not fleet.ledger.lost(), LAST_S, "messages are missing")
    fleet.hush()
    metrics = fleet.settle()
    outcome = account(fleet, failures, [*calm, NEVER])
    return report_of(name, site, outcome, metrics, sent_per_s)


def account(fleet: Fleet, failures: list[Failure], calm: list[int]) -> Outcome:
    """What the failures have cost. `calm`: when each one's calm began, and when the last one's ended."""
    ledger, during, after = fleet.ledger, [], []
    for failure, (since_ns, until_ns) in zip(failures, pairwise(calm), strict=True):
        during.append(ledger.cost_of(failure.began_ns, since_ns=since_ns, until_ns=failure.ended_ns))
        after.append(ledger.cost_of(failure.ended_ns, since_ns=failure.ended_ns, until_ns=until_ns))
    have_to_be_back = after + [cost for cost, failure in zip(during, failures, strict=True) if failure.passable]
    lost = len(ledger.lost())
    return Outcome({
        "failures": len(failures), "messages": ledger.n_sent, "arrived": ledger.n_arrived, "refused": ledger.n_refused,
        "lost": lost,
        "each": [told([cost]) | {"what": failure.what} for cost, failure in zip(during, failures, strict=True)],
        "held_by_what_failed": sum(failure.held for failure in failures), **told(during),
        **{f"{name}_when_over": value for name, value in told(after).items()},
    }, {
        "no message came twice or from nowhere": ledger.n_doubled == ledger.n_unknown == 0,
        "no more was lost than was under way when it failed": lost <= sum(each.under_way for each in during),
        f"full delivery was back within {BACK_S:.0f} s": all(each.back_after_ns <= BACK_S * 1e9 for each in have_to_be_back),
        "and stayed": all(each.sent_since >= PER_S for each in have_to_be_back),
    })  # fmt: skip


def place_of(fleet: Fleet, number: int) -> str:
    """Which node that is, for the report."""
    about = shown(fleet.nodes[number].state_dir)
    layer = next((node["layer"] for node in about.get("nodes", ()) if node["identity"] == about["identity"]), None)
    return f"node {number} of layer {layer}"


def told(costs: list[Cost]) -> Figures:
    """For the report: sums, and of times the longest."""
    names = ("under_way", "missed_under_way", "missed_afterwards")
    sums = {name: sum(getattr(each, name) for each in costs) for name in names}
    return sums | {"back_after_s": round(max(each.back_after_ns for each in costs) / 1e9, 3)}
