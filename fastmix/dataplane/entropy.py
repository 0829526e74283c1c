"""The stream from which all orders are drawn. Road: pool → **here** → shuffle.

ChaCha20 (RFC 8439) with fast key erasure: the first 32 bytes of each block are the next key and never leave, the rest is handed
out and zeroed as it is used. What was drawn cannot be found in memory later. 128 or 256 bits could not even reach all orders of
a large batch, so the key is fed from the kernel again and again.
"""

import os
import weakref

import numpy as np
import numpy.typing as npt

from fastmix.kernels import _native
from fastmix.kernels.shuffle import fisher_yates

BLOCK_SIZE = 16_384
"""Bytes made at a time."""
RESEED_SIZE = 1 << 20
"""Bytes after which the kernel is asked for a new key."""
KEY_SIZE = 32
_ZEROS = np.zeros((1, BLOCK_SIZE), dtype=np.uint8)


class Entropy:
    """A buffered ChaCha20 stream, reseeded from the kernel every 1 MiB and after a fork. A `seed` (tests only) makes it
    repeatable: then neither happens.
    """

    __slots__ = ("__weakref__", "_at", "_key", "_made", "_seeded", "_words")

    def __init__(self, seed: bytes | None = None) -> None:
        self._seeded = seed is not None
        self._key = np.zeros((1, KEY_SIZE), dtype=np.uint8)
        self._at = self._made = 0
        self._words = np.zeros((BLOCK_SIZE - KEY_SIZE) // 4, dtype=np.uint32)
        self._take_key(os.urandom(KEY_SIZE) if seed is None else _seed_key(seed))
        if not self._seeded:
            _living.add(self)

    def __repr__(self) -> str:
        return f"Entropy({'seeded' if self._seeded else 'kernel'})"

    def __reduce__(self) -> str:
        raise TypeError("an Entropy is not copied: two streams with one key would draw the same orders. Make a new one.")

    def reseed(self) -> None:
        """Takes a new key from the kernel and forgets what is buffered. A seeded stream becomes an unpredictable one."""
        self._seeded = False
        _living.add(self)
        self._take_key(os.urandom(KEY_SIZE))

    def shuffle(self, slots: npt.NDArray[np.uint32], draw: int | None = None) -> None:
        """Shuffles `slots` u32[n] in place, every order equally likely. With `draw`, only the last `draw` places are drawn: a
        uniform choice in uniform order, the others before it in no particular one.
        """
        left = len(slots)
        stop = 0 if draw is None else max(left - draw, 0)
        while left > stop and left > 1:
            if self._at == len(self._words):
                self._fill()
            left, self._at = fisher_yates(slots, left, stop, self._words, self._at)

    def words(self, n: int) -> npt.NDArray[np.uint32]:
        """The next `n` words, u32[n], a copy."""
        out = np.empty(n, dtype=np.uint32)
        done = 0
        while done < n:
            if self._at == len(self._words):
                self._fill()
            step = min(n - done, len(self._words) - self._at)
            taken = self._words[self._at : self._at + step]
            out[done : done + step] = taken
            taken[:] = 0
            done += step
            self._at += step
        return out

    def _take_key(self, key: bytes) -> None:
        self._key[:] = np.frombuffer(key, dtype=np.uint8)
        self._made = 0
        self._words[:] = 0
        self._at = len(self._words)

    def _fill(self) -> None:
        if self._made >= RESEED_SIZE and not self._seeded:
            self.reseed()
        made = _native.chacha20(self._key, _ZEROS)
        self._key[:] = made[:, :KEY_SIZE]
        self._words[:] = made[0, KEY_SIZE:].view(np.uint32)
        made[:] = 0
        self._made += BLOCK_SIZE
        self._at = 0


def _seed_key(seed: bytes) -> bytes:
    if len(seed) != KEY_SIZE:
        raise ValueError(f"an entropy seed has {KEY_SIZE} bytes, not {len(seed)}")
    return seed


def _reseed_living() -> None:
    for entropy in list(_living):
        entropy.reseed()


_living: "weakref.WeakSet[Entropy]" = weakref.WeakSet()
os.register_at_fork(after_in_child=_reseed_living)
