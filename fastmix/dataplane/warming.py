"""Compiles what the mixer needs before the first packet. Road: start → **here**.

The parent calls `warm` before it forks the data plane: compiling, or loading the cache, takes seconds; the fork inherits
the result.
"""

import numpy as np

from fastmix.dataplane.entropy import Entropy
from fastmix.dataplane.pool import Pool
from fastmix.kernels import grouping
from fastmix.mixing import MixingLimits, PoissonMix, ThresholdMix


def warm() -> None:
    """Takes a few packets through every Numba kernel, with the very types that the node uses."""
    dtypes = {"arrival_ns": np.int64, "deadline_ns": np.int64, "class_": np.uint8, "ingress": np.uint16}
    columns = {name: np.zeros(4, dtype=dtype) for name, dtype in dtypes.items()}
    limits = MixingLimits(min_batch_size=1, floor=1)
    pool = Pool(columns, PoissonMix(), limits, capacity=4, entropy=Entropy(bytes(32)))
    pool.add(np.arange(4, dtype=np.uint32))
    pool.release(0)
    pool.configure(ThresholdMix(1), limits)
    pool.add(np.zeros(1, dtype=np.uint32))
    pool.missing(0)
    pool.release(limits.tick_ns)
    pool.drain(0)
    pool.add(np.arange(2, dtype=np.uint32))
    pool.release(2 * limits.tick_ns)
    grouping.by_link(np.zeros(2, dtype=np.uint32), np.zeros(1, dtype=np.uint16))
