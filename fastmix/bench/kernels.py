"""`fastmix bench kernels`: cycles a packet of every stage, beside the floor that was counted, and beside libsodium.

All stages take turns in one process on one core, and each keeps its quietest sample, so that ratios hold on a machine that
others use too. The baseline L is the whole unwrap by libsodium, one packet at a time, in the same turns.
"""

import mmap
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from fastmix import sphinx
from fastmix.bench import one_at_a_time
from fastmix.bench._packet_stages import BuildStage, LinkStage, SodiumStage, UnwrapStage
from fastmix.bench._stages import Primitive, Stage, core_ghz
from fastmix.bench.machine import describe_machine, is_intel
from fastmix.bench.noise import complaints, read_noise, steal_share
from fastmix.bench.one_at_a_time import Primitives
from fastmix.bench.progress import Progress, silent
from fastmix.bench.sodium import ABSENT, Sodium, find_sodium
from fastmix.errors import ConfigError
from fastmix.packet.geometry import GEOMETRIES
from fastmix.sphinx.arrays import Bytes
from fastmix.tune.facts import machine_of
from fastmix.tune.host import Host

BATCH = 64
"""At which figures without a batch size are taken."""
BATCHES = (8, 16, 32, 64, 128, 256)
LINK_BATCH = 64
SODIUM_PACKETS = 8
PYTHON_PACKETS = 8
BUILD_HOPS = (1, 3)
BUILD_ROWS = 256
MESSAGE = 1024
"""Bytes in a lane of ChaCha20, BLAKE2b and Poly1305, when measured alone."""
FLOORS = {
    "avx512ifma": {
        "unwrap.wan": 27_100, "unwrap.jumbo": 29_100, "x25519": 11_600, "chacha20": 528, "blake2b": 788, "poly1305": 142,
    },
    "avx512f": {"x25519": 20_850, "chacha20": 528, "blake2b": 788},
}  # fmt: skip
"""Fewest core cycles a packet, operation or 1,024 bytes by counted instructions and two vector ports, on Intel (of X25519 the
ladder: 255 steps of 364 and 654 cycles for eight lanes); not known for other kernels and CPUs."""
REPLAY_SIZE, REPLAY_SIZE_LEAST, REPLAY_PART = 400_000_000, 1 << 20, 4
"""Bytes of the replay set: as many as that of a key for ten minutes has, on a node that admits all that its cores unwrap, so that
caches help no more than there; a quarter of the free memory at most."""
REPLAY_BAR_NS, REPLAY_RATE = 80, 100_000
"""An insert into the replay set takes no longer; so at that many packets a second it takes less than 1 % of a core."""
SAMPLE_NS = 300_000
"""A sample that can be repeated lasts about so long."""
BUDGET_S = 12.0
QUICK_S = 1.0
QUIET = 1.03
"""A sample at most so much slower than the quickest ran at the same clock."""


@dataclass
class Best:
    """The samples of a stage so far: ns an item and GHz of the core, each."""

    stage: Stage
    samples: list[tuple[float, float]] = field(default_factory=list)

    def sample(self) -> None:
        """One more."""
        self.samples.append(self.stage.sample())

    @property
    def ns(self) -> float:
        """CPU time of an item in the quietest sample."""
        return min(ns for ns, _ in self.samples)

    @property
    def ghz(self) -> float:
        """The core's clock under this stage: the median of the samples as quick as the quietest."""
        return median(ghz for ns, ghz in self.samples if ns <= self.ns * QUIET)

    @property
    def cycles(self) -> float:
        """Core cycles of an item."""
        return self.ns * self.ghz


def quietest(stages: dict[str, Stage], budget_s: float, progress: Progress = silent) -> dict[str, Best]:
    """Samples all stages in turns for about `budget_s` seconds, and each three times at least."""
    found = {name: Best(stage) for name, stage in stages.items()}
    began, rounds = time.monotonic(), 0
    while rounds < 3 or time.monotonic() - began < budget_s:
        for best in found.values():
            best.sample()
        rounds += 1
        progress((time.monotonic() - began) / budget_s, f"round {rounds}")
    return found


def repeated(stage: Stage) -> Stage:
    """The same with as many repeats as make a sample of `SAMPLE_NS`; for work that can be done again on its own result."""
    ns, _ = stage.sample()
    stage.repeat(round(SAMPLE_NS / (ns * stage.n)))
    return stage


