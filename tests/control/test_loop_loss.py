"""Lost loops: what chance explains, what it does not, and on which nodes."""

import math
import random

import pytest

from fastmix.control.loop_loss import WINDOW_NS, Figure, LoopLoss, chance

S = 1_000_000_000


def watched(fates: list[bool], usual: float = 0.01, way: tuple[int, int] = (1, 2)) -> LoopLoss:
    loss = LoopLoss(usual)
    for at, is_lost in enumerate(fates):
        loss.note(at * S, is_lost, way)
    return loss


@pytest.mark.parametrize(("lost", "n", "share"), [(5, 5, 0.01), (10, 60, 0.01), (1, 3, 0.2), (40, 100, 0.3), (60, 60, 0.49)])
def test_chance_is_the_binomial_tail(lost, n, share) -> None:
    exact = math.fsum(math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(lost, n + 1))
    assert chance(lost, n, share) == pytest.approx(exact, rel=1e-9)


def test_no_more_than_usual_is_no_news() -> None:
    assert chance(0, 60, 0.01) == chance(1, 100, 0.01) == 1.0


@pytest.mark.parametrize(
    ("fates", "alarms"),
    [
        ([], False),
        ([True] * 4, False),
        ([True] * 5, True),
        ([False] * 55 + [True] * 5, True),
        ([False] * 51 + [True] * 4, False),
        (([False] * 5 + [True]) * 10, True),
        (([False] * 29 + [True]) * 2, False),
    ],
)
def test_what_alarms(fates, alarms) -> None:
    assert watched(fates).is_alarming() == alarms


def test_a_usual_loss_alarms_nobody_for_a_day_and_a_third_lost_is_found_in_a_minute() -> None:
    rng = random.Random(20261124)
    loss, alarms, began = LoopLoss(0.01), 0, 86_400
    for at in range(began):
        loss.note(at * S, rng.random() < 0.01, (1, 2))
        loss.look(at * S)
        alarms += at % 5 == 0 and loss.is_alarming()
    assert alarms == 0
    found = next(at for at in range(began, began + 600) if noted(loss, at, rng.random() < 0.33))
    assert found - began <= 60


def noted(loss: LoopLoss, at: int, is_lost: bool) -> bool:
    loss.note(at * S, is_lost, (1, 2))
    loss.look(at * S)
    return loss.is_alarming()


def test_what_is_a_minute_old_is_forgotten() -> None:
    loss = watched([True] * 20)
    assert loss.is_alarming()
    loss.look(19 * S + WINDOW_NS)
    assert loss.figure == Figure(1, 1)
    loss.look(100 * S)
    assert loss.figure == Figure(0, 0)
    assert not loss.is_alarming()


def test_the_node_that_all_lost_loops_have_gone_over_is_named() -> None:
    rng = random.Random(3)
    loss = LoopLoss(0.01)
    for at in range(600):
        way = rng.choice((1, 2, 3)), rng.choice((4, 5, 6))
        loss.note(at, way[1] == 5, way)
    assert list(loss.suspects()) == [5]
    figures = loss.figures()
    assert figures[5].share == 1.0
    assert figures[4].share == 0.0
    assert 0.2 < figures[1].share < 0.5
    assert set(loss.figures(first_hops=True)) == {1, 2, 3}


def test_two_that_look_alike_are_both_named_and_nobody_where_all_do() -> None:
    assert watched([True] * 9, way=(7, 8)).suspects() == {7: Figure(9, 9), 8: Figure(9, 9)}
    assert watched([False] * 9).suspects() == {}
