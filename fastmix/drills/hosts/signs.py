"""What can be read in frames without keys: bytes that are not uniform, counters that count, known words.

Every figure is such that frames of random bytes exceed its bound once in some ten million captures.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]

UNUSUAL = 7.0
"""Standard deviations that nothing random comes to."""
NEAR = 1 << 16
"""Two numbers of 32 bits are near each other if they are not further apart."""
SHORTEST = 8
"""Bytes by which a known word is looked for."""
AT_ONCE = 4096
"""Frames that are searched together."""


def uniformity(rows: Bytes) -> float:
    """How far the bytes of u8[n, m] are from being uniform, in standard deviations of the chi-square statistic."""
    return float(_excess(np.bincount(rows.ravel(), minlength=256)[None], rows.size)[0])


def worst_column(rows: Bytes) -> float:
    """The same for each column by itself, and of these the largest."""
    n, columns = rows.shape
    keys = rows.astype(np.int64) + 256 * np.arange(columns)
    counts = np.bincount(keys.ravel(), minlength=256 * columns).reshape(columns, 256)
    return float(_excess(counts, n).max())


def _excess(counts: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.float64]:
    expected = n / 256
    chi_square = ((counts - expected) ** 2 / expected).sum(axis=1)
    excess: npt.NDArray[np.float64] = (chi_square - 255) / np.sqrt(2 * 255)
    return excess


def entropy_bits(rows: Bytes) -> float:
    """Of a byte, as its frequencies tell: 8 and a little less for uniform ones."""
    share = np.bincount(rows.ravel(), minlength=256) / rows.size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


@dataclass(frozen=True)
class CounterSigns:
    """What an observer can look for in 8 bytes of successive frames of one link.

    `repeats`: values that came before, of any link; `rising`: how far the share of values above the one before is from a half,
    `near`: how many more than chance are near the one before, `bits`: how far a bit is from being set in half of the frames, or
    from changing in half of them. All but the first in standard deviations, the most of the ways to read the bytes.
    """

    repeats: int
    rising: float
    near: float
    bits: float

    @property
    def any(self) -> bool:
        """Whether there is a sign at all."""
        return self.repeats > 0 or max(self.rising, self.near, self.bits) > UNUSUAL


def counter_signs(links: Iterable[Bytes]) -> CounterSigns:
    """`links`: u8[n, 8] for each link, in the order in which they passed."""
    found = [np.ascontiguousarray(rows) for rows in links if len(rows) > 1]
    every = np.concatenate(found)
    repeats = len(every) - len(np.unique(every.view("<u8")))
    rising = near = 0.0
    for read in ("<u4", ">u4", "<u8", ">u8"):
        columns = [rows.view(read)[:, at] for rows in found for at in range(8 // int(read[-1]))]
        rising = max(rising, _rising(columns))
        if read.endswith("u4"):
            near = max(near, _near(columns))
    bits = [np.unpackbits(rows, axis=1) for rows in found]
    changes = [rows[1:] ^ rows[:-1] for rows in bits]
    return CounterSigns(repeats, rising, near, max(_bits(np.concatenate(bits)), _bits(np.concatenate(changes))))


def _rising(columns: list[npt.NDArray[np.unsignedinteger]]) -> float:
    up = sum(int(np.count_nonzero(each[1:] > each[:-1])) for each in columns)
    n = sum(len(each) - 1 for each in columns)
    return float(abs(up - n / 2) / np.sqrt(n / 12))  # of successive pairs of random numbers: variance (n + 1) / 12


def _near(columns: list[npt.NDArray[np.unsignedinteger]]) -> float:
    n = close = 0
    for each in columns:
        apart = each[1:].astype(np.int64) - each[:-1].astype(np.int64)
        close += int(np.count_nonzero((apart % (1 << 32) <= NEAR) | (-apart % (1 << 32) <= NEAR)))
        n += len(apart)
    expected = n * (2 * NEAR + 1) / (1 << 32)
    return float((close - expected) / np.sqrt(expected + 1))


def _bits(rows: Bytes) -> float:
    return float((np.abs(rows.sum(axis=0, dtype=np.int64) - len(rows) / 2) / np.sqrt(len(rows) / 4)).max())


class KnownWords:
    """Known words, found wherever they stand in a frame: by their first eight bytes."""

    def __init__(self, words: Iterable[bytes]) -> None:
        """`ValueError` for a word that is shorter."""
        known = list(words)
        if any(len(word) < SHORTEST for word in known):
            raise ValueError(f"a known word has at least {SHORTEST} bytes")
        self._heads: Words = np.unique(np.frombuffer(b"".join(word[:SHORTEST] for word in known), np.uint64))
        self._first = np.zeros(1 << 16, bool)
        self._first[(self._heads & np.uint64(0xFFFF)).astype(np.int64)] = True

    def found(self, rows: Bytes) -> int:
        """How many places of u8[n, m] are the beginning of one."""
        return sum(self._in(rows[at : at + AT_ONCE]) for at in range(0, len(rows), AT_ONCE))

    def _in(self, rows: Bytes) -> int:
        n = 0
        for shift in range(SHORTEST):
            whole = (rows.shape[1] - shift) // SHORTEST * SHORTEST
            windows = np.ascontiguousarray(rows[:, shift : shift + whole]).view(np.uint64).ravel()
            candidates = windows[self._first[(windows & np.uint64(0xFFFF)).astype(np.int64)]]
            n += int(np.isin(candidates, self._heads).sum())
        return n
