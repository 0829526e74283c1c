"""Draws: the distributions, and that a seed repeats them."""

import random

import numpy as np
import pytest

from fastmix.client.draw import Draw


def seeded(seed):
    return Draw(random.Random(seed).randbytes)


@pytest.mark.parametrize("bound", [1, 2, 3, 7, 1000, 1 << 32])
def test_below_is_uniform(bound):
    drawn = seeded(1).below(bound, 20_000)
    assert drawn.min() >= 0
    assert drawn.max() < bound
    assert abs(drawn.mean() - (bound - 1) / 2) <= 4 * bound / np.sqrt(12 * 20_000)


@pytest.mark.parametrize("mean", [0.0, 0.01, 0.5, 3.0, 40.0])
def test_poisson_has_its_mean_and_variance(mean):
    draw = seeded(2)
    drawn = np.array([draw.poisson(mean) for _ in range(20_000)])
    assert abs(drawn.mean() - mean) <= 5 * np.sqrt(max(mean, 1e-9) / 20_000)
    assert drawn.var() == pytest.approx(mean, rel=0.15, abs=1e-9)


def test_a_permutation_holds_each_once():
    assert sorted(seeded(3).permutation(100)) == list(range(100))


def test_seeds_repeat_and_the_kernel_does_not():
    assert seeded(4).octets(9) == seeded(4).octets(9)
    assert Draw().octets(16) != Draw().octets(16)
    assert Draw().seed() is None
    assert len(seeded(1).seed()) == 32
