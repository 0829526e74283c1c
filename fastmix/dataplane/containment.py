"""Asks a strategy and believes nothing. Road: pool → **here** → shuffle.

A strategy may be anyone's. What it raises or answers wrongly is counted in `faults`, logged once, and replaced by the default
behaviour: packets leave at their own deadlines. Its time is measured; a strategy that never returns cannot be helped from
inside one thread, and shows as a data plane that stands still.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.mixing.strategy import NEVER, MixingStrategy, PoolView

_log = logging.getLogger("fastmix.mixing")


class Contained:
    """One strategy in use: `due_ns` and `select` as the strategy's, but they never raise and their types are sure; None stands
    for a fault.

    `strategy_ns` and `strategy_max_ns`: time spent in it, together and in the longest call.
    """

    __slots__ = ("_logged", "faults", "strategy", "strategy_max_ns", "strategy_ns")

    def __init__(self, strategy: MixingStrategy) -> None:
        self.strategy = strategy
        self.faults = 0
        self.strategy_ns = 0
        self.strategy_max_ns = 0
        self._logged = False

    def due_ns(self, view: PoolView, now_ns: int) -> int | None:
        """When the strategy wants to be asked, 0 to NEVER."""
        answer = self._ask(self.strategy.due_ns, view, now_ns)
        if isinstance(answer, _Fault):
            self.count_fault(f"due_ns raised {answer.name}")
            return None
        if isinstance(answer, bool) or not isinstance(answer, (int, np.integer)):
            self.count_fault(f"due_ns returned {type(answer).__name__}, not int")
            return None
        return min(max(int(answer), 0), NEVER)

    def select(self, view: PoolView, now_ns: int) -> npt.NDArray[np.int64] | None:
        """Whom the strategy names: i64[k], contiguous, the framework's own. Range and repeats are still unchecked."""
        answer = self._ask(self.strategy.select, view, now_ns)
        if isinstance(answer, _Fault):
            self.count_fault(f"select raised {answer.name}")
            return None
        if not isinstance(answer, np.ndarray):
            self.count_fault(f"select returned {type(answer).__name__}, not an array")
            return None
        if answer.ndim != 1 or answer.dtype.kind not in "iu":
            self.count_fault(f"select returned {answer.dtype}{list(answer.shape)}, not integers [k]")
            return None
        if len(answer) > len(view):
            self.count_fault(f"select returned {len(answer)} positions of {len(view)}")
            return None
        return np.array(answer, dtype=np.int64, subok=False)

    def _ask(self, question: Callable[[PoolView, int], Any], view: PoolView, now_ns: int) -> Any:
        begin = time.perf_counter_ns()
        try:
            return question(view, now_ns)
        except BaseException as error:  # anyone's code: CancelledError or SystemExit must not end the node either
            return _Fault(_place(error))
        finally:
            spent = time.perf_counter_ns() - begin
            self.strategy_ns += spent
            self.strategy_max_ns = max(self.strategy_max_ns, spent)

    def count_fault(self, what: str) -> None:
        """Counts an answer that is refused, and logs the first."""
        self.faults += 1
        if not self._logged:
            self._logged = True
            name = type(self.strategy).__name__
            _log.warning("mixing strategy %s: %s. Packets leave at their own deadlines instead. Logged once.", name, what)


def _place(error: BaseException) -> str:
    """Name of the exception, and the line that raised it; not its text, which may hold anything."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
    return type(error).__name__ + where


class _Fault:
    """What a strategy raised: see `_place`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name
