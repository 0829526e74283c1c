"""Every order equally likely, nothing carried from one batch to the next, no bias from the words."""

import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastmix.dataplane import entropy as entropy_module
from fastmix.dataplane.entropy import BLOCK_SIZE, KEY_SIZE, Entropy
from fastmix.kernels.shuffle import fisher_yates

SEED = bytes(range(32))


def _chi_square_limit(degrees: int) -> float:
    """The 1 - 1e-6 quantile (Wilson and Hilferty, 1931)."""
    part = 2 / (9 * degrees)
    return degrees * (1 - part + 4.753 * math.sqrt(part)) ** 3


@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 3000), seed=st.binary(min_size=32, max_size=32), draw=st.none() | st.integers(0, 3000))
def test_the_result_is_a_permutation(n, seed, draw):
    slots = np.arange(n, dtype=np.uint32) * 3 + 5
    shuffled = slots.copy()
    Entropy(seed).shuffle(shuffled, draw)
    assert np.array_equal(np.sort(shuffled), slots)


def _orders(n_items: int, n_shuffles: int, entropy: Entropy) -> np.ndarray:
    rows = np.tile(np.arange(n_items, dtype=np.uint32), (n_shuffles, 1))
    for row in rows:
        entropy.shuffle(row)
    return rows


def _rank(rows: np.ndarray) -> np.ndarray:
    """The number of each row's permutation, by its Lehmer code."""
    n = rows.shape[1]
    rank = np.zeros(len(rows), dtype=np.int64)
    for i in range(n):
        smaller = (rows[:, i + 1 :] < rows[:, i : i + 1]).sum(axis=1)
        rank = rank * (n - i) + smaller
    return rank


def test_all_5040_orders_of_7_items_are_equally_likely():
    n_shuffles = 5040 * 40
    counts = np.bincount(_rank(_orders(7, n_shuffles, Entropy(SEED))), minlength=5040)
    assert len(counts) == 5040
    chi_square = ((counts - 40) ** 2 / 40).sum()
    assert chi_square < _chi_square_limit(5039)
    assert chi_square > 5039 - 5 * math.sqrt(2 * 5039)  # not too even either


def test_a_drawn_part_is_a_uniform_choice_in_uniform_order():
    entropy = Entropy(SEED)
    counts = np.zeros((6, 6))
    for _ in range(12_000):
        row = np.arange(6, dtype=np.uint32)
        entropy.shuffle(row, 2)
        counts[row[4], row[5]] += 1
    assert np.trace(counts) == 0
    pairs = counts[~np.eye(6, dtype=bool)]
    assert ((pairs - 400) ** 2 / 400).sum() < _chi_square_limit(29)


def test_batches_do_not_depend_on_each_other():
    rows = _orders(3, 80_000, Entropy(SEED))
    rank = _rank(rows)
    pairs = np.bincount(rank[:-1] * 6 + rank[1:], minlength=36)
    expected = len(rank[:-1]) / 36
    assert ((pairs - expected) ** 2 / expected).sum() < _chi_square_limit(35)
    long = _orders(50, 2000, Entropy(SEED)).astype(np.float64)
    first, second = long[:-1].ravel(), long[1:].ravel()
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / math.sqrt(len(first))
    place = np.tile(np.arange(50.0), 2000)
    assert abs(np.corrcoef(long.ravel(), place)[0, 1]) < 5 / math.sqrt(len(place))


@pytest.mark.parametrize("bound", [3, 5, 6, 7, 48, 100])
def test_words_that_would_bias_the_draw_are_rejected(bound):
    """A word is refused if the low half of its multiple is below 2^32 mod bound; the next one is then taken."""
    threshold = 2**32 % bound
    edges = {-(-(j << 32) // bound) + step for j in range(bound) for step in (-1, 0, 1)}
    for word in sorted(w for w in edges if 0 <= w < 2**32):
        words = np.array([word, 2**31 + 1], dtype=np.uint32)
        slots = np.arange(bound, dtype=np.uint32)
        _, used = fisher_yates(slots, bound, bound - 1, words, 0)
        product = word * bound
        refused = product % 2**32 < threshold
        assert used == 1 + refused
        chosen = ((2**31 + 1) * bound if refused else product) >> 32
        assert slots[-1] == chosen


@pytest.mark.parametrize("bound", [3, 6, 7])
def test_accepted_words_are_equally_many_for_each_result(bound):
    threshold = 2**32 % bound
    for j in range(bound):
        first, end = -(-(j << 32) // bound), -(-((j + 1) << 32) // bound)
        refused = sum((word * bound) % 2**32 < threshold for word in range(first, first + 2))
        assert end - first - refused == 2**32 // bound


def test_the_kernel_and_its_python_text_agree():
    words = np.frombuffer(np.random.default_rng(3).bytes(4 * 600), dtype=np.uint32)
    compiled, plain = np.arange(500, dtype=np.uint32), np.arange(500, dtype=np.uint32)
    with np.errstate(over="ignore"):
        assert fisher_yates(compiled, 500, 1, words.copy(), 0) == fisher_yates.py_func(plain, 500, 1, words.copy(), 0)
    assert np.array_equal(compiled, plain)


def test_it_goes_on_when_the_words_run_out_and_zeroes_what_it_used():
    words = np.arange(1, 11, dtype=np.uint32) * 100_000_007
    slots = np.arange(30, dtype=np.uint32)
    left, at = fisher_yates(slots, 30, 1, words, 0)
    assert at == 10
    assert left > 1
    assert not words.any()
    entropy = Entropy(SEED)
    big = np.arange(3 * BLOCK_SIZE, dtype=np.uint32)
    entropy.shuffle(big)
    assert len(np.unique(big)) == len(big)


def test_a_seed_repeats_and_the_kernels_stream_does_not():
    assert np.array_equal(Entropy(SEED).words(10_000), Entropy(SEED).words(10_000))
    assert not np.array_equal(Entropy().words(100), Entropy().words(100))
    with pytest.raises(ValueError, match="an entropy seed has 32 bytes, not 5"):
        Entropy(b"short")


def test_key_and_used_words_do_not_stay_in_memory():
    entropy = Entropy(SEED)
    key = entropy._key.copy()
    drawn = entropy.words(500)
    assert not np.array_equal(entropy._key, key)
    assert not entropy._words[:500].any()
    assert entropy._words[500:].any()
    assert drawn.any()
    with pytest.raises(TypeError, match="not copied"):
        __import__("pickle").dumps(entropy)
    assert repr(entropy) == "Entropy(seeded)"


def test_the_kernel_is_asked_again_after_the_reseed_size(monkeypatch):
    asked = []

    def urandom(size):
        asked.append(size)
        return bytes([len(asked)]) * size

    monkeypatch.setattr(entropy_module.os, "urandom", urandom)
    entropy = Entropy()
    per_key = entropy_module.RESEED_SIZE // BLOCK_SIZE * (BLOCK_SIZE - KEY_SIZE) // 4
    entropy.words(per_key)
    assert asked == [KEY_SIZE]
    entropy.words(1)
    assert asked == [KEY_SIZE, KEY_SIZE]


def test_a_fork_does_not_draw_the_same_orders():
    entropy = Entropy()
    entropy.words(3)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write_end, entropy.words(64).tobytes())
        os._exit(0)
    os.waitpid(child, 0)
    in_child = os.read(read_end, 4096)
    os.close(read_end)
    os.close(write_end)
    assert len(in_child) == 256
    assert in_child != entropy.words(64).tobytes()
