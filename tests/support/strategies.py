"""Strategies of a user's, for nodes in other processes: this module is on their import path."""

import numpy as np
import numpy.typing as npt

from fastmix import MixingStrategy
from fastmix.mixing import PoolView


class OldestFirst(MixingStrategy):
    """The oldest half leaves every 10 ms."""

    def due_ns(self, pool: PoolView, now_ns: int) -> int:
        return now_ns + 10_000_000

    def select(self, pool: PoolView, now_ns: int) -> npt.NDArray[np.int64]:
        return np.argsort(pool.arrival_ns)[: len(pool) // 2]


class Unfinished(MixingStrategy):
    """Cannot be unpickled."""

    def __reduce__(self) -> str:
        raise TypeError("holds a socket")

    def due_ns(self, pool: PoolView, now_ns: int) -> int:
        return now_ns

    def select(self, pool: PoolView, now_ns: int) -> npt.NDArray[np.int64]:
        return np.arange(0)
