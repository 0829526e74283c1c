"""The pool on a virtual clock: floor, bounds, drain, change of strategy."""

import numpy as np
import pytest
from pool_bench import MS, SLOTS, Bench

from fastmix.dataplane.pool import Pool
from fastmix.errors import ConfigError
from fastmix.kernels.deadlines import NEVER
from fastmix.mixing import MixingLimits, MixingStrategy, PoissonMix, PriorityMix, ThresholdMix, TimedMix
from fastmix.mixing.priority import ClassRule


def test_a_due_packet_leaves_at_its_deadline_when_the_floor_stays_behind():
    bench = Bench(PoissonMix(), floor=10)
    bench.add(10, delay_ns=400 * MS)
    (early,) = bench.add(1, delay_ns=7 * MS)
    assert bench.pool.next_due_ns(0) == 7 * MS
    assert bench.release(7 * MS - 1) == []
    assert bench.release(7 * MS) == [early]
    assert len(bench.pool) == 10
    assert bench.pool.released_below_floor == 0


def test_below_the_floor_a_packet_waits_max_latency_beyond_its_deadline_and_is_counted():
    bench = Bench(PoissonMix(), floor=10, max_latency_ns=500 * MS)
    (slot,) = bench.add(1, delay_ns=50 * MS)
    assert bench.pool.next_due_ns(0) == 550 * MS
    assert bench.release(550 * MS - 1) == []
    assert bench.release(550 * MS) == [slot]
    assert bench.pool.released_below_floor == 1
    assert bench.pool.next_due_ns(550 * MS) == NEVER


def test_company_that_comes_releases_a_packet_that_waited():
    bench = Bench(PoissonMix(), floor=5)
    (slot,) = bench.add(1, delay_ns=10 * MS)
    assert bench.release(20 * MS) == []
    bench.add(5, now_ns=30 * MS, delay_ns=400 * MS)
    assert bench.pool.next_due_ns(30 * MS) <= 30 * MS
    assert bench.release(30 * MS) == [slot]
    assert bench.pool.released_below_floor == 0


@pytest.mark.parametrize(
    ("upstreams", "cap"), [(0, 80), (1, 80), (2, 80), (3, 53), (4, 40), (8, 20), (15, 10), (16, 10), (17, 10), (400, 10)]
)
def test_one_ingress_link_counts_for_at_most_its_share_of_the_floor(upstreams, cap):
    assert MixingLimits(floor=80, upstreams=upstreams).link_cap == cap
    bench = Bench(PoissonMix(), floor=80, upstreams=upstreams)
    bench.add(200, delay_ns=MS, ingress=7)
    assert bench.pool.counted == cap
    assert (bench.pool.spare > 0) == (cap == 80)


@pytest.mark.parametrize("floor", [1, 2, 7, 10, 100])
@pytest.mark.parametrize("upstreams", [1, 2, 3, 5, 8, 15, 16, 17, 100, 250])
def test_all_upstreams_together_can_always_fill_the_floor(floor, upstreams):
    cap = MixingLimits(floor=floor, upstreams=upstreams).link_cap
    assert cap == 1 or cap * upstreams >= floor
    assert cap <= max(floor / 8, 2 * floor / max(upstreams, 1), 1)


def test_a_flooding_link_does_not_drive_the_others_packets_out():
    bench = Bench(PoissonMix(), floor=10, upstreams=8, max_batch_size=1000)
    flood = bench.add(500, delay_ns=MS, ingress=1)
    honest = [slot for link in range(2, 6) for slot in bench.add(2, delay_ns=MS, ingress=link)]
    left = bench.release(10 * MS)
    assert set(left) < set(flood)
    assert bench.pool.counted == 10
    assert len(left) == 498
    assert not set(left) & set(honest)


def test_a_large_flush_leaves_as_several_batches_before_the_strategy_is_asked_again():
    bench = Bench(ThresholdMix(300), floor=10, max_batch_size=100)
    slots = bench.add(310)
    sizes = []
    while len(batch := bench.pool.release(0)):
        sizes.append(len(batch))
        assert bench.pool.next_due_ns(0) == 0 or sum(sizes) == 300
    assert sizes == [100, 100, 100]
    assert len(bench.pool) == 10
    assert set(bench.pool.drop_all().tolist()) < set(slots)


def test_who_stays_in_a_flush_is_drawn_by_lot():
    stayed = np.zeros(SLOTS)
    for round_ in range(400):
        bench = Bench(ThresholdMix(30), seed=round_.to_bytes(32, "big"), floor=10)
        bench.add(40)
        assert len(bench.release(0)) == 30
        stayed[bench.pool.drop_all()] += 1
    counts = stayed[stayed > 0]
    assert len(counts) == 40
    assert ((counts - 100) ** 2 / 75).sum() < 100  # 39 degrees of freedom, p = 2e-7


def test_no_packet_is_kept_longer_than_max_latency_whatever_the_strategy_says():
    class Never(MixingStrategy):
        def due_ns(self, pool, now_ns):
            return NEVER

        def select(self, pool, now_ns):
            raise AssertionError("not asked")

    bench = Bench(Never(), floor=2, max_latency_ns=100 * MS)
    first = bench.add(30)
    bench.add(20, now_ns=60 * MS)
    assert bench.pool.next_due_ns(0) == 100 * MS
    assert sorted(bench.release(100 * MS)) == sorted(first)
    assert bench.pool.released_below_floor == 0
    assert bench.pool.next_due_ns(100 * MS) == 160 * MS
    assert len(bench.release(160 * MS)) == 20
    assert bench.pool.released_below_floor == 2
    assert bench.pool.strategy_faults == 0


