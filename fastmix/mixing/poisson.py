"""Poisson mixing (Loopix, USENIX Security 2017, section 4.2): every packet leaves after the exponential delay that its sender
drew.
"""

import numpy as np
import numpy.typing as npt

from fastmix.mixing.strategy import NEVER, MixingStrategy, PoolView


class PoissonMix(MixingStrategy):
    """A packet may leave from its deadline on. The default, and what the framework does in place of a strategy that fails."""

    keeps_deadlines = True

    def due_ns(self, pool: PoolView, now_ns: int) -> int:
        """The earliest deadline, if the floor lets anything leave."""
        return int(pool.deadline_ns.min()) if pool.spare else NEVER

    def select(self, pool: PoolView, now_ns: int) -> npt.NDArray[np.int64]:
        """Those whose deadline has come."""
        return (pool.deadline_ns <= now_ns).nonzero()[0]
