"""What lost loops say about nodes: the dead are found, nobody is cut off, and one node cannot have another one avoided."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from fastmix.client.loops import EXIT_LOST_S, LOST_IN_A_ROW, SUSPECTED_S, LoopWatch

MEAN = 0.05
EXIT = 100
seeds, widths = st.integers(0, 2**32), st.integers(1, 6)


class World:
    """Loops over two layers, `rate` a second, and a rule for which of them are lost."""

    def __init__(self, seed: int, width: int, rate: float = 20.0) -> None:
        self.random, self.rate, self.now = random.Random(seed), rate, 0.0
        self.watch = LoopWatch(MEAN)
        self.layers = {1: list(range(width)), 2: list(range(10, 10 + width)), 3: [EXIT]}
        self.suspected: dict[int, str] = {}
        self.ever: set[int] = set()
        self.back: list[tuple[float, bytes]] = []

    def run(self, seconds: float, is_lost) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 1 / self.rate
            for at, loop_id in [pair for pair in self.back if pair[0] <= self.now]:
                self.watch.back(loop_id, at)
                self.back.remove((at, loop_id))
            ways = [[node for node in self.layers[layer] if node not in self.suspected] for layer in (1, 2)]
            assert all(ways), "no layer is ever avoided altogether"
            hops = (self.random.choice(ways[0]), self.random.choice(ways[1]), EXIT)
            loop_id = self.random.randbytes(16)
            self.watch.left(loop_id, hops, self.now)
            if not is_lost(*hops):
                self.back.append((self.now + sum(self.random.expovariate(1 / MEAN) for _ in hops), loop_id))
            self.suspected = self.watch.look(self.now, self.layers)
            self.ever |= self.suspected.keys()
            for layer in (1, 2):
                n = sum(node in self.suspected for node in self.layers[layer])
                assert n <= len(self.layers[layer]) // 2


@given(seeds, st.integers(2, 6), st.sampled_from([1, 2]))
@settings(max_examples=20, deadline=None)
def test_a_dead_node_is_found_and_nobody_else(seed: int, width: int, layer: int) -> None:
    world = World(seed, width)
    world.run(3, lambda *_: False)
    assert not world.ever
    dead = world.layers[layer][0]
    world.run(10, lambda *hops: dead in hops)
    assert world.ever == {dead}


@given(seeds, st.integers(3, 5))
@settings(max_examples=15, deadline=None)
def test_it_comes_back_and_waits_grow(seed: int, width: int) -> None:
    world = World(seed, width)
    world.run(10, lambda *hops: 0 in hops)
    assert world.ever == {0}
    world.run(SUSPECTED_S + 2, lambda *_: False)
    assert not world.suspected
    world.run(5, lambda *_: False)
    assert not world.suspected


@given(seeds, st.integers(3, 5), st.integers(0, 4))
@settings(max_examples=20, deadline=None)
def test_a_node_that_frames_another_one_is_suspected_at_most_itself(seed: int, width: int, victim: int) -> None:
    """It loses what goes on to its victim, and nothing else."""
    world = World(seed, width)
    target = 10 + victim % width
    world.run(60, lambda first, second, _: first == 0 and second == target)
    assert not world.ever


@given(seeds, widths)
@settings(max_examples=20, deadline=None)
def test_a_line_that_is_down_suspects_nobody(seed: int, width: int) -> None:
    world = World(seed, width)
    world.run(3, lambda *_: False)
    world.run(10, lambda *_: True)
    assert not world.ever
    assert world.watch.exit_is_lost(world.now)
    world.run(2 + EXIT_LOST_S, lambda *_: False)
    assert not world.ever
    assert not world.watch.exit_is_lost(world.now)


@given(seeds, st.integers(1, 4), st.floats(0.0, 0.1))
@settings(max_examples=20, deadline=None)
def test_some_loss_is_no_death(seed: int, width: int, loss: float) -> None:
    world = World(seed, width)
    luck = random.Random(seed)
    world.run(30, lambda *_: luck.random() < loss)
    assert len(world.ever) <= 1


@given(st.lists(st.tuples(st.sampled_from(["left", "back", "look", "exit"]), st.integers(0, 9), st.floats(0, 3)), max_size=200))
@settings(max_examples=60, deadline=None)
def test_whatever_comes(acts: list[tuple[str, int, float]]) -> None:
    watch, now = LoopWatch(MEAN), 0.0
    layers = {1: [0, 1, 2], 2: [10, 11], 3: [EXIT]}
    for act, at, wait in acts:
        now += wait
        if act == "left":
            watch.left(bytes([at]) * 16, (at % 3, 10 + at % 2, EXIT), now)
        elif act == "back":
            took = watch.back(bytes([at]) * 16, now)
            assert took is None or took >= 0
        elif act == "exit":
            watch.forget_exit()
        suspected = watch.look(now, layers)
        assert all(sum(node in suspected for node in nodes) <= len(nodes) // 2 for nodes in layers.values())


def test_a_late_loop_shows_life() -> None:
    watch = LoopWatch(MEAN)
    layers = {1: [0, 1], 2: [10, 11]}
    for at in range(LOST_IN_A_ROW - 1):
        watch.left(bytes([at]) * 16, (0, 10 + at % 2, EXIT), 0.1 * at)
    watch.left(b"n" * 16, (1, 10, EXIT), 1.0)
    assert not watch.look(5.0, layers)
    watch.back(bytes(16), 5.0)
    watch.left(b"m" * 16, (0, 11, EXIT), 5.0)
    watch.left(b"o" * 16, (1, 10, EXIT), 5.1)
    assert watch.back(b"o" * 16, 5.2) is not None
    assert not watch.look(9.0, layers)
