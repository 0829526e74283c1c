"""Failure detection in simulated networks: how soon, how seldom wrong, and back again. Every failure prints its seed."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from swim_town import Town, name

from fastmix.control.liveness import ROUND_S

SIZES = (9, 16, 30)


@contextmanager
def seeded(seed: int | None = None) -> Iterator[int]:
    """A seed that is printed where something fails."""
    seed = random.randrange(1 << 32) if seed is None else seed
    print(f"seed {seed}")
    yield seed


@pytest.mark.parametrize("resets", [False, True], ids=["silent", "resets"])
@pytest.mark.parametrize("n", SIZES)
def test_a_killed_node_is_suspected_in_a_second_and_dead_in_four(n: int, resets: bool) -> None:
    with seeded() as seed:
        first, last = [], []
        for round_ in range(4):
            town = Town(n, seed + round_)
            town.run(town.random.uniform(2, 3))
            whom, killed = name(town.random.randrange(n)), town.now
            town.residents[whom].up, town.residents[whom].resets = False, resets
            town.run(4.0)
            assert {identity for _, _, identity, _ in town.history} == {whom}
            first.append(town.first("suspect", whom, killed))
            last.append(town.last("dead", whom, killed))
        print(n, resets, first, last)
        assert sum(first) / len(first) < 1.3
        assert max(first) < 1.6
        assert max(last) < 4.0


@pytest.mark.parametrize("n", SIZES)
def test_it_is_found_dead_though_a_tenth_of_all_messages_is_lost(n: int) -> None:
    with seeded() as seed:
        town = Town(n, seed, loss=0.1, delay=(0.001, 0.08))
        town.run(5.0)
        whom, killed = name(town.random.randrange(n)), town.now
        town.residents[whom].up = False
        town.run(6.0)
        assert town.last("dead", whom, killed) < 5.0
        assert town.think("dead", whom) == set(town.residents) - {whom}


@pytest.mark.parametrize("n", SIZES)
def test_nobody_is_dead_who_is_not(n: int) -> None:
    with seeded() as seed:
        check_nobody_dies(Town(n, seed, loss=0.1, delay=(0.001, 0.15)), 30.0)


@pytest.mark.long
@pytest.mark.parametrize("n", SIZES)
def test_nobody_is_dead_who_is_not_for_long(n: int) -> None:
    with seeded() as seed:
        check_nobody_dies(Town(n, seed, loss=0.1, delay=(0.001, 0.15)), 600.0)


def check_nobody_dies(town: Town, seconds: float) -> None:
    """A tenth of all messages is lost, and round trips take up to 0.3 s. A suspicion is over soon."""
    town.run(seconds)
    assert not [what for _, _, _, what in town.history if what == "dead"]
    assert town.share("suspect") < 0.1


def test_without_loss_nobody_is_suspected() -> None:
    with seeded() as seed:
        town = Town(20, seed, delay=(0.001, 0.15))
        town.run(20.0)
        assert not town.history


@pytest.mark.parametrize("n", SIZES)
def test_a_partition_and_its_end(n: int) -> None:
    """Each side takes the other one for dead, and nobody of its own; all are back a round after the cables are."""
    with seeded() as seed:
        town = Town(n, seed)
        town.run(2.0)
        here = set(town.random.sample(town.identities, n // 3))
        town.cut = lambda a, b: (a in here) != (b in here)
        town.run(20.0)
        for whom in town.identities:
            others = set(town.identities) - here if whom in here else here
            assert town.think("dead", whom) == others
        town.cut = lambda a, b: False
        town.run(ROUND_S + 0.5)
        for whom in town.identities:
            assert not town.think("dead", whom)
        town.run(2.0)
        for whom in town.identities:
            assert len(town.think("alive", whom)) == n - 1


def test_a_node_that_starts_anew_refutes_what_is_thought_of_the_one_before() -> None:
    with seeded() as seed:
        town = Town(16, seed)
        whom = name(7)
        for _ in range(3):
            town.run(2.0)
            town.residents[whom].up = False
            town.run(4.5)
            assert len(town.think("dead", whom)) == 15
            town.arrive(whom)
            began = town.now
            town.run(2.0)
            assert town.last("alive", whom, began) < ROUND_S + 0.4
            assert len(town.think("alive", whom)) == 15
        assert town.residents[whom].liveness.incarnation > 0


def test_a_cut_between_two_is_no_death() -> None:
    """Others reach both."""
    with seeded() as seed:
        town = Town(9, seed)
        town.cut = lambda a, b: {a, b} == {name(1), name(2)}
        town.run(30.0)
        assert not town.history


def test_a_node_that_was_stopped_takes_nobody_for_dead() -> None:
    """It is dead for the others meanwhile. When it goes on, time in which it did not run was nobody's silence."""
    with seeded() as seed:
        town = Town(9, seed)
        town.run(2.0)
        stopped = town.residents[name(3)]
        stopped.stopped = True
        town.run(8.0)
        assert len(town.think("dead", name(3))) == 8
        stopped.stopped = False
        town.run(3.0)
        assert len(town.think("alive", name(3))) == 8
        assert {of for _, _, of, what in town.history if what == "dead"} == {name(3)}


def test_what_it_costs() -> None:
    """A ping for each peer and round, while nothing happens."""
    with seeded() as seed:
        town = Town(30, seed)
        town.run(18.0)
        assert town.pings == pytest.approx(30 * 29 * 18 / ROUND_S, rel=0.1)
