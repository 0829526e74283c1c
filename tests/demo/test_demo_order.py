"""The measure of order: first in, first out is 1, by lot is 0."""

import numpy as np
import pytest

from fastmix.demo.order import compare, spearman

N = 4000


def sequence(stay: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of N arrivals, one a time unit, and of their departures, in one sequence of events."""
    arrived = np.arange(N, dtype=np.float64)
    events = np.concatenate([arrived, arrived + stay])
    place = np.argsort(np.argsort(events, kind="stable"))
    return place[:N].astype(np.int64), place[N:].astype(np.int64)


def test_a_queue_keeps_the_order() -> None:
    order = compare(*sequence(np.full(N, 25.5)))
    assert order.correlation == pytest.approx(1.0)
    assert order.mean_set == pytest.approx(26, abs=2)
    assert order.n_packets == N


def test_exponential_delays_leave_no_order() -> None:
    order = compare(*sequence(np.random.default_rng(5).exponential(30, N)))
    assert abs(order.correlation) < 0.05
    assert order.n_sets > 50


def test_a_stack_turns_the_order_round() -> None:
    """Batches of twenty that leave backwards."""
    at = np.arange(N)
    assert compare(*sequence((at // 20 + 1) * 20 - at + (19 - at % 20) * 0.01)).correlation < -0.8


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_packets_have_no_order(n: int) -> None:
    arrived = np.arange(n, dtype=np.int64)
    order = compare(arrived, arrived + 100)
    assert (order.correlation, order.n_sets) == (0.0, 0)


def test_spearman_of_known_orders() -> None:
    assert spearman(np.array([3, 5, 9])) == 1.0
    assert spearman(np.array([9, 5, 3])) == -1.0
    assert spearman(np.array([2, 1, 4, 3, 5])) == pytest.approx(0.8)