@dataclass(frozen=True)
class Inputs:
    """Packets of both geometries, BATCHES[-1] each, that the first secret forwards; and the keys that they were built for."""

    secrets: Bytes
    publics: Bytes
    packets: dict[str, Bytes]


def make_inputs() -> Inputs:
    """Fresh keys, distinct packets."""
    secrets, publics = sphinx.keypairs(max(BUILD_HOPS))
    n = BATCHES[-1]
    packets = {
        name: sphinx.build_requests(
            np.zeros((n, geometry.data_size), np.uint8), np.tile(publics[:2], (n, 1, 1)),
            np.arange(n, dtype=np.uint16).reshape(n, 1), geometry=name,
        )
        for name, geometry in GEOMETRIES.items()
    }  # fmt: skip
    return Inputs(secrets, publics, packets)


def stages_of(isa: str, inputs: Inputs) -> dict[str, Stage]:
    """All stages of one instruction set, by the place where their figure stands in the result."""
    stages: dict[str, Stage] = {"x25519": Primitive("x25519", isa, BATCH)}
    stages["subgroup"] = repeated(Primitive("subgroup", isa, BATCH))
    for name in ("chacha20", "blake2b", "poly1305"):
        stages[name] = repeated(Primitive(name, isa, BATCH, MESSAGE))
    for geometry in GEOMETRIES:
        stages[f"link.{geometry}.open"] = repeated(LinkStage(isa, LINK_BATCH, True, geometry))
        stages[f"link.{geometry}.seal"] = repeated(LinkStage(isa, LINK_BATCH, False, geometry))
        for n in BATCHES:
            stages[f"unwrap.{geometry}.{n}"] = UnwrapStage(isa, inputs.packets[geometry][:n].copy(), inputs.secrets[0])
        for hops in BUILD_HOPS:
            publics = np.tile(inputs.publics[:hops], (BUILD_ROWS, 1, 1))
            stages[f"build.{geometry}.{hops}"] = BuildStage(isa, publics, np.zeros((BUILD_ROWS, hops - 1), np.uint16), geometry)
    return stages


def sodium_stages(sodium: Sodium | None, inputs: Inputs) -> dict[str, Stage]:
    """The baseline of both geometries, first held to our unwrap of the same packets; empty without libsodium."""
    stages: dict[str, Stage] = {}
    for geometry, packets in inputs.packets.items() if sodium else ():
        assert sodium is not None
        few = packets[:SODIUM_PACKETS].copy()
        stage = SodiumStage(sodium.addresses, few, inputs.secrets[0])
        same_results(stage, UnwrapStage("portable", few, inputs.secrets[0]))
        stages[f"libsodium.{geometry}"] = stage
    return stages


def same_results(one: UnwrapStage | SodiumStage, other: UnwrapStage | SodiumStage) -> None:
    """`RuntimeError` unless both unwrap their packets to the same bytes, verdicts, delays and tags."""
    mine, theirs = one.results(), other.results()
    wrong = [name for name in mine if not np.array_equal(mine[name], theirs[name])]
    if wrong or mine["verdict"].any():
        raise RuntimeError(f"{one.isa} and {other.isa} unwrap differently ({', '.join(wrong) or 'drops'}): nothing was measured")


def python_rates(use: Primitives, inputs: Inputs) -> dict[str, float]:
    """Packets a core-second of a program that unwraps one at a time from Python; quietest of five rounds, by geometry."""
    rates = {}
    for geometry, packets in inputs.packets.items():
        few = packets[:PYTHON_PACKETS]
        ours = sphinx.unwrap(few, inputs.secrets[0], geometry=geometry, replay_key=inputs.secrets[0])
        secret, singles = inputs.secrets[0].tobytes(), [row.tobytes() for row in few]
        theirs = [one_at_a_time.unwrap(use, packet, secret, secret) for packet in singles]
        if [row.tobytes() for row in ours.packets] != [packet for *_, packet in theirs]:
            raise RuntimeError(f"{use.name} and fastmix unwrap differently: nothing was measured")
        rounds = []
        for _ in range(5):
            began = time.process_time()
            for packet in singles:
                one_at_a_time.unwrap(use, packet, secret, secret)
            rounds.append(time.process_time() - began)
        rates[geometry] = len(singles) / min(rounds)
    return rates


