"""Each stage of the packet's road by itself, in core cycles (fastmix.bench.kernels) or ns an item."""

from collections.abc import Callable

import numpy as np
import pytest
from measure import LINES, ROUNDS, seconds
from pool_bench import SLOTS, Bench
from pytest_benchmark.fixture import BenchmarkFixture

from fastmix.bench import one_at_a_time
from fastmix.bench.kernels import Best, Inputs, floor_of, make_inputs, python_rates, shuffle_ns, sodium_stages, stages_of
from fastmix.bench.one_at_a_time import Primitives
from fastmix.bench.sodium import find_sodium
from fastmix.kernels._replay import ReplaySet
from fastmix.kernels.isa import active
from fastmix.mixing import AdaptiveMix
from fastmix.seam.pair import PairName, memory_pair

PRIMITIVES = ("x25519", "subgroup", "chacha20", "blake2b", "poly1305")
GEOMETRIES = ("wan", "jumbo")
PLACES = [
    *PRIMITIVES,
    *(
        f"{stage}.{geometry}.{what}"
        for geometry in GEOMETRIES
        for stage, what in (("link", "open"), ("link", "seal"), ("unwrap", 64))
    ),
    *(f"build.{geometry}.{hops}" for geometry in GEOMETRIES for hops in (1, 3)),
    *(f"libsodium.{geometry}" for geometry in GEOMETRIES if find_sodium()),
]
PYTHON = [use for use in (one_at_a_time.pynacl(), one_at_a_time.pycryptodome()) if use]
BATCH = 256


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    return make_inputs()


@pytest.mark.parametrize("place", PLACES)
def bench_stage(benchmark: BenchmarkFixture, inputs: Inputs, place: str) -> None:
    """Quietest of its rounds, in core cycles an operation or packet."""
    stages = sodium_stages(find_sodium(), inputs) if place.startswith("libsodium") else stages_of(active().name, inputs)
    best = Best(stages[place])
    benchmark.pedantic(best.sample, rounds=ROUNDS)
    benchmark.extra_info.update(cycles=best.cycles, core_ghz=best.ghz)
    LINES.append(f"{place}: {best.cycles:,.0f} cycles, {1e9 / best.ns:,.0f} a core-second{floor_text(place)}")


def floor_text(place: str) -> str:
    """The counted floor, where it is known. An unwrap's place ends in its batch size."""
    floor = floor_of(active().name, ".".join(place.split(".")[:2]))
    return f" (floor {floor:,})" if floor else ""


@pytest.mark.parametrize("use", PYTHON, ids=lambda use: use.name)
def bench_python_one_at_a_time(benchmark: BenchmarkFixture, inputs: Inputs, use: Primitives) -> None:
    """Whole unwraps by a Python program without batches."""
    for geometry, rate in benchmark.pedantic(python_rates, (use, inputs), rounds=1).items():
        benchmark.extra_info[geometry] = rate
        LINES.append(f"{use.name}, unwrap.{geometry}: {rate:,.0f} a core-second")


def note_ns(benchmark: BenchmarkFixture, name: str, ns: float) -> None:
    """One more line at the end."""
    benchmark.extra_info["ns"] = ns
    LINES.append(f"{name}: {ns:,.1f} ns")


def quietest_ns(work: Callable[[], object], n: int) -> float:
    """ns for each of n items, in the quietest round."""
    return min(seconds(work) for _ in range(ROUNDS)) * 1e9 / n


def bench_shuffle(benchmark: BenchmarkFixture) -> None:
    """Elements of a shuffle, with the words that it draws."""
    note_ns(benchmark, "shuffle, an element", benchmark.pedantic(shuffle_ns, rounds=1))


def bench_replay_insert(benchmark: BenchmarkFixture) -> None:
    """New tags in a set of a million, larger than a cache of the second level."""
    memory = memory_pair(PairName(bytes(16), 0, bytes(32)), 1_000_000, bytes(32), bytes(32))
    memory.lines[:] = 0  # the first touch of a page is not what is measured
    replay, draw = ReplaySet(memory.lines.reshape(-1)), np.random.default_rng(1)
    verdicts, slots = np.zeros(BATCH, np.uint8), np.arange(BATCH, dtype=np.uint32)
    batches = iter([draw.integers(0, 256, (BATCH, 16), np.uint8) for _ in range(ROUNDS)])
    work = lambda: replay.insert(next(batches), verdicts, slots)  # noqa: E731
    note_ns(benchmark, "replay insert, a tag", benchmark.pedantic(lambda: quietest_ns(work, BATCH), rounds=1))
    assert not verdicts.any()


def bench_pool(benchmark: BenchmarkFixture) -> None:
    """Into the pool and out of it in shuffled batches of 100, adaptive strategy."""
    bench = Bench(AdaptiveMix(), floor=10, min_batch_size=10, max_batch_size=100)
    now = [0]

    def pass_through() -> None:
        now[0] += 5_000_000
        slots = np.arange(BATCH, dtype=np.uint32) + BATCH * (now[0] // 5_000_000 % (SLOTS // BATCH))
        bench.columns["arrival_ns"][slots] = bench.columns["deadline_ns"][slots] = now[0]
        bench.pool.add(slots)
        while len(bench.pool.release(now[0])):
            pass

    note_ns(benchmark, "pool, a packet", benchmark.pedantic(lambda: quietest_ns(pass_through, BATCH), rounds=1, warmup_rounds=1))
