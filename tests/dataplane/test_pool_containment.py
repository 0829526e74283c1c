"""Rubbish from a strategy is counted, logged once, and replaced by Poisson's rule."""

import logging

import numpy as np
import pytest
from pool_bench import MS, Bench

from fastmix.errors import ConfigError
from fastmix.kernels.deadlines import NEVER
from fastmix.mixing import EMPTY, MixingLimits, MixingStrategy, PoissonMix


class Rubbish(MixingStrategy):
    """Answers what it is given; an exception is raised."""

    keeps_deadlines = True

    def __init__(self, due=0, selection=EMPTY):
        self.due = due
        self.selection = selection

    def due_ns(self, pool, now_ns):
        return self._answer(self.due, pool)

    def select(self, pool, now_ns):
        return self._answer(self.selection, pool)

    @staticmethod
    def _answer(answer, pool):
        if isinstance(answer, BaseException):
            raise answer
        return answer(pool) if callable(answer) else answer


SELECTIONS = {
    "beyond the end": lambda pool: np.array([len(pool)]),
    "negative": np.array([-1]),
    "huge": np.array([2**63 + 5], dtype=np.uint64),
    "twice the same": np.array([0, 1, 0]),
    "more than there are": lambda pool: np.zeros(len(pool) + 1, dtype=np.int64),
    "good ones, then one beyond": lambda pool: np.array([0, 1, 2, len(pool)]),
    "floats": np.array([0.0, 1.0]),
    "a mask": lambda pool: np.ones(len(pool), dtype=bool),
    "objects": np.array([0, None], dtype=object),
    "two dimensions": np.array([[0, 1]]),
    "no dimension": np.array(3),
    "a list": [0, 1],
    "None": None,
    "text": "all",
    "an error": ValueError("secret"),
    "an exit": SystemExit(3),
    "deep recursion": RecursionError(),
    "a write": lambda pool: pool.deadline_ns.__setitem__(0, 0),
}
DUES = {
    "None": None,
    "a float": 3.5,
    "not a number": float("nan"),
    "a bool": True,
    "text": "now",
    "an array": np.array([1, 2]),
    "an error": KeyError("x"),
    "an exit": SystemExit(),
}


def _filled(strategy):
    bench = Bench(strategy, floor=10, max_latency_ns=500 * MS)
    due = bench.add(5, delay_ns=10 * MS)
    bench.add(20, delay_ns=300 * MS)
    return bench, set(due)


@pytest.mark.parametrize("selection", SELECTIONS.values(), ids=SELECTIONS)
def test_a_wrong_selection_is_a_fault_and_due_packets_leave_instead(selection, caplog):
    bench, due = _filled(Rubbish(selection=selection))
    with caplog.at_level(logging.WARNING):
        assert bench.release(9 * MS) == []
        assert bench.pool.strategy_faults == 1
        assert set(bench.release(10 * MS)) == due
        assert bench.pool.strategy_faults >= 2
    assert len(caplog.records) == 1
    assert "Rubbish" in caplog.text
    assert "secret" not in caplog.text
    assert len(bench.pool) == 20


@pytest.mark.parametrize("due", DUES.values(), ids=DUES)
def test_a_wrong_due_time_is_a_fault_and_the_earliest_deadline_counts(due, caplog):
    bench, slots = _filled(Rubbish(due=due, selection=lambda pool: (pool.deadline_ns <= 10 * MS).nonzero()[0]))
    with caplog.at_level(logging.WARNING):
        assert bench.pool.next_due_ns(0) == 10 * MS
        assert set(bench.release(10 * MS)) == slots
        bench.pool.next_due_ns(11 * MS)
    assert bench.pool.strategy_faults >= 2
    assert len(caplog.records) == 1


@pytest.mark.parametrize("due", [-(10**30), -1, 0, NEVER, 10**30, np.int64(5), np.uint64(2**64 - 1)])
def test_nonsense_times_neither_hold_packets_for_ever_nor_spin(due):
    bench, _ = _filled(Rubbish(due=due))
    for now_ns in range(0, 5 * MS, MS // 10):
        bench.release(now_ns)
        assert bench.pool.next_due_ns(now_ns) > now_ns
    assert len(bench.pool) == 25
    assert len(bench.release(800 * MS)) == 25
    assert bench.pool.strategy_faults == 0


def test_answers_of_any_integer_type_are_taken():
    for dtype in (np.int8, np.uint8, np.uint32, np.uint64, np.int64):
        bench, _ = _filled(Rubbish(selection=np.arange(0, 10, 2).astype(dtype)))
        assert len(bench.release(0)) == 5
        strided, _ = _filled(Rubbish(selection=np.arange(10, dtype=dtype)[::-2]))
        assert len(strided.release(0)) == 5
        assert strided.pool.strategy_faults == 0


def test_what_a_strategy_is_shown_cannot_be_written_and_names_no_link():
    seen = []
    bench, _ = _filled(Rubbish(selection=lambda pool: seen.append(pool) or EMPTY))
    bench.release(0)
    (view,) = seen
    for column in (view.arrival_ns, view.deadline_ns, view.class_):
        assert not column.flags.writeable
    assert not {"ingress", "link", "peer_id", "next_index"} & set(dir(view))


def test_faults_of_a_strategy_that_was_replaced_stay_counted_and_each_is_logged(caplog):
    bench, _ = _filled(Rubbish(selection=None))
    with caplog.at_level(logging.WARNING):
        bench.release(0)
        bench.pool.configure(Rubbish(selection="x"), MixingLimits())
        bench.release(2 * MS)
        bench.pool.configure(PoissonMix(), MixingLimits())
    assert bench.pool.strategy_faults == 2
    assert len(caplog.records) == 2
    assert bench.pool.strategy_ns >= bench.pool.strategy_max_ns > 0


@pytest.mark.parametrize("method", ["prepare", "limits_of", "keeps_deadlines_of"])
def test_a_strategy_that_fails_when_it_is_taken_changes_nothing(method):
    bench, _ = _filled(PoissonMix())
    before = bench.pool.strategy

    def fail(self, *args):
        raise ZeroDivisionError("no")

    broken = type("Broken", (Rubbish,), {method: fail})()
    with pytest.raises(ConfigError, match="mixing strategy Broken cannot be used: no"):
        bench.pool.configure(broken, MixingLimits(floor=3))
    assert bench.pool.strategy is before
    assert bench.pool.limits.floor == 10
    assert len(bench.pool) == 25


def test_limits_of_must_give_limits():
    bench, _ = _filled(PoissonMix())
    broken = type("Broken", (Rubbish,), {"limits_of": lambda self, class_, limits: {"floor": 0}})()
    with pytest.raises(ConfigError, match=r"mixing strategy Broken: limits_of.0. is dict, not MixingLimits"):
        bench.pool.configure(broken, MixingLimits())
