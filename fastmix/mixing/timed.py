"""Timed batching: everything that has come leaves at fixed intervals."""

from datetime import timedelta

import numpy as np
import numpy.typing as npt

from fastmix.mixing.limits import duration_ns
from fastmix.mixing.strategy import NEVER, MixingStrategy, PoolView


class TimedMix(MixingStrategy):
    """A timed pool mix: every `interval` the pool is flushed down to its floor. Those who stay are drawn by lot.

    A flush waits for `min_batch_size`, but not beyond the oldest packet's `max_latency`, so that a packet which must leave has
    company.
    """

    def __init__(self, interval: timedelta | str | float = timedelta(milliseconds=100)) -> None:
        self.interval_ns = duration_ns(interval, "interval of the timed strategy")
        self._flushed_ns: int | None = None

    def due_ns(self, pool: PoolView, now_ns: int) -> int:
        """The end of the interval, or the oldest packet's last moment."""
        if self._flushed_ns is None:
            self._flushed_ns = now_ns
        interval_end_ns = self._flushed_ns + self.interval_ns if pool.spare >= pool.min_batch_size else NEVER
        return min(interval_end_ns, pool.oldest_ns + pool.max_latency_ns)

    def select(self, pool: PoolView, now_ns: int) -> npt.NDArray[np.int64]:
        """Everyone."""
        self._flushed_ns = now_ns
        return pool.everyone()
