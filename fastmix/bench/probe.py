"""One run: so many packets a second offered for so long, open loop, and what came of them.

Times are scheduled ones: a packet that leaves late because the generator or a full queue held it up counts from when it should
have left. The window is the middle of the run; before it the node warms up, after it packets go on, so that the last of the
window have company.
"""

import time
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.bench._load import Load
from fastmix.bench.neighbours import Neighbours
from fastmix.bench.noise import complaints, read_noise, steal_share
from fastmix.bench.progress import Progress, silent
from fastmix.bench.under_test import NodeUnderTest

BURST = 16
"""Packets of one link that leave together; a train's length."""
LATE_NS = 2_000_000
LEAD_NS = 5_000_000
SLICE_NS = 50_000_000
"""So often Ctrl-C is noticed."""
PATIENCE_NS = 1_200_000_000
"""So long at most the rest is waited for: more than `max_latency`."""
LOSS_MAX = 0.001
BACKLOG_MS, BACKLOG_SHARE = 10.0, 0.01
"""A node that takes in 1 % less than is offered falls behind by 10 ms a second: then it does not keep up, whatever its socket
still holds. In a short run so many ms are chance."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of a run's parts."""

    warm_s: float = 0.3
    window_s: float = 1.0
    cool_s: float = 0.1


@dataclass
class Run:
    """What came of one rate. Latencies in ms, of the window's packets; rates of what arrived during it."""

    offered_per_s: float
    messages_per_s: float
    messages_per_node_cpu_s: float
    cpu_percent: float
    loss: float
    backlog_ms: float
    """By how much the latency grew during the window."""
    window_s: float
    latency_ms: dict[str, float]
    counts: dict[str, int]
    steal: float = 0.0
    """Share of the machine's CPU time that the host took during the run."""
    noise: list[str] = field(default_factory=list)

    @property
    def short_ms(self) -> float:
        """How much time's worth of what was offered in the window had not arrived at its end."""
        return 1e3 * self.window_s * (1 - self.messages_per_s / self.offered_per_s)

    @property
    def sustained(self) -> bool:
        """Whether the node kept up: loss of 0.1 % at most, no growing backlog, and what arrived is what was offered."""
        allowed_ms = max(BACKLOG_MS, 1e3 * BACKLOG_SHARE * self.window_s)
        return self.loss <= LOSS_MAX and max(self.backlog_ms, self.short_ms) <= allowed_ms

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def run_load(
    node: NodeUnderTest, neighbours: Neighbours, rate: float, traffic: str, timing: Timing, progress: Progress = silent
) -> Run:
    """Offers `rate` packets a second to the node. `NetworkFailure` where it ends."""
    whole_s = timing.warm_s + timing.window_s + timing.cool_s
    n = max(1, round(rate * whole_s / BURST)) * BURST
    frames, onward = neighbours.frames(n, BURST, progress)
    neighbours.set_traffic(traffic)
    sources = [each.fileno() for each in neighbours.sources]
    load = Load(frames, onward, sources, neighbours.sink.fileno(), neighbours.sink_roots, BURST, traffic == "train")
    before = read_noise()
    start_ns = time.monotonic_ns() + LEAD_NS
    load.schedule(start_ns, BURST * 1e9 / rate, LATE_NS)
    marks = [start_ns + int(1e9 * s) for s in (timing.warm_s, timing.warm_s + timing.window_s, whole_s)]
    seen = []
    for mark in marks[:2]:
        run_until(load, mark)
        seen.append((time.monotonic_ns(), node.cpu_ns()))
    late = load.counts()["late"] * BURST / n
    run_until(load, marks[2])
    scheduled = start_ns + (np.arange(n) // BURST * (BURST * 1e9 / rate)).astype(np.int64)
    window = (scheduled >= marks[0]) & (scheduled < marks[1])
    wait_for_rest(load, window, marks[2] + PATIENCE_NS)
    node.check()
    after = read_noise()
    run = result_of(load, rate, scheduled, window, seen)
    run.steal, run.noise = round(steal_share(before, after), 5), complaints(before, after, late)
    return run


def run_until(load: Load, end_ns: int) -> None:
    """In slices, so that Ctrl-C is noticed between two."""
    while (now := time.monotonic_ns()) < end_ns:
        load.run(min(end_ns, now + SLICE_NS))


def wait_for_rest(load: Load, window: npt.NDArray[np.bool_], give_up_ns: int) -> None:
    """Until all packets of the window are here, or none can come any more."""
    while time.monotonic_ns() < give_up_ns and not load.arrived_ns[window].all():
        before = load.counts()["received"]
        load.run(time.monotonic_ns() + SLICE_NS)
        if load.counts()["received"] == before and time.monotonic_ns() > give_up_ns - PATIENCE_NS // 2:
            return


def result_of(
    load: Load, rate: float, scheduled: npt.NDArray[np.int64], window: npt.NDArray[np.bool_], seen: list[tuple[int, int]]
) -> Run:  # fmt: skip
    """The figures of a run that has ended."""
    arrived = load.arrived_ns
    (began_ns, cpu_before), (ended_ns, cpu_after) = seen
    took_s, cpu_s = (ended_ns - began_ns) / 1e9, max(cpu_after - cpu_before, 1) / 1e9
    delivered = int(np.count_nonzero((arrived >= began_ns) & (arrived < ended_ns)))
    latency = (arrived - scheduled)[window]
    here = arrived[window] > 0
    return Run(
        offered_per_s=rate,
        messages_per_s=delivered / took_s,
        messages_per_node_cpu_s=delivered / cpu_s,
        cpu_percent=100 * cpu_s / took_s,
        loss=1 - float(np.count_nonzero(here)) / max(len(here), 1),
        backlog_ms=backlog_of(latency, here),
        window_s=round(took_s, 3),
        latency_ms=percentiles(latency[here]),
        counts=load.counts(),
    )


def backlog_of(latency_ns: npt.NDArray[np.int64], here: npt.NDArray[np.bool_]) -> float:
    """Median latency of the window's last tenth less that of its first, ms; all the patience where either is lost."""
    tenth = max(1, len(latency_ns) // 10)
    first, last = latency_ns[:tenth][here[:tenth]], latency_ns[-tenth:][here[-tenth:]]
    if not len(first) or not len(last):
        return PATIENCE_NS / 1e6
    return round(float(np.median(last) - np.median(first)) / 1e6, 3)


def percentiles(latency_ns: npt.NDArray[np.int64]) -> dict[str, float]:
    """p50, p90, p99, p99.9 and the largest, in ms; zeros of nothing."""
    names = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9, "max": 100.0}
    if not len(latency_ns):
        return dict.fromkeys(names, 0.0)
    values = np.percentile(latency_ns, list(names.values())) / 1e6
    return {name: round(float(value), 3) for name, value in zip(names, values, strict=True)}
