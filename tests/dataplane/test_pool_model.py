"""The pool against a plain model: nothing lost, nothing twice, floor and bounds kept, whatever happens in whatever order."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pool_bench import MS, SLOTS, Bench

from fastmix.mixing import (
    AdaptiveMix,
    ClassRule,
    MixingLimits,
    MixingStrategy,
    PoissonMix,
    PriorityMix,
    ThresholdMix,
    TimedMix,
)

CLASSES = 2


class Whimsical(MixingStrategy):
    """Names whom it likes, now and then wrongly."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)

    def due_ns(self, pool, now_ns):
        return now_ns + int(self.rng.integers(-5 * MS, 5 * MS))

    def select(self, pool, now_ns):
        if self.rng.random() < 0.2:
            return self.rng.integers(-2, len(pool) + 3, 4)
        return np.flatnonzero(self.rng.random(len(pool)) < 0.5)


def _strategy(number: int) -> MixingStrategy:
    makers = (
        PoissonMix, lambda: TimedMix("20ms"), lambda: ThresholdMix(15), AdaptiveMix, Whimsical,
        lambda: PriorityMix([ClassRule(TimedMix("5ms"), max_batch_size=3, min_batch_size=1), "poisson"]),
    )  # fmt: skip
    return makers[number]()


class PoolModel(RuleBasedStateMachine):
    """Keeps, for each pooled slot, arrival, deadline, class and link, and predicts what must and may not happen."""

    def __init__(self):
        super().__init__()
        self.now_ns = 0
        self.below_floor = 0
        self.drain_end_ns = None
        self.bench = Bench(PoissonMix(), classes=CLASSES, floor=5, upstreams=4, max_latency_ns=60 * MS, min_batch_size=2)
        self.inside: dict[int, tuple[int, int, int, int]] = {}

    @rule(n=st.integers(0, 60), delay_ms=st.integers(0, 90), ingress=st.integers(0, 5), class_=st.integers(0, CLASSES - 1))
    def packets_come(self, n, delay_ms, ingress, class_):
        slots = self.bench.add(n, self.now_ns, delay_ms * MS, ingress, class_)
        self.inside |= dict.fromkeys(slots, (self.now_ns, self.now_ns + delay_ms * MS, class_, ingress))

    @rule(step_us=st.integers(0, 30_000))
    def time_passes(self, step_us):
        self.now_ns += step_us * 1000

    @rule()
    def time_passes_to_the_next_due_moment(self):
        due_ns = self.bench.pool.next_due_ns(self.now_ns)
        if due_ns < self.now_ns + 1000 * MS:
            self.now_ns = max(self.now_ns, due_ns)

    @rule(number=st.integers(0, 5), floor=st.integers(0, 12), max_batch=st.integers(2, 30), latency_ms=st.integers(0, 80))
    def another_strategy(self, number, floor, max_batch, latency_ms):
        limits = MixingLimits(
            min_batch_size=2, max_batch_size=max_batch, max_latency_ns=latency_ms * MS, floor=floor, upstreams=4, tick_ns=MS
        )
        self.bench.pool.configure(_strategy(number), limits)

    @rule()
    def packets_leave_once(self):
        self._leaves(self.bench.pool.release(self.now_ns).tolist())

    @rule()
    def all_that_are_due_leave(self):
        for _ in range(SLOTS):
            batch = self.bench.pool.release(self.now_ns).tolist()
            self._leaves(batch)
            due_ns = self.bench.pool.next_due_ns(self.now_ns)
            if due_ns > self.now_ns or (due_ns == self.drain_end_ns and not batch):
                break
        else:
            pytest.fail("it never ends")
        assert all(self._bound_ns(slot) > self.now_ns for slot in self.inside)

    @precondition(lambda self: not self.bench.pool.draining)
    @rule(timeout_ms=st.integers(0, 200))
    def a_drain_begins(self, timeout_ms):
        self.drain_end_ns = self.now_ns + timeout_ms * MS
        self.bench.pool.drain(self.drain_end_ns)

    @precondition(lambda self: self.bench.pool.draining)
    @rule()
    def the_drain_ends(self):
        dropped = self.bench.pool.drop_all().tolist()
        assert sorted(dropped) == sorted(self.inside)
        self.inside.clear()

    def _keeps_deadlines(self, class_):
        return self.bench.pool.strategy.keeps_deadlines_of(class_)

    def _bound_ns(self, slot):
        arrival_ns, deadline_ns, class_, _ = self.inside[slot]
        return (deadline_ns if self._keeps_deadlines(class_) else arrival_ns) + self.bench.pool.limits.max_latency_ns

    def _leaves(self, slots):
        assert len(set(slots)) == len(slots)
        per_class = Counter(self.inside[slot][2] for slot in slots)  # a KeyError: one that was not inside
        for class_, n in per_class.items():
            assert n <= self.bench.pool.strategy.limits_of(class_, self.bench.pool.limits).max_batch_size
        not_forced = [slot for slot in slots if self._bound_ns(slot) > self.now_ns]
        for slot in not_forced:
            deadline_ns, class_ = self.inside[slot][1:3]
            if self.bench.pool.draining or isinstance(self.bench.pool.strategy, PoissonMix):
                assert self._keeps_deadlines(class_)
                assert deadline_ns <= self.now_ns
        for slot in slots:
            del self.inside[slot]
        if not_forced:
            assert self._counted() >= self.bench.pool.limits.floor
        below_floor = self.bench.pool.released_below_floor
        assert below_floor - self.below_floor <= len(slots) - len(not_forced)
        if slots and self._counted() < self.bench.pool.limits.floor:
            assert below_floor > self.below_floor
        else:
            assert below_floor == self.below_floor
        self.below_floor = below_floor

    def _counted(self):
        links = Counter(ingress for *_, ingress in self.inside.values())
        return sum(min(n, self.bench.pool.limits.link_cap) for n in links.values())

    @invariant()
    def pool_and_model_agree(self):
        pool = self.bench.pool
        assert len(pool) == len(self.inside) == pool.arrivals - pool.departures
        assert pool.counted == self._counted()
        assert sorted(pool._slots[: len(pool)].tolist()) == sorted(self.inside)
        for position, slot in enumerate(pool._slots[: len(pool)].tolist()):
            kept = (pool._arrival[position], pool._deadline[position], pool._class[position], pool._ingress[position])
            assert kept == self.inside[slot]


TestPoolModel = PoolModel.TestCase
TestPoolModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True)


class TestPoolModelLong(PoolModel.TestCase):
    settings = settings(max_examples=600, stateful_step_count=60, deadline=None)
    pytestmark = pytest.mark.long
