"""`fastmix bench table`: the document's three configurations, measured, in its own columns."""

import time
from dataclasses import dataclass
from typing import Any

from fastmix.bench.machine import describe_machine
from fastmix.bench.neighbours import TRAFFIC
from fastmix.bench.progress import Progress, silent
from fastmix.bench.session import LATENCY_SHARE, QUICK_RUNS, RUNS, Session, figures_of, open_session, seconds_since
from fastmix.bench.under_test import Settings
from fastmix.packet.geometry import GEOMETRIES
from fastmix.udp.backends import choose_backend


@dataclass(frozen=True, slots=True)
class Configuration:
    """A row of the document's table: its name, how a node is started for it, and what the document says of it."""

    name: str
    settings: Settings
    messages_per_s: str
    latency: str
    cpu: str


CONFIGURATIONS = (
    Configuration("single thread", Settings(workers=1, io="mmsg", profile="single-thread"), "~5K", "~50 ms", "~20 %"),
    Configuration("multi-threaded", Settings(workers=2, io="mmsg", profile="multi-threaded"), "~25K", "~20 ms", "~60 %"),
    Configuration("optimized", Settings(workers=None, io="gso", profile="optimized"), "~50K", "~10 ms", "~80 %"),
)
"""What the document promises stands beside what was measured."""


def bench_table(*, quick: bool = False, progress: Progress = silent) -> dict[str, Any]:
    """Measures all rows. The result is what `--json` prints. `ConfigError` where this machine cannot run all of them."""
    began = time.monotonic()
    for configuration in CONFIGURATIONS:
        choose_backend(configuration.settings.io or "auto")  # now, and not after four minutes
    plan = [(configuration, geometry) for configuration in CONFIGURATIONS for geometry in GEOMETRIES]
    rows: list[dict[str, Any]] = []
    with open_session(quick, progress) as session:
        for at, (configuration, geometry) in enumerate(plan):
            session.begin, session.end = at / len(plan), (at + 1) / len(plan)
            rows += node_rows(session, configuration, geometry)
        baseline, noise = session.baseline(), session.baseline_noise()
    told = {"bench": "table", "quick": quick, "machine": describe_machine(), "baseline": baseline, "baseline_noise": noise}
    told["latency_is"] = f"the {'better' if quick else 'third best'} of {QUICK_RUNS if quick else RUNS} runs"
    return told | {"rows": rows, "seconds": seconds_since(began)}


def node_rows(session: Session, configuration: Configuration, geometry: str) -> list[dict[str, Any]]:
    """The rows of one node: plain traffic, then trains, on the same node with its replay set going on."""
    settings = Settings(
        geometry, configuration.settings.workers, configuration.settings.io, configuration.settings.profile
    )  # fmt: skip
    rows = []
    with session.node(settings) as node:
        for traffic in TRAFFIC:
            found = session.capacity(node, settings, traffic)
            latency, _ = session.latency(node, traffic, LATENCY_SHARE * found.rate, 0.8)
            rows.append({
                "configuration": configuration.name, "geometry": geometry, "traffic": traffic, "workers": node.config.workers,
                **figures_of(node, found.run, latency),
                "document": {
                    "messages_per_s": configuration.messages_per_s, "latency": configuration.latency, "cpu": configuration.cpu
                },
            })  # fmt: skip
    return rows
