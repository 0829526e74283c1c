"""Size batching: everything leaves as soon as enough have come."""

import numpy as np
import numpy.typing as npt

from fastmix.errors import ConfigError
from fastmix.mixing.strategy import NEVER, MixingStrategy, PoolView


class ThresholdMix(MixingStrategy):
    """A threshold pool mix: once `size` packets wait above the floor, the pool is flushed down to its floor. Those who stay are
    drawn by lot.

    `size` defaults to the node's `min_batch_size`. The oldest packet's `max_latency` flushes a smaller batch, so that it has
    company.
    """

    def __init__(self, size: int | None = None) -> None:
        if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
            raise ConfigError(f"size of the size strategy is {size!r}: use a whole number from 1 on")
        self.size = size

    def due_ns(self, pool: PoolView, now_ns: int) -> int:
        """Now, if there are enough; else the oldest packet's last moment."""
        enough = max(self.size or 0, pool.min_batch_size)
        return now_ns if pool.spare >= enough else min(pool.oldest_ns + pool.max_latency_ns, NEVER)

    def select(self, pool: PoolView, now_ns: int) -> npt.NDArray[np.int64]:
        """Everyone."""
        return pool.everyone()