def build_requests_rates(inputs: Inputs) -> dict[str, dict[str, int]]:
    """Packets a core-second of `sphinx.build_requests`, which makes new arrays at each call; quietest of ten, by geometry and
    hops."""
    found: dict[str, dict[str, int]] = {}
    for name, geometry in GEOMETRIES.items():
        data = np.zeros((BUILD_ROWS, geometry.data_size), np.uint8)
        for hops in BUILD_HOPS:
            publics = np.tile(inputs.publics[:hops], (BUILD_ROWS, 1, 1))
            targets = np.zeros((BUILD_ROWS, hops - 1), np.uint16)
            rounds = []
            for _ in range(10):
                began = time.thread_time_ns()
                sphinx.build_requests(data, publics, targets, geometry=name)
                rounds.append(time.thread_time_ns() - began)
            found.setdefault(name, {})[str(hops)] = round(BUILD_ROWS * 1e9 / min(rounds))
    return found


def shuffle_ns(n: int = 16_384) -> float:
    """ns for each element of a shuffle of n slot numbers, its random words included; quietest of ten."""
    from fastmix.dataplane.entropy import Entropy

    slots, entropy = np.arange(n, dtype=np.uint32), Entropy()
    entropy.shuffle(slots)
    rounds = []
    for _ in range(10):
        began = time.thread_time_ns()
        entropy.shuffle(slots)
        rounds.append(time.thread_time_ns() - began)
    return min(rounds) / n


