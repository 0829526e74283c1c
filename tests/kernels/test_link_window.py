"""The replay window against the twin, and against a set that forgets nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastmix.kernels._link import Window
from fastmix.packet.geometry import WINDOW_SIZE
from fastmix.packet.verdict import Verdict
from fastmix.reference import link

OK, REPLAY, OLD = Verdict.OK, Verdict.DROP_LINK_REPLAY, Verdict.DROP_LINK_OLD


class SetWindow:
    """The same rule in two lines: old if 8,192 or more behind the largest, replay if seen."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.largest = -1

    def accept(self, seq: int) -> Verdict:
        if self.largest - seq >= WINDOW_SIZE:
            return OLD
        if seq in self.seen:
            return REPLAY
        self.seen.add(seq)
        self.largest = max(self.largest, seq)
        return OK


def verdicts(seqs: list[int]) -> list[int]:
    return Window().accept(np.array(seqs, np.uint32)).tolist()


def by_set(seqs: list[int]) -> list[int]:
    window = SetWindow()
    return [window.accept(seq) for seq in seqs]


@pytest.mark.parametrize("start", [0, 1, 63, 64, 8191, 8192, 8255, 8256, 8257, 2**31 - 1, 2**32 - 1])
def test_edges_of_the_window(start: int) -> None:
    behind = [back for back in (0, 1, 63, 64, 65, 8190, 8191, 8192, 8193, 8255, 8256, 8257) if back <= start]
    seqs = [start] + [start - back for back in behind] * 2
    assert verdicts(seqs) == by_set(seqs)


def test_8191_behind_is_inside_and_8192_outside() -> None:
    assert verdicts([10_000, 10_000 - 8191, 10_000 - 8192]) == [OK, OK, OLD]
    assert verdicts([10_000, 10_000 - 8191, 10_000 - 8191]) == [OK, OK, REPLAY]


@pytest.mark.parametrize("jump", [1, 2, 63, 64, 65, 127, 128, 8191, 8192, 8193, 8255, 8256, 8257, 16_512, 100_000])
def test_jumps_clear_what_they_pass(jump: int) -> None:
    """A full window, then a jump, then every number that can still be inside."""
    start = list(range(8300))
    top = start[-1] + jump
    seqs = [*start, top, *range(max(0, top - 8300), top + 1)]
    assert verdicts(seqs) == by_set(seqs)


def test_in_order_in_reverse_and_shuffled() -> None:
    order = np.random.default_rng(1).permutation(40_000)
    near = np.argsort(np.arange(40_000) + np.random.default_rng(2).uniform(0, 9000, 40_000))
    for seqs in (range(20_000), range(20_000, -1, -1), order, near, np.concatenate([near, near])):
        assert verdicts(list(seqs)) == by_set([int(seq) for seq in seqs])


STEPS = st.one_of(
    st.integers(-3, 3),
    st.integers(-9000, 9000),
    st.sampled_from([base + off for base in (-8256, -8192, -64, 64, 8192, 8256) for off in (-1, 0, 1)]),
    st.integers(-(2**32), 2**32),
)


@settings(derandomize=True, deadline=None)
@given(st.lists(STEPS, max_size=200), st.integers(0, 2**32 - 1))
def test_any_walk_equals_the_set(steps: list[int], start: int) -> None:
    seqs = [start]
    for step in steps:
        seqs.append(min(max(seqs[-1] + step, 0), 2**32 - 1))
    window = link.Window()
    assert verdicts(seqs) == by_set(seqs) == [window.accept(seq) for seq in seqs]


def test_top_is_one_more_than_the_largest() -> None:
    window = Window()
    assert window.top == 0
    window.accept(np.array([5, 3, 2**32 - 1], np.uint32))
    assert window.top == 2**32
