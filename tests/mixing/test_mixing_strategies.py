"""Each strategy on a virtual clock, through the pool as a node runs it."""

import numpy as np
import pytest
from pool_bench import MS, Bench

from fastmix.errors import ConfigError
from fastmix.mixing import AdaptiveMix, ClassRule, MixingStrategy, PoissonMix, PriorityMix, ThresholdMix, TimedMix


def run(bench: Bench, rate: float, seconds: float, seed: int = 1, class_: int = 0) -> list[tuple[int, list[int]]]:
    """Poisson arrivals of `rate` packets/s, delays of mean 50 ms; the clock stops wherever something comes or is due.

    Returns the batches, each with its time.
    """
    rng = np.random.default_rng(seed)
    now_ns, end_ns = 0, int(seconds * 1e9)
    arrival_ns = int(rng.exponential(1e9 / rate))
    batches = []
    while now_ns < end_ns:
        now_ns = min(arrival_ns, max(bench.pool.next_due_ns(now_ns), now_ns))
        if now_ns == arrival_ns:
            bench.add(1, now_ns, int(rng.exponential(50) * MS), ingress=int(rng.integers(2)), class_=class_)
            arrival_ns += int(rng.exponential(1e9 / rate)) + 1
        batch = bench.pool.release(now_ns).tolist()
        if batch:
            batches.append((now_ns, batch))
            bench.free = batch + bench.free
    return batches


def delays_ms(bench: Bench, batches: list[tuple[int, list[int]]]) -> np.ndarray:
    """How long the packets waited. Slots are used again only after all others, so the last ones' columns still say it."""
    return np.array([(now_ns - bench.columns["arrival_ns"][slot]) / MS for now_ns, batch in batches for slot in batch])


def test_timed_flushes_at_each_interval_down_to_the_floor():
    bench = Bench(TimedMix("100ms"), floor=10, min_batch_size=1, max_batch_size=4000)
    batches = run(bench, rate=800, seconds=2)
    gaps = np.diff([now_ns for now_ns, _ in batches])
    assert len(batches) == pytest.approx(20, abs=1)
    assert gaps.min() >= 100 * MS
    assert gaps.max() < 105 * MS
    assert len(bench.pool) >= 10
    assert bench.pool.released_below_floor == 0
    # half an interval, and 10 of 90 stay for another
    assert delays_ms(bench, batches[1:]).mean() == pytest.approx(50 + 100 * 10 / 80, rel=0.15)


def test_timed_waits_for_min_batch_size():
    bench = Bench(TimedMix("10ms"), floor=10, min_batch_size=20)
    assert bench.pool.next_due_ns(0) > MS
    bench.add(29)
    bench.release(0)
    assert bench.release(50 * MS) == []
    bench.add(1, now_ns=60 * MS)
    assert len(bench.release(60 * MS)) == 20
    assert bench.pool.released_below_floor == 0


@pytest.mark.parametrize("strategy", [TimedMix("10ms"), ThresholdMix(50), AdaptiveMix()], ids=lambda each: type(each).__name__)
def test_a_packet_that_must_leave_has_company(strategy):
    bench = Bench(strategy, floor=5, min_batch_size=40, max_latency_ns=100 * MS)
    (old,) = bench.add(1)
    bench.add(20, now_ns=60 * MS)
    assert bench.pool.next_due_ns(60 * MS) == 100 * MS
    left = bench.release(100 * MS)
    assert old in left
    assert len(left) == 16
    assert len(bench.pool) == 5


def test_size_flushes_as_soon_as_so_many_wait_above_the_floor():
    bench = Bench(ThresholdMix(30), floor=10, min_batch_size=1)
    bench.add(39)
    assert bench.pool.next_due_ns(0) == 500 * MS
    assert bench.release(0) == []
    bench.add(1, now_ns=5 * MS)
    assert bench.pool.next_due_ns(5 * MS) <= 5 * MS
    assert len(bench.release(5 * MS)) == 30
    assert len(bench.pool) == 10


def test_size_defaults_to_min_batch_size():
    bench = Bench(ThresholdMix(), floor=0, min_batch_size=12)
    bench.add(11)
    assert bench.release(MS) == []
    bench.add(1)
    assert len(bench.release(2 * MS)) == 12


