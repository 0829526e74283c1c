"""The statistics under the timing test, on series whose answer is known."""

import numpy as np
from welch import largest_t


def series(seed: int, n: int, leak: float) -> float:
    """t of n times of about 10,000 cycles on a loud machine, to which a random secret adds `leak` cycles."""
    draw = np.random.default_rng(seed)
    is_random = draw.integers(0, 2, n).astype(bool)
    interrupts = (draw.random(n) < 0.05) * draw.pareto(1.1, n) * 20_000
    times = 10_000 + draw.gamma(2, 40, n) + interrupts + is_random * leak
    return largest_t(times.astype(np.uint64), is_random)


def test_noise_alone_is_no_leak() -> None:
    assert max(abs(series(seed, 4000, 0)) for seed in range(40)) < 6


def test_a_leak_of_a_fifth_of_a_percent_is_seen_through_the_noise() -> None:
    assert all(series(seed, 4000, 20) > 10 for seed in range(10))


def test_series_without_any_difference() -> None:
    assert largest_t(np.full(1000, 7, np.uint64), np.arange(1000) % 2 == 0) == 0
