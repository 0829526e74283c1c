"""Fisher-Yates over slot numbers. Road: pool → **here** → grouping by link.

Pure: no clock, no randomness of its own. The words come from `fastmix.dataplane.entropy`, and each is overwritten when it is
used, so that a later look into memory does not give back an order that was drawn.
"""

import numpy as np
import numpy.typing as npt

from fastmix.kernels.jit import njit

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


@njit(cache=True)
def fisher_yates(slots: npt.NDArray[np.uint32], left: int, stop: int, words: npt.NDArray[np.uint32], at: int) -> tuple[int, int]:
    """Shuffles `slots[:left]` in place from its end until only `slots[:stop]` is undrawn; `slots[stop:left]` is then a
    uniformly drawn selection in uniformly drawn order. Draws without bias: multiply, and reject the low part (Lemire, 2019,
    arXiv 1805.10941).

    Uses `words[at:]` u32[*] and zeroes what it used. Returns (left, at); left > max(stop, 1) says that the words ran out: call
    again with more.
    """
    while left > stop and left > 1:
        bound = np.uint64(left)
        threshold = (_LOW + np.uint64(1) - bound) % bound
        while True:
            if at == len(words):
                return left, at
            product = np.uint64(words[at]) * bound
            words[at] = 0
            at += 1
            if (product & _LOW) >= threshold:
                break
        j = np.int64(product >> _SHIFT)
        left -= 1
        kept = slots[left]
        slots[left] = slots[j]
        slots[j] = kept
    return left, at
