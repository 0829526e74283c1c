"""What a measured machine is proposed, and that a node takes it."""

from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from fastmix.config import check_node_settings
from fastmix.kernels.isa import supported
from fastmix.profile import load_profile
from fastmix.tune.auto import BATCHES, Measured, measure, propose
from fastmix.tune.facts import Machine
from fastmix.tune.host import Host

GB = 1 << 30


def measured(cores: int, memory: int, quota: float = inf, **loopback_ns: int) -> Measured:
    by_isa, by_batch = {"portable": 10_000, "avx2": 20_000}, {32: 15_000, 64: 19_800, 128: 20_000}
    return Measured(Machine(cores, quota, memory), by_isa, by_batch, loopback_ns or {"gso": 300, "mmsg": 1800})


@pytest.mark.parametrize(
    ("found", "based_on", "messages"),
    [
        (measured(1, GB // 2), "small-host", 16_000),
        (measured(8, GB // 2, 1.5), "small-host", 16_000),
        (measured(1, 4 * GB), "single-thread", 16_000),
        (measured(2, 64 * GB), "optimized", 32_000),
        (measured(16, 64 * GB), "optimized", 240_000),
        (measured(64, 64 * GB), "optimized", 256_000),
        (measured(16, 64 * GB, mmsg=1800, socket=5000), "multi-threaded", 240_000),
        (measured(16, 64 * GB, gso=2000, mmsg=1800), "multi-threaded", 240_000),
    ],
)
def test_proposals(found: Measured, based_on: str, messages: int, tmp_path: Path) -> None:
    proposal = propose(found)
    assert (proposal.based_on, found.isa, found.batch) == (based_on, "avx2", 64)
    settled = load_profile(based_on).node | dict(proposal.node)
    assert (settled["workers"], settled["receive_batch"]) == (messages // 16_000, 256)
    assert settled["io"] in ("auto", found.io) or based_on == "single-thread"
    need = messages * 780
    assert settled["replay_capacity"] <= need
    assert settled["replay_capacity"] * 6.4 <= found.machine.memory / 4
    assert settled["replay_capacity"] > 0.8 * min(need, found.machine.memory / 4 / 6.4)
    assert 4096 <= settled["pool_slots"] <= 1 << 18
    seconds = int(proposal.why["replay_capacity"].partition(" a second for ")[2].split()[0])
    assert messages * seconds <= settled["replay_capacity"] < messages * (seconds + 1)
    path = tmp_path / "mine.toml"
    path.write_text(proposal.to_toml("mine"))
    assert load_profile(path).node == settled
    check_node_settings(load_profile(path))


@pytest.mark.parametrize(("rate", "proposed"), [(20_000, None), (21_900, None), (22_100, 64)])
def test_another_batch_takes_a_clear_gain(rate: int, proposed: int | None) -> None:
    """A tenth more than with the profile's."""
    found = replace(measured(2, 64 * GB), by_batch={64: rate, 128: 20_500, 256: 20_000})
    assert propose(found).node.get("receive_batch") == proposed


def test_this_machine() -> None:
    found = measure(Host())
    assert set(found.by_isa) == set(supported())
    assert set(found.by_batch) == set(BATCHES)
    assert list(found.loopback_ns)[-1] == "socket"
    assert all(50 < ns < 100_000 for ns in found.loopback_ns.values())
    check_node_settings(load_profile(propose(found).based_on))
