"""Do two interleaved series of times differ? Welch's t with cropping, as dudect does it."""

import numpy as np
import numpy.typing as npt

CROPPINGS = 1 - 0.5 ** (np.arange(1, 101) / 10)
"""Fractions of the measurements that stay, shortest first (Reparaz, Balasch and Verbauwhede 2017)."""
LEAST = 50
"""Measurements of each class below which a cropping says nothing."""


def welch_t(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """Welch's t of the difference of two means; 0 where neither series varies at all."""
    error = np.sqrt(first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second))
    difference = float(first.mean() - second.mean())
    return difference / max(float(error), 1e-9) if difference else 0.0


def largest_t(cycles: npt.NDArray[np.uint64], is_random: npt.NDArray[np.bool_]) -> float:
    """The t that is furthest from 0, over all measurements and over the shortest ones up to each of 100 limits."""
    times = cycles.astype(np.float64)
    limits = [np.inf, *np.quantile(times, CROPPINGS)]
    both = [(times[is_random & (times <= limit)], times[~is_random & (times <= limit)]) for limit in limits]
    found = [welch_t(*pair) for pair in both if min(map(len, pair)) >= LEAST]
    return max(found, key=abs, default=0.0)
