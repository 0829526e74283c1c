"""The goals, and what the committed results say of each: docs/performance.md shows all, and has to explain those that are missed.

L of a node is the highest of all results, so that a moment in which libsodium was disturbed makes no ratio look better.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Results = dict[str, dict[str, Any]]
NODES = ("node-wan", "node-jumbo", "node-wan-train", "node-jumbo-train")
"""Names of the results of nodes in a directory, without `.json`."""
MEMORIES = ("memory", "memory-jumbo", "memory-optimized")
ALL = ("table", *NODES, "kernels", "latency", *MEMORIES)
GEOMETRIES = ("wan", "jumbo")


@dataclass(frozen=True, slots=True)
class Bar:
    """One goal: `found` are the figures that have to reach it, each."""

    name: str
    least: bool
    wanted: float
    unit: str
    found: Callable[[Results], Sequence[float]]

    def reached(self, results: Results) -> bool:
        """Whether all figures are on the right side."""
        return all(value >= self.wanted if self.least else value <= self.wanted for value in self.found(results))

    def row(self, results: Results) -> tuple[str, str, str, str]:
        """Name, goal, what was reached, whether that is enough."""
        shown = ", ".join(f"{value:,.{self._digits}f}" for value in self.found(results))
        goal = f"{'≥' if self.least else '≤'} {self.wanted:,g}{self.unit}"
        return self.name, goal, shown, "yes" if self.reached(results) else "**no**"

    @property
    def _digits(self) -> int:
        return 0 if self.wanted >= 100 else 1 if self.wanted >= 10 else 2 if self.wanted > 0.9 else 3


def baseline(results: Results, geometry: str) -> float:
    """The highest L of all results."""
    sodium = results["kernels"]["baseline"]["libsodium"]
    rates = [results[name]["baseline"][geometry] for name in ("table", *NODES)]
    return float(max([*rates, sodium.get(geometry, {}).get("packets_per_s", 0)]))


def times_baseline(name: str) -> Callable[[Results], list[float]]:
    """Messages a node-CPU-second of a node, in L."""

    def found(results: Results) -> list[float]:
        node = results[name]
        return [node["messages_per_node_cpu_s"] / baseline(results, node["geometry"])]

    return found


def unwraps(isa: str, what: str) -> Callable[[Results], list[float]]:
    """A figure of the unwrap, both geometries."""
    return lambda results: [results["kernels"]["isas"][isa]["unwrap"][geometry][what] for geometry in GEOMETRIES]


def unwrap_cycles(geometry: str) -> Callable[[Results], list[float]]:
    """Of the IFMA kernels."""
    return lambda results: [results["kernels"]["isas"]["avx512ifma"]["unwrap"][geometry]["cycles"]]


def two_workers(results: Results) -> list[float]:
    """Messages a CPU-second of two workers against one, both with `mmsg`: wan plain, wan train, jumbo plain, jumbo train."""
    rate = {
        (row["configuration"], row["geometry"], row["traffic"]): row["messages_per_node_cpu_s"]
        for row in results["table"]["rows"]
    }
    pairs = [(geometry, traffic) for geometry in GEOMETRIES for traffic in ("plain", "train")]
    return [rate["multi-threaded", *pair] / rate["single thread", *pair] for pair in pairs]


def p99_of_table(results: Results) -> list[float]:
    """Of all twelve rows."""
    return [row["latency_ms"]["p99"] for row in results["table"]["rows"]]


def goodput(results: Results) -> list[float]:
    """Of a node that is offered twice its capacity, as a share of the capacity."""
    return [results[name]["overload"]["goodput_share"] for name in NODES]


def built(hops: str) -> Callable[[Results], list[float]]:
    """`sphinx.build_requests`, both geometries."""
    return lambda results: [results["kernels"]["build_requests"][geometry][hops] for geometry in GEOMETRIES]


BARS = (
    Bar("unwrap, avx512ifma", True, 8, " L", unwraps("avx512ifma", "vs_libsodium")),
    Bar("unwrap, avx512f", True, 3.3, " L", unwraps("avx512f", "vs_libsodium")),
    Bar("unwrap, avx2", True, 2.4, " L", unwraps("avx2", "vs_libsodium")),
    Bar("unwrap, wan", False, 31_000, " cycles", unwrap_cycles("wan")),
    Bar("unwrap, jumbo", False, 33_000, " cycles", unwrap_cycles("jumbo")),
    Bar("X25519", False, 13_200, " cycles", lambda results: [results["kernels"]["isas"]["avx512ifma"]["x25519"]["cycles"]]),
    Bar("one worker, wan, plain", True, 5.8, " L", times_baseline("node-wan")),
    Bar("one worker, jumbo, plain", True, 5.2, " L", times_baseline("node-jumbo")),
    Bar("one worker, wan, train", True, 5.8, " L", times_baseline("node-wan-train")),
    Bar("one worker, jumbo, train", True, 5.2, " L", times_baseline("node-jumbo-train")),
    Bar("two workers against one", True, 0.925, "", two_workers),
    Bar("p99 at 70 %, one worker", False, 10, " ms", lambda results: [results[name]["latency_ms"]["p99"] for name in NODES]),
    Bar("p50 at 70 %, one worker", False, 2, " ms", lambda results: [results[name]["latency_ms"]["p50"] for name in NODES]),
    Bar("p99 at 70 %, the table", False, 10, " ms", p99_of_table),
    Bar("p99 at 50,000/s", False, 10, " ms", lambda results: [results["latency"]["points"][-1]["latency_ms"]["p99"]]),
    Bar(
        "10,000 messages pooled", False, 200, " MB",
        lambda results: [results[name]["full"]["memory_mb"] for name in MEMORIES],
    ),
    Bar("passes of twice the capacity", True, 0.9, "", goodput),
    Bar("build_requests, 1 hop", True, 40_000, "/s", built("1")),
    Bar("build_requests, 3 hops", True, 12_000, "/s", built("3")),
    Bar("replay insert", False, 80, " ns", lambda results: [results["kernels"]["replay_insert"]["ns"]]),
    Bar("shuffle", False, 10, " ns", lambda results: [results["kernels"]["shuffle_ns"]]),
)  # fmt: skip
"""Measured by `fastmix bench`. What it does not measure is in the table of missed goals: whole I/O, Zen 5."""