def test_a_strategy_that_is_held_back_by_the_floor_is_asked_once_a_tick():
    class Eager(MixingStrategy):
        asked = 0

        def due_ns(self, pool, now_ns):
            return now_ns

        def select(self, pool, now_ns):
            self.asked += 1
            return pool.everyone()

    eager = Eager()
    bench = Bench(eager, floor=10, tick_ns=MS)
    bench.add(5)
    for now_ns in range(0, 10 * MS, MS // 10):
        assert bench.release(now_ns) == []
    assert eager.asked == 10
    assert bench.pool.next_due_ns(9 * MS + 5) == 10 * MS


def test_drain_poisson_keeps_deadlines_and_the_floors_rule():
    bench = Bench(PoissonMix(), floor=10, max_latency_ns=100 * MS)
    bench.add(11, delay_ns=50 * MS)
    bench.pool.drain(deadline_ns=170 * MS)
    assert bench.pool.draining
    assert bench.release(49 * MS) == []
    assert len(bench.release(50 * MS)) == 1
    assert bench.pool.next_due_ns(51 * MS) == 150 * MS
    assert len(bench.release(150 * MS)) == 10
    assert bench.pool.released_below_floor == 10


@pytest.mark.parametrize("strategy", [TimedMix("10ms"), ThresholdMix(20)])
def test_drain_timed_and_size_wait_for_arrival_plus_max_latency(strategy):
    bench = Bench(strategy, floor=10, max_latency_ns=100 * MS)
    bench.add(15)
    bench.add(5, now_ns=30 * MS)
    bench.pool.drain(deadline_ns=110 * MS)
    assert bench.release(99 * MS) == []
    assert len(bench.release(100 * MS)) == 15
    assert bench.pool.next_due_ns(100 * MS) == 110 * MS
    assert len(bench.pool.drop_all()) == 5
    assert len(bench.pool) == 0
    assert bench.pool.next_due_ns(110 * MS) == NEVER
    assert bench.pool.arrivals == bench.pool.departures == 20


def test_configure_on_a_running_pool_keeps_every_packet():
    bench = Bench(TimedMix("1s"), floor=3, max_latency_ns=5_000 * MS)
    slots = bench.add(50, delay_ns=20 * MS)
    assert bench.release(20 * MS) == []
    bench.pool.configure(PoissonMix(), MixingLimits(floor=5, max_latency_ns=100 * MS))
    assert bench.pool.next_due_ns(20 * MS) <= 20 * MS
    left = bench.release(20 * MS)
    assert len(left) == 45
    assert bench.pool.next_due_ns(30 * MS) == 120 * MS
    assert set(left) | set(bench.release(120 * MS)) == set(slots)


def test_configure_recounts_the_floor_and_refuses_without_change():
    bench = Bench(PoissonMix(), floor=10, upstreams=8)
    bench.add(30, ingress=3)
    assert bench.pool.counted == 2
    bench.pool.configure(bench.pool.strategy, MixingLimits(floor=10, upstreams=2))
    assert bench.pool.counted == 10
    before = bench.pool.strategy
    with pytest.raises(ConfigError, match="rules for 2 classes, the network has 1"):
        bench.pool.configure(PriorityMix([PoissonMix(), PoissonMix()]), MixingLimits())
    with pytest.raises(ConfigError, match="an instance of MixingStrategy, not str"):
        bench.pool.configure("timed", MixingLimits())  # type: ignore[arg-type]
    assert bench.pool.strategy is before


def test_each_class_has_its_batch_and_latency():
    slow_rule = ClassRule(PoissonMix(), max_batch_size=7, min_batch_size=1)
    rules = [slow_rule, ClassRule(ThresholdMix(5), min_batch_size=1, max_latency="20ms")]
    bench = Bench(PriorityMix(rules), classes=2, floor=4, max_latency_ns=500 * MS)
    slow = set(bench.add(20, delay_ns=10 * MS, class_=0))
    fast = set(bench.add(3, class_=1))
    assert len(bench.pool.release(9 * MS)) == 0
    first = set(bench.pool.release(10 * MS).tolist())
    assert len(first) == 7
    assert first <= slow
    assert set(bench.release(10 * MS)) <= slow
    assert len(bench.pool) == 4
    assert set(bench.release(20 * MS)) >= fast - first


def test_add_refuses_what_does_not_fit_or_is_no_slot():
    bench = Bench(PoissonMix(), capacity=4)
    bench.add(3)
    with pytest.raises(ValueError, match="2 slots do not fit into a pool with room for 1"):
        bench.pool.add(np.array([1, 2], dtype=np.uint32))
    with pytest.raises(ValueError, match="slot 4096 is none: the columns have 4096 rows"):
        bench.pool.add(np.array([SLOTS], dtype=np.uint32))
    assert len(bench.pool) == 3
    assert bench.pool.room == 1


def test_columns_of_the_wrong_kind_are_refused():
    bench = Bench(PoissonMix())
    columns = {**bench.columns, "arrival_ns": np.zeros(SLOTS, dtype=np.float64)}
    with pytest.raises(TypeError, match="column arrival_ns is float64"):
        Pool(columns, PoissonMix(), MixingLimits(), 10)
