"""What all measurements of a node share: the neighbourhood, the cores, the baseline, and how runs are made."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastmix.bench._stages import core_ghz
from fastmix.bench.capacity import Capacity, confirmed, find_capacity
from fastmix.bench.cores import Cores, quiet_process
from fastmix.bench.kernels import Best, make_inputs, sodium_stages
from fastmix.bench.neighbours import TRAFFIC, Neighbours
from fastmix.bench.probe import Run, Timing, run_load
from fastmix.bench.progress import Progress, silent
from fastmix.bench.sodium import find_sodium
from fastmix.bench.under_test import NodeUnderTest, Settings, running_node
from fastmix.errors import ConfigError
from fastmix.packet.geometry import GEOMETRIES, geometry_named
from fastmix.packet.verdict import Verdict
from fastmix.tune.capacity import unwraps_per_s

PROBE = Timing(0.3, 0.8, 0.1)
MEASURED = Timing(0.4, 1.5, 0.1)
QUICK_PROBE = Timing(0.1, 0.25, 0.05)
QUICK_MEASURED = Timing(0.15, 0.4, 0.05)
LATENCY_SHARE = 0.7
"""Of the capacity: at this rate latency is measured."""
SODIUM_S, QUICK_SODIUM_S = 1.5, 0.1
"""So long libsodium is sampled before and after each node: its quietest sample is what all ratios are to."""
SODIUM_SPREAD = 0.03
"""Samplings of L that differ by more are told as noise."""
RUNS, QUIETEST = 5, 3
"""Latency is measured so many times at a rate; the third best counts."""
QUICK_RUNS = 2


@dataclass
class Session:
    """An open neighbourhood and the figures that belong to all nodes measured in it."""

    cores: Cores
    neighbours: Neighbours
    quick: bool = False
    progress: Progress = silent
    begin: float = 0.0
    end: float = 1.0
    """The part of the progress bar that the node of now has."""
    sodium: dict[str, Best] = field(default_factory=dict)
    sodium_ns: dict[str, list[float]] = field(default_factory=dict)
    """The quietest of each sampling, by stage."""

    @property
    def probe(self) -> Timing:
        """Of a step of the search."""
        return QUICK_PROBE if self.quick else PROBE

    @property
    def measured(self) -> Timing:
        """Of a run whose figures are kept."""
        return QUICK_MEASURED if self.quick else MEASURED

    def note(self, share: float, what: str) -> None:
        """Progress within the node of now."""
        self.progress(self.begin + (self.end - self.begin) * min(share, 1.0), what)

    @contextmanager
    def node(self, settings: Settings) -> Iterator[NodeUnderTest]:
        """A fresh node; libsodium is sampled before and after it."""
        self.sample_sodium()
        self.note(0.0, "starting a node")
        with running_node(self.neighbours, settings, self.cores) as node:
            yield node
        self.sample_sodium()

    def offer(self, node: NodeUnderTest, traffic: str, share: float = 0.5) -> Callable[[float, Timing], Run]:
        """How `find_capacity` offers a rate."""

        def offer(rate: float, timing: Timing) -> Run:
            self.note(share, f"{rate:,.0f} packets/s, {traffic}")
            return run_load(node, self.neighbours, rate, traffic, timing, lambda _, what: self.note(share, what))

        return offer

    def capacity(self, node: NodeUnderTest, settings: Settings, traffic: str) -> Capacity:
        """Of a node, by short runs, then confirmed by longer ones."""
        guess = 0.7 * node.config.workers * unwraps_per_s(geometry_named(settings.geometry))
        found = find_capacity(self.offer(node, traffic, 0.3), guess, self.probe)
        return confirmed(self.offer(node, traffic, 0.6), found, self.measured)

    def latency(self, node: NodeUnderTest, traffic: str, rate: float, share: float) -> tuple[Run, list[Run]]:
        """The run that counts at that rate, and all of them."""
        offer = self.offer(node, traffic, share)
        runs = quietest_latency(offer, rate, self.measured, QUICK_RUNS if self.quick else RUNS)
        return runs[min(QUIETEST, len(runs)) - 1], runs

    def sample_sodium(self) -> None:
        """Some more samples of the baseline, where there is libsodium."""
        if not self.sodium:
            self.sodium = {name: Best(stage) for name, stage in sodium_stages(find_sodium(), make_inputs()).items()}
        os.sched_setaffinity(0, {self.cores.all[-1]})  # where the node will be
        for name, best in self.sodium.items():
            end, first = time.monotonic() + (QUICK_SODIUM_S if self.quick else SODIUM_S) / len(self.sodium), len(best.samples)
            while time.monotonic() < end or len(best.samples) == first:
                best.sample()
            self.sodium_ns.setdefault(name, []).append(min(ns for ns, _ in best.samples[first:]))
        os.sched_setaffinity(0, {self.cores.load})

    def baseline(self) -> dict[str, int | None]:
        """L of each geometry: unwraps a CPU-second of libsodium, one at a time; None without libsodium."""
        found: dict[str, int | None] = dict.fromkeys(GEOMETRIES)
        for name, best in self.sodium.items():
            found[name.removeprefix("libsodium.")] = round(1e9 / best.ns)
        return found

    def baseline_noise(self) -> list[str]:
        """What makes L unsure: its samplings differ, or the larger packets were not the dearer ones."""
        found = []
        for name, samplings in self.sodium_ns.items():
            if (spread := max(samplings) / min(samplings) - 1) > SODIUM_SPREAD:
                found.append(f"L ({name.removeprefix('libsodium.')}) moved by {spread:.0%} between its samplings")
        rates = self.baseline()
        if (rates["jumbo"] or 0) > (rates["wan"] or 0):
            found.append("L of jumbo came out above that of wan")
        return found


@contextmanager
def open_session(quick: bool, progress: Progress) -> Iterator[Session]:
    """The neighbourhood; gone at the end with all that was changed."""
    with quiet_process() as cores, Neighbours(cores.all) as neighbours:
        yield Session(cores, neighbours, quick, progress)


def check_words(geometry: str, traffic: str) -> None:
    """`ConfigError` for a geometry or a kind of traffic that there is not."""
    if geometry not in GEOMETRIES:
        raise ConfigError(f"--geometry {geometry}: use one of {', '.join(GEOMETRIES)}")
    if traffic not in TRAFFIC:
        raise ConfigError(f"--traffic {traffic}: use one of {', '.join(TRAFFIC)}")


def figures_of(node: NodeUnderTest, run: Run, latency: Run) -> dict[str, Any]:
    """What a table's row says of a node: throughput of one run, latency of another, memory as it is now."""
    memory, refused = node.memory(), node.metrics().dropped.get(Verdict.DROP_REPLAY_FULL.label, 0)
    full = [f"the replay set was full and refused {refused:,} packets"] if refused else []
    return {
        "io_used": node.io(),
        "core_ghz": round(core_ghz(), 2),
        "messages_per_s": round(run.messages_per_s),
        "messages_per_node_cpu_s": round(run.messages_per_node_cpu_s),
        "offered_per_s": round(run.offered_per_s),
        "latency_ms": latency.latency_ms,
        "latency_at_per_s": round(latency.offered_per_s),
        "cpu_percent": round(run.cpu_percent, 1),
        "memory_mb": None if memory.own is None else round(memory.own / 1e6, 1),
        "rss_mb": round(memory.rss / 1e6, 1),
        "loss": round(run.loss, 6),
        "sustained": run.sustained,
        "steal": max(run.steal, latency.steal),
        "noise": full + run.noise + [f"latency: {each}" for each in latency.noise],
    }


def quietest_latency(offer: Callable[[float, Timing], Run], rate: float, timing: Timing, tries: int) -> list[Run]:
    """Runs at one rate, the one with the lowest p99 first."""
    runs = [offer(rate, timing) for _ in range(tries)]
    return sorted(runs, key=lambda run: (run.loss > 0.5, run.latency_ms["p99"]))


def seconds_since(began: float) -> float:
    """Of the monotonic clock, rounded."""
    return round(time.monotonic() - began, 1)
