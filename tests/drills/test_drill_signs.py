"""What the wire drill looks for: random frames show nothing, every known fault shows."""

import numpy as np
import pytest

from fastmix.drills.hosts.signs import UNUSUAL, KnownWords, counter_signs, entropy_bits, uniformity, worst_column

N = 3000


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(20).integers(0, 256, (N, 1232), dtype=np.uint8)


def counters(*values: np.ndarray) -> np.ndarray:
    """u8[n, 8] of columns of 32 bits."""
    return np.stack([value.astype("<u4") for value in values], axis=1).view(np.uint8)


def test_random_frames_show_nothing(rows: np.ndarray) -> None:
    assert uniformity(rows) < UNUSUAL
    assert worst_column(rows) < UNUSUAL
    assert entropy_bits(rows) > 7.999
    signs = counter_signs([rows[:1000, 4:12], rows[1000:, 4:12], rows[:1, 4:12]])
    assert not signs.any, signs


def test_a_byte_that_is_always_the_same_shows(rows: np.ndarray) -> None:
    rows[:, 700] = 3
    assert worst_column(rows) > UNUSUAL
    assert uniformity(np.tile(np.frombuffer(b"plain text of some sort", np.uint8), (N, 1))) > UNUSUAL


@pytest.mark.parametrize("mask", [0, 0xDEADBEEF])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_number_that_counts_shows_also_under_a_fixed_mask(mask: int, order: str, rows: np.ndarray) -> None:
    at = np.arange(N, dtype=np.uint32)
    counted = counters((at // 40) ^ np.uint32(mask), at ^ np.uint32(mask))
    if order == ">":
        counted = np.ascontiguousarray(counted[:, ::-1])
    assert counter_signs([counted]).any
    one = rows[:, 4:12].copy()
    one[:, 4:] = counted[:, 4:]
    assert counter_signs([one]).any, "one half is enough"


def test_each_sign_of_a_counter() -> None:
    random = np.random.default_rng(3)
    low, high = random.integers(0, 1 << 32, (2, N), dtype=np.uint32)
    assert counter_signs([counters(low, np.sort(high))]).rising > UNUSUAL
    assert counter_signs([counters(low, high // 2 * 2)]).bits > UNUSUAL
    assert counter_signs([counters(np.cumsum(low % 1000), high)]).near > UNUSUAL
    assert counter_signs([counters(low[:5].repeat(2), high[:5].repeat(2))]).repeats == 5


def test_known_words_are_found_wherever_they_stand(rows: np.ndarray) -> None:
    words = [bytes(row[:16]) for row in np.random.default_rng(4).integers(0, 256, (2000, 16), dtype=np.uint8)]
    known = KnownWords(words)
    assert known.found(rows) == 0
    for row, at in ((0, 0), (5, 1), (9, 700), (N - 1, 1232 - 16), (7, 1232 - 8)):
        rows[row, at : at + 16] = np.frombuffer(words[row % 2000], np.uint8)[: 1232 - at]
    assert known.found(rows) == 5
    with pytest.raises(ValueError, match="at least 8"):
        KnownWords([b"short"])
