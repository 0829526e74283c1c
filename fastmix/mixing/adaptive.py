"""Adaptive batching: the batch follows the traffic."""

import math

import numpy as np
import numpy.typing as npt

from fastmix.errors import ConfigError
from fastmix.mixing.strategy import NEVER, MixingStrategy, PoolView


class AdaptiveMix(MixingStrategy):
    """A pool mix whose batch size N and batch time T follow the measured arrival rate r, so that a packet's expected anonymity
    set, N + floor, is as near to `target_set` as latency allows:

        T = latency_share * max_latency                          the longest time that a batch is collected
        r = r * e^(-dt / max_latency) + (1 - e^(-dt / max_latency)) * arrivals / dt       at every question, dt after the last one
        N = clamp(r * T, min_batch_size, target_set - floor)     and never above max_batch_size
        flush when N packets wait above the floor, or T after the last flush if min_batch_size do

    Busy nodes send batches of full size as often as they fill (after target / r), quiet ones wait up to T and send what came.
    `target_set` defaults to max_batch_size + floor. A share of one third leaves time for a packet that the floor's lot keeps
    back twice. The oldest packet's `max_latency` flushes in any case, so that it has company.
    """

    def __init__(self, target_set: int | None = None, latency_share: float = 1 / 3) -> None:
        if target_set is not None and (not isinstance(target_set, int) or isinstance(target_set, bool) or target_set < 2):
            raise ConfigError(f"target_set of the adaptive strategy is {target_set!r}: use a whole number from 2 on")
        if not isinstance(latency_share, (int, float)) or not 0 < latency_share <= 1:
            raise ConfigError(f"latency_share of the adaptive strategy is {latency_share!r}: use a number above 0, at most 1")
        self.target_set = target_set
        self.latency_share = float(latency_share)
        self.rate = 0.0
        """Measured arrivals, packets/s."""
        self._seen_ns: int | None = None
        self._seen_arrivals = 0
        self._flushed_ns = 0

    def due_ns(self, pool: PoolView, now_ns: int) -> int:
        """Now, if a batch is full; else when the batch time ends or the oldest packet must leave."""
        self._measure(pool, now_ns)
        if pool.spare >= self.batch_size(pool):
            return now_ns
        batch_end_ns = self._flushed_ns + int(self.latency_share * pool.max_latency_ns)
        return min(batch_end_ns if pool.spare >= pool.min_batch_size else NEVER, pool.oldest_ns + pool.max_latency_ns)

    def select(self, pool: PoolView, now_ns: int) -> npt.NDArray[np.int64]:
        """Everyone."""
        self._flushed_ns = now_ns
        return pool.everyone()

    def batch_size(self, pool: PoolView) -> int:
        """N of the formula."""
        target = pool.max_batch_size if self.target_set is None else min(self.target_set - pool.floor, pool.max_batch_size)
        collected = self.rate * self.latency_share * pool.max_latency_ns / 1e9
        return max(min(int(collected), target), pool.min_batch_size)

    def _measure(self, pool: PoolView, now_ns: int) -> None:
        if self._seen_ns is None:
            self._seen_ns = self._flushed_ns = now_ns
            self._seen_arrivals = pool.arrivals
        dt_ns = now_ns - self._seen_ns
        if dt_ns > 0:
            old = math.exp(-dt_ns / max(pool.max_latency_ns, 1))
            self.rate = self.rate * old + (1 - old) * (pool.arrivals - self._seen_arrivals) / dt_ns * 1e9
            self._seen_ns, self._seen_arrivals = now_ns, pool.arrivals
