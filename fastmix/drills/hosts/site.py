"""Where a drill on several hosts takes place: a directory in memory, a `Lan`, a fleet on it, a capture of it all.

And how it is reported.
"""

import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastmix.bench.cores import ENDINGS
from fastmix.bench.machine import describe_machine
from fastmix.cli.output import version
from fastmix.drills.hosts.capture import Capture
from fastmix.drills.hosts.fleet import Fleet
from fastmix.drills.hosts.lan import Host, Lan
from fastmix.drills.hosts.layout import HostedNetwork, Layout
from fastmix.drills.hosts.static import StaticNetwork
from fastmix.drills.stage.report import Options, Outcome, Report
from fastmix.drills.stage.scene import ATTEMPTS
from fastmix.files.durations import format_duration
from fastmix.files.temporary import FleetingDirectory
from fastmix.status import Metrics

MakeNetwork = Callable[[Layout, Sequence[Host], Path], HostedNetwork]
CAPTURE_ROOM = 512 << 20
"""Bytes that a capture may come to."""


@dataclass
class Site:
    """An open one. `capture` has seen all from the start; `spare` are hosts that nothing runs on."""

    options: Options
    directory: Path
    lan: Lan
    fleet: Fleet
    capture: Capture
    capture_path: Path

    @property
    def spare(self) -> tuple[Host, ...]:
        """Hosts behind the clients'."""
        layout = self.fleet.network.layout
        return self.lan.hosts[layout.nodes + layout.clients :]


@contextmanager
def open_site(
    options: Options, layout: Layout, kind: MakeNetwork = StaticNetwork, *, spare: int = 0, offloads: bool = True, **how: Any
) -> Iterator[Site]:
    """A network that runs; nothing of it stays. `kind`: `StaticNetwork`, `FormingNetwork`. `ConfigError` where there can be no
    namespaces. `how`: see `Fleet`."""
    with (
        unwinding(),
        Lan(layout.nodes + layout.clients + spare, offloads=offloads) as lan,
        FleetingDirectory("fastmix-drill-", layout.room + CAPTURE_ROOM) as directory,
        Capture(lan, directory / "all.pcap") as capture,
        Fleet(lan, kind(layout, lan.hosts, directory), lambda what: options.progress(0.02, what), **how) as fleet,
    ):
        yield Site(options, directory, lan, fleet, capture, directory / "all.pcap")


@contextmanager
def unwinding() -> Iterator[None]:
    """SIGTERM and SIGHUP end the drill as Ctrl-C does: everything is put away."""
    before = [signal.signal(each, lambda number, _frame: sys.exit(128 + number)) for each in ENDINGS]
    try:
        yield
    finally:
        for each, handler in zip(ENDINGS, before, strict=True):
            signal.signal(each, handler)


def repeated_while_void(perform: Callable[[], Report]) -> Report:
    """Performs; again where the kernel has dropped datagrams meanwhile, for then nobody knows who lost a packet: three times at
    most."""
    began = time.monotonic()
    for void_runs in range(ATTEMPTS):  # noqa: B007  (told below)
        report = perform()
        drops = report.conservation["kernel_drop_events"]
        if not drops:
            break
    return replace(report, void_runs=void_runs + bool(drops), seconds=time.monotonic() - began)


def report_of(name: str, site: Site, outcome: Outcome, metrics: Mapping[int, Metrics], sent_per_s: float) -> Report:
    """What a drill has come to. `metrics`: of the nodes, at the end; `sent_per_s`: packets/s that all clients have sent together.
    The clients are asked for their counters."""
    layout, clients = site.fleet.network.layout, site.fleet.reports()
    client_drops = sum(each["kernel_drop_events"] for each in clients.values())
    checks = outcome.checks | {
        "every node's counters add up": all(each.conservation == 0 for each in metrics.values()),
        "every client's counters add up": all(each["difference"] == 0 for each in clients.values()),
        "the kernel dropped nothing": not client_drops and not any(each.kernel_drop_events for each in metrics.values()),
    }
    load = {
        "per_s": round(layout.clients * layout.send_rate), "sent_per_s": round(sent_per_s), "capacity_per_s": None, "share": None,
        "nodes": layout.nodes, "clients": layout.clients, "replay_capacity": layout.replay_capacity,
    }  # fmt: skip
    return Report(
        name, all(checks.values()), outcome.figures, conservation_of(metrics, client_drops), checks, load,
        format_duration(layout.mean_delay), layout.graces, form=site.options.form, seed=site.options.seed, version=version(),
        machine=describe_machine(),
    )  # fmt: skip


def conservation_of(metrics: Mapping[int, Metrics], client_drops: int = 0) -> dict[str, object]:
    """The account of all nodes together, and what each one's lacks. `client_drops`: the kernel's, at the clients."""
    dropped: Counter[str] = sum((Counter(each.dropped) for each in metrics.values()), Counter())
    summed = Metrics(
        **{name: sum(getattr(each, name) for each in metrics.values()) for name in Metrics().counters}, dropped=dict(dropped)
    )
    return {
        "exact": all(each.conservation == 0 for each in metrics.values()), "account": summed.account,
        "missing": {str(number): each.conservation for number, each in metrics.items() if each.conservation},
        "crash_uncertain": summed.crash_uncertain, "kernel_drop_events": summed.kernel_drop_events + client_drops,
        "dropped": {reason: n for reason, n in sorted(dropped.items()) if n},
    }  # fmt: skip
