"""The contract of a mixing strategy, as a test for anyone's: `check_strategy(CustomMix())`."""

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastmix.mixing.limits import MixingLimits
from fastmix.mixing.strategy import MixingStrategy, PoolView

_MS = 1_000_000
_SIZES = (0, 1, 2, 9, 10, 11, 50, 400, 3, 0, 1_000, 10)


def check_strategy(strategy: MixingStrategy, classes: int = 1, seed: int = 1) -> None:
    """Shows `strategy` pools of many sizes and ages on a virtual clock and raises `AssertionError` with the first promise that
    it breaks.

    Promises: it survives pickling (it travels to the data plane), `due_ns` is an int, `select` gives distinct positions in
    range as a one-dimensional integer array, neither raises nor changes what it is shown, and an empty pool selects nobody.
    Works on a copy made by `pickle`.
    """
    assert isinstance(strategy, MixingStrategy), f"{type(strategy).__name__} is not a MixingStrategy"
    copy = _travelled(strategy)
    copy.prepare(classes)
    limits = MixingLimits()
    for class_ in range(classes):
        of_class = copy.limits_of(class_, limits)
        assert isinstance(of_class, MixingLimits), f"limits_of({class_}) returned {type(of_class).__name__}, not MixingLimits"
    for view, now_ns in _pools(limits, classes, seed):
        _check_answers(copy, view, now_ns)


def _travelled(strategy: MixingStrategy) -> MixingStrategy:
    try:
        copy: MixingStrategy = pickle.loads(pickle.dumps(strategy))
    except Exception as error:
        name = f"{type(strategy).__module__}:{type(strategy).__qualname__}"
        raise AssertionError(f"the strategy cannot be pickled ({error}): name it by its import path, {name!r}") from error
    return copy


def _pools(limits: MixingLimits, classes: int, seed: int) -> Iterator[tuple[PoolView, int]]:
    """Views of pools of all `_SIZES`, with clocks that run forward; first at time 0."""
    rng = np.random.default_rng(seed)
    now_ns = arrivals = 0
    for round_ in range(4):
        for n in _SIZES:
            arrivals += n
            age_ns = rng.integers(0, 40 * _MS * 4**round_, n)
            arrival_ns = np.maximum(now_ns - age_ns, 0)
            deadline_ns = arrival_ns + (rng.exponential(50, n) * _MS).astype(np.int64)
            class_ = rng.integers(0, classes, n).astype(np.uint8)
            for column in (arrival_ns, deadline_ns, class_):
                column.flags.writeable = False
            spare = max(n - limits.floor, 0)
            yield PoolView(arrival_ns, deadline_ns, class_, limits, spare, arrivals), now_ns
            now_ns += int(rng.integers(1, 100 * _MS))


def _check_answers(strategy: MixingStrategy, view: PoolView, now_ns: int) -> None:
    where = f"with {len(view)} packets at {now_ns} ns"
    due_ns = _ask("due_ns", strategy, view, now_ns, where)
    assert isinstance(due_ns, (int, np.integer)), f"due_ns returned {type(due_ns).__name__}, not int, {where}"
    assert not isinstance(due_ns, bool), f"due_ns returned a bool, not int, {where}"
    positions = _ask("select", strategy, view, now_ns, where)
    assert isinstance(positions, np.ndarray), f"select returned {type(positions).__name__}, not an array, {where}"
    assert positions.ndim == 1, f"select returned an array of {positions.ndim} dimensions, not 1, {where}"
    assert positions.dtype.kind in "iu", f"select returned {positions.dtype}, not integers, {where}"
    inside = (positions >= 0) & (positions < len(view))
    assert inside.all(), f"select named positions outside 0..{len(view) - 1}, {where}"
    assert len(np.unique(positions)) == len(positions), f"select named a position twice, {where}"


def _ask(question: str, strategy: MixingStrategy, view: PoolView, now_ns: int, where: str) -> Any:
    try:
        return getattr(strategy, question)(view, now_ns)
    except Exception as error:
        raise AssertionError(f"{question} raised {type(error).__name__}: {error}, {where}") from error