def test_adaptive_batches_follow_the_rate():
    sizes = {}
    for rate in (40, 300, 20_000):
        strategy = AdaptiveMix()
        bench = Bench(strategy, floor=10, min_batch_size=4, max_batch_size=100, max_latency_ns=500 * MS)
        batches = run(bench, rate, seconds=4 if rate < 1000 else 1.5)
        late = [len(batch) for now_ns, batch in batches[len(batches) // 2 :]]
        sizes[rate] = np.mean(late)
        assert strategy.rate == pytest.approx(rate, rel=0.35)
        assert delays_ms(bench, batches[-20:]).max() <= 500
    assert sizes[40] <= 15  # 20 come within max_latency, 10 of them are the floor
    assert sizes[300] == pytest.approx(300 / 6, abs=10)
    assert sizes[20_000] == pytest.approx(100, abs=15)


def test_adaptive_formula():
    strategy = AdaptiveMix(target_set=60, latency_share=0.5)
    bench = Bench(strategy, floor=10, min_batch_size=5, max_batch_size=100, max_latency_ns=400 * MS)
    view = bench.pool._look()
    for rate, size in ((0, 5), (20, 5), (100, 20), (250, 50), (10_000, 50)):
        strategy.rate = rate
        assert strategy.batch_size(view) == size
    assert AdaptiveMix(target_set=1000).batch_size(view) == 5
    strategy = AdaptiveMix()
    strategy.rate = 1e9
    assert strategy.batch_size(view) == 100


def test_poisson_keeps_the_senders_delays():
    bench = Bench(PoissonMix(), floor=10)
    batches = run(bench, rate=1000, seconds=3)
    kept = np.array([
        (now_ns - bench.columns["deadline_ns"][slot]) / MS for now_ns, batch in batches[-1000:] for slot in batch
    ])  # fmt: skip
    assert kept.min() >= 0
    assert kept.max() <= 1.0  # a tick
    assert bench.pool.released_below_floor == 0
    assert delays_ms(bench, batches[-1000:]).mean() == pytest.approx(50, rel=0.15)


def test_priority_mixes_each_class_by_its_own_strategy():
    fast = ClassRule(ThresholdMix(5), min_batch_size=1)
    slow = ClassRule(TimedMix("200ms"), min_batch_size=1, max_batch_size=8, max_latency="400ms")
    bench = Bench(PriorityMix([slow, fast]), classes=2, floor=4, max_latency_ns=500 * MS)
    assert bench.pool.next_due_ns(0) > 0
    slow_slots = set(bench.add(30, class_=0))
    bench.release(0)
    fast_slots = set(bench.add(5, now_ns=10 * MS, class_=1))
    assert set(bench.release(10 * MS)) == fast_slots
    assert bench.release(199 * MS) == []
    batch = set(bench.pool.release(200 * MS).tolist())
    assert len(batch) == 8
    assert batch < slow_slots


def test_priority_gives_unnamed_classes_poisson():
    bench = Bench(PriorityMix(), classes=4, floor=1)
    assert [type(rule.strategy) for rule in bench.pool.strategy.rules] == [PoissonMix] * 4
    bench.add(3, delay_ns=400 * MS, class_=1)
    (slot,) = bench.add(1, delay_ns=5 * MS, class_=3)
    assert bench.pool.next_due_ns(0) == 5 * MS
    assert bench.release(5 * MS) == [slot]


def test_a_class_may_not_be_kept_longer_than_the_node_allows():
    rules = [ClassRule(PoissonMix(), max_latency="2s")]
    with pytest.raises(ConfigError, match="max_latency of class 0 is 2000000000 ns, the node's 500000000 ns: lower it or raise"):
        Bench(PriorityMix(rules), max_latency_ns=500 * MS)


def test_a_strategy_of_ones_own():
    class Coin(MixingStrategy):
        """Binomial mix: at each tick everyone leaves with probability 1/4."""

        def __init__(self):
            self.rng = np.random.default_rng(1)

        def due_ns(self, pool, now_ns):
            return now_ns + 10 * MS

        def select(self, pool, now_ns):
            return np.flatnonzero(self.rng.random(len(pool)) < 0.25)

    class Ticking(Coin):
        def due_ns(self, pool, now_ns):
            return now_ns

    bench = Bench(Ticking(), floor=10, tick_ns=10 * MS, max_batch_size=4000)
    bench.add(1000)
    assert len(bench.release(0)) == pytest.approx(250, abs=60)
    assert len(bench.release(10 * MS)) == pytest.approx(190, abs=60)
    assert bench.pool.strategy_faults == 0