def replay_size(free: int) -> int:
    """Bytes of the replay set that is measured, in whole lines, where so many are free."""
    return max(min(REPLAY_SIZE, free // REPLAY_PART), REPLAY_SIZE_LEAST) // 64 * 64


def replay_insert_ns(size: int, n: int = 8192, rounds: int = 12) -> float:
    """ns of CPU time to insert a tag, in batches of 256, into a set of `size` bytes in shared memory, in pages of 4 KiB as a
    tmpfs has them; quietest round."""
    from fastmix.kernels._replay import ReplaySet

    lines = np.frombuffer(mmap.mmap(-1, size), np.uint32)
    lines[:] = 0  # maps the pages
    replay, slots, draw = ReplaySet(lines), np.arange(256, dtype=np.uint32), np.random.default_rng()
    taken = []
    for _ in range(rounds):
        tags, verdicts = draw.integers(0, 256, (n // 256, 256, 16), np.uint8), np.zeros(256, np.uint8)
        began = time.thread_time_ns()
        for batch in tags:
            replay.insert(batch, verdicts, slots)
        taken.append(time.thread_time_ns() - began)
        if verdicts.any():
            raise RuntimeError("the replay set refused fresh tags: nothing was measured")
    return min(taken) / n


def chosen_isas(wanted: str | None) -> tuple[str, ...]:
    """The instruction sets to measure: the active one, the one named, or `all`; `ConfigError` names the choices."""
    from fastmix.kernels.isa import active, supported

    if wanted is None:
        return (active().name,)
    if wanted != "all" and wanted not in supported():
        raise ConfigError(f"--isa {wanted}: this build and CPU have {', '.join(supported())}; or say all")
    return supported() if wanted == "all" else (wanted,)


def pin_to_last_core() -> Callable[[], None]:
    """Keeps this thread on one core; returns what undoes it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    return lambda: os.sched_setaffinity(0, before)


def bench_kernels(isa: str | None = None, *, quick: bool = False, progress: Progress = silent) -> dict[str, Any]:
    """Measures; see `fastmix bench kernels --help`. The result is what `--json` prints."""
    isas = chosen_isas(isa)
    machine, inputs, sodium = describe_machine(), make_inputs(), find_sodium()
    unpin = pin_to_last_core()
    try:
        stages = sodium_stages(sodium, inputs)
        for name in isas:
            stages |= {f"{name}/{place}": stage for place, stage in stages_of(name, inputs).items()}
        core_ghz()
        before = read_noise()
        best = quietest(stages, QUICK_S if quick else BUDGET_S * len(isas), progress)
        set_size = replay_size(machine_of(Host()).memory)
        shuffle, replay, built = shuffle_ns(), replay_insert_ns(set_size), build_requests_rates(inputs)
        baseline = baselines(sodium, best, inputs)
        after = read_noise()
    finally:
        unpin()
    ghz = best[f"{isas[-1]}/unwrap.wan.{BATCH}"].ghz
    blocks = {name: block_of(name, best) for name in isas}
    return {
        "bench": "kernels", "machine": machine, "noise": complaints(before, after), "steal": round(steal_share(before, after), 5),
        "core_ghz": round(ghz, 3), "shuffle_ns": round(shuffle, 2),
        "replay_insert": {
            "ns": round(replay, 1), "bar_ns": REPLAY_BAR_NS, "set_mb": round(set_size / 1e6, 1),
            "core_share": round(replay * REPLAY_RATE / 1e9, 5), "at_per_s": REPLAY_RATE,
        },
        "build_requests": built, "baseline": baseline, **blocks[isas[-1]], "isas": blocks,
    }  # fmt: skip


def baselines(sodium: Sodium | None, best: dict[str, Best], inputs: Inputs) -> dict[str, Any]:
    """libsodium from C with its cycles, the Python ones with their rates, and why one is missing."""
    found: dict[str, Any] = {"libsodium": {"absent": ABSENT}}
    if sodium:
        found["libsodium"] = {"version": sodium.version}
        for geometry in inputs.packets:
            one = best[f"libsodium.{geometry}"]
            found["libsodium"][geometry] = rate_of(one)
    for use in (one_at_a_time.pynacl(), one_at_a_time.pycryptodome()):
        if use:
            rates = {geometry: {"packets_per_s": round(rate)} for geometry, rate in python_rates(use, inputs).items()}
            found[use.name.lower()] = {"version": use.version, **rates}
    found.setdefault("pynacl", {"absent": "PyNaCl is not installed: `pip install pynacl` brings it"})
    return found


def block_of(isa: str, best: dict[str, Best]) -> dict[str, Any]:
    """The figures of one instruction set."""

    def cycles(place: str) -> int:
        return round(best[f"{isa}/{place}"].cycles)

    return {
        "isa": isa,
        "x25519": {
            "cycles": cycles("x25519"),
            "ghz": round(best[f"{isa}/x25519"].ghz, 2),
            "floor_cycles": floor_of(isa, "x25519"),
        },
        "subgroup": {
            "cycles": cycles("subgroup"),
            "unwrap_share": {name: round(cycles("subgroup") / cycles(f"unwrap.{name}.{BATCH}"), 3) for name in GEOMETRIES},
        },
        **{
            name: {"cycles": cycles(name), "bytes": MESSAGE, "floor_cycles": floor_of(isa, name)}
            for name in ("chacha20", "blake2b", "poly1305")
        },
        "link": {name: {act: cycles(f"link.{name}.{act}") for act in ("open", "seal")} for name in GEOMETRIES},
        "unwrap": {name: unwrap_of(isa, name, best) for name in GEOMETRIES},
        "build": {name: {str(hops): rate_of(best[f"{isa}/build.{name}.{hops}"]) for hops in BUILD_HOPS} for name in GEOMETRIES},
    }


def floor_of(isa: str, figure: str) -> int | None:
    """The counted floor of a figure on this CPU, core cycles; None where it is not known."""
    return FLOORS.get(isa, {}).get(figure) if is_intel() else None


def rate_of(one: Best) -> dict[str, float]:
    """Cycles a packet, by the clock read under this work, and packets a core-second."""
    return {"cycles": round(one.cycles), "ghz": round(one.ghz, 2), "packets_per_s": round(1e9 / one.ns)}


def unwrap_of(isa: str, geometry: str, best: dict[str, Best]) -> dict[str, Any]:
    """The unwrap of one geometry, at batch 64 and at all others. The ratio to libsodium is one of times, not of cycles."""
    at_batch = best[f"{isa}/unwrap.{geometry}.{BATCH}"]
    one = best.get(f"libsodium.{geometry}")
    return {
        **rate_of(at_batch),
        "floor_cycles": floor_of(isa, f"unwrap.{geometry}"),
        "vs_libsodium": round(one.ns / at_batch.ns, 2) if one else None,
        "by_batch": {str(n): round(best[f"{isa}/unwrap.{geometry}.{n}"].cycles) for n in BATCHES},
    }
