"""Random draws of a client: routes, times, ids. All from one entropy source, the kernel's unless a test gives a seeded one."""

import math
import os
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Entropy = Callable[[int], bytes]
_POISSON_STEP = 16.0
"""Largest mean that is inverted at once: exp(-16) is far from underflow."""


class Draw:
    """Draws from `entropy(n) -> n bytes`."""

    def __init__(self, entropy: Entropy | None = None, choices: Entropy | None = None) -> None:
        """Without `entropy`, the kernel's. `choices`: another source for `below` alone, which chooses the routes."""
        self._seeded = entropy is not None
        self._entropy = entropy or os.urandom
        self._choices = choices or self._entropy

    def octets(self, n: int) -> bytes:
        """n random bytes."""
        return self._entropy(n)

    def seed(self) -> bytes | None:
        """`entropy` for the builders of `fastmix.sphinx`: None, so that they ask the kernel, unless this draw is seeded."""
        return self._entropy(32) if self._seeded else None

    def below(self, bound: int, n: int) -> npt.NDArray[np.int64]:
        """n integers, uniform over 0..bound-1 (bound <= 2^32), unbiased by rejection; int64[n]."""
        limit = (1 << 32) // bound * bound
        drawn = np.empty(0, np.int64)
        while len(drawn) < n:
            words = np.frombuffer(self._choices(4 * (n - len(drawn))), "<u4").astype(np.int64)
            drawn = np.concatenate((drawn, words[words < limit] % bound))
        return drawn

    def permutation(self, n: int) -> npt.NDArray[np.intp]:
        """A uniform order of 0..n-1; intp[n]."""
        return np.argsort(np.frombuffer(self._entropy(8 * n), "<u8"), kind="stable")

    def uniform(self) -> float:
        """Uniform over (0, 1), 53 bits."""
        return ((int.from_bytes(self._entropy(8), "little") >> 11) + 0.5) * 2.0**-53

    def fractions(self, n: int) -> npt.NDArray[np.float64]:
        """n numbers, uniform over [0, 1), 53 bits; f64[n]."""
        words = np.frombuffer(self._entropy(8 * n), "<u8") >> np.uint64(11)
        return words.astype(np.float64) * 2.0**-53

    def poisson(self, mean: float) -> int:
        """A Poisson count, by inversion of steps of a mean of at most 16."""
        total = 0
        while mean > 0:
            step = min(mean, _POISSON_STEP)
            mean -= step
            total += self._poisson_step(step)
        return total

    def _poisson_step(self, mean: float) -> int:
        u, p, n = self.uniform(), math.exp(-mean), 0
        while u > p and p > 0:
            u -= p
            n += 1
            p *= mean / n
        return n
