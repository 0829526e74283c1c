"""After `warm`, a node compiles nothing more."""

import numpy as np
from numba.core.dispatcher import Dispatcher

from fastmix.dataplane.entropy import Entropy
from fastmix.dataplane.pool import Pool
from fastmix.dataplane.warming import warm
from fastmix.kernels import deadlines, grouping, shuffle
from fastmix.mixing import MixingLimits, PoissonMix, PriorityMix, TimedMix


def _compiled():
    found = [each for module in (deadlines, grouping, shuffle) for each in vars(module).values()]
    kernels = [each for each in found if isinstance(each, Dispatcher)]
    return {kernel.py_func.__name__: list(kernel.signatures) for kernel in kernels}


def test_warm_compiles_every_kernel_for_the_types_in_use():
    warm()
    before = _compiled()
    assert all(len(signatures) == 1 for signatures in before.values()), before
    dtypes = {"arrival_ns": np.int64, "deadline_ns": np.int64, "class_": np.uint8, "ingress": np.uint16}
    columns = {name: np.zeros(64, dtype=dtype) for name, dtype in dtypes.items()}
    columns["deadline_ns"][:] = np.arange(64)
    pool = Pool(columns, PriorityMix(), MixingLimits(floor=3), 64, 2, Entropy())
    every_slot = np.arange(64, dtype=np.uint32)
    every_slot.flags.writeable = False
    pool.add(every_slot[::2])
    out = pool.release(int(np.int64(40)))
    grouping.by_link(out, columns["ingress"])
    pool.configure(TimedMix(), MixingLimits(floor=3, max_latency_ns=5))
    pool.release(60)
    pool.configure(PoissonMix(), MixingLimits(floor=0))
    pool.release(100)
    pool.drain(200)
    pool.add(every_slot[1:2])
    pool.release(200)
    assert _compiled() == before
