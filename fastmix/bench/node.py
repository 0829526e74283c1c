"""`fastmix bench node`: one configuration at rising rates, its stages, and twice as much as it can carry."""

import time
from dataclasses import dataclass
from typing import Any

from fastmix.bench._packet_stages import LinkStage, UnwrapStage
from fastmix.bench._stages import Stage
from fastmix.bench.kernels import BATCH, Best, make_inputs, repeated
from fastmix.bench.machine import describe_machine
from fastmix.bench.probe import Run
from fastmix.bench.progress import Progress, silent
from fastmix.bench.session import LATENCY_SHARE, Session, check_words, figures_of, open_session, seconds_since
from fastmix.bench.under_test import NodeUnderTest, Settings
from fastmix.kernels.isa import active

SHARES = (0.25, 0.5, 0.75, 0.9)
"""Of the capacity: the rates at which latency is shown."""
OVERLOAD = 2.0
STAGE_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be measured: a node's settings, and by what traffic."""

    settings: Settings
    traffic: str = "plain"

    def check(self) -> None:
        """`ConfigError` where a word is wrong."""
        check_words(self.settings.geometry, self.traffic)

    @property
    def words(self) -> dict[str, Any]:
        """For the result."""
        settings = self.settings
        return {"geometry": settings.geometry, "traffic": self.traffic, "io": settings.io, "profile": settings.profile}


def bench_node(request: Request, *, quick: bool = False, progress: Progress = silent) -> dict[str, Any]:
    """Measures. The result is what `--json` prints."""
    request.check()
    began, settings, traffic = time.monotonic(), request.settings, request.traffic
    with open_session(quick, progress) as session, session.node(settings) as node:
        found = session.capacity(node, settings, traffic)
        points = [session.offer(node, traffic, 0.7)(share * found.rate, session.measured) for share in SHARES]
        at_70, _ = session.latency(node, traffic, LATENCY_SHARE * found.rate, 0.8)
        figures = figures_of(node, found.run, at_70)
        overload = overload_of(session, node, found.run, traffic)
        stages = stages_ns(settings.geometry, found.run)
        metrics = node.metrics()
    baseline, workers = session.baseline(), node.config.workers
    figures["noise"] += session.baseline_noise()
    return {
        "bench": "node", "machine": describe_machine(), **request.words, "workers": workers, "baseline": baseline, **figures,
        "vs_libsodium": ratio(figures["messages_per_node_cpu_s"], baseline[settings.geometry]),
        "points": [run.to_dict() for run in points], "overload": overload, "stages_ns": stages,
        "dropped": {name: n for name, n in metrics.dropped.items() if n}, "kernel_drop_events": metrics.kernel_drop_events,
        "conservation": metrics.conservation, "tried": [run.to_dict() for run in found.tried], "seconds": seconds_since(began),
    }  # fmt: skip


def ratio(rate: float, baseline: int | None) -> float | None:
    """Rounded; None without a baseline."""
    return round(rate / baseline, 2) if baseline else None


def overload_of(session: Session, node: NodeUnderTest, capacity: Run, traffic: str) -> dict[str, Any]:
    """Twice the capacity offered: what still comes through, of the capacity, and how late."""
    run = session.offer(node, traffic, 0.9)(OVERLOAD * capacity.offered_per_s, session.measured)
    return {"offered_share": OVERLOAD, "goodput_share": round(run.messages_per_s / capacity.messages_per_s, 3), **run.to_dict()}


def stages_ns(geometry: str, run: Run) -> dict[str, float]:
    """CPU time of a message in the node: the kernels' as they measure alone at batch 64, and the rest, which is I/O, replay set,
    pool, shuffle and Python.
    """
    inputs, isa = make_inputs(), active().name
    stages: dict[str, Stage] = {
        "link open": repeated(LinkStage(isa, BATCH, True, geometry)),
        "unwrap": UnwrapStage(isa, inputs.packets[geometry][:BATCH].copy(), inputs.secrets[0]),
        "link seal": repeated(LinkStage(isa, BATCH, False, geometry)),
    }
    best = {name: Best(stage) for name, stage in stages.items()}
    for _ in range(STAGE_ROUNDS):
        for each in best.values():
            each.sample()
    found = {name: round(each.ns, 1) for name, each in best.items()}
    whole = 1e9 / run.messages_per_node_cpu_s
    return found | {"I/O, replay set, pool, order": round(whole - sum(found.values()), 1), "whole": round(whole, 1)}
