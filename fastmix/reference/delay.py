"""The delay that a packet names: Exp(1) from a 16-byte seed, capped at 10, to the last bit as the published format has it.

Random words are those of rand_chacha's ChaCha20Rng: keystream under the 32-byte key, block counter u64 (the last 8 bytes of the
state are the stream number, 0), each u64 two little-endian words. The sampler is the ziggurat of Marsaglia and Tsang (2000) as
rand_distr 0.4.3 has it: 256 layers, ZIGNOR variant (Doornik 2005). `ext/ziggurat_exp.h` holds the same tables for C.
"""

import math
from collections.abc import Iterator
from decimal import Decimal, localcontext

from fastmix.reference.chacha20 import CONSTANTS, permute, words

LAYERS = 256
TAIL_AT = 7.69711747013104972
"""Right edge of the lowest layer's rectangle; beyond it is the tail."""
AREA = 0.0039496598225815571993
"""Area of each layer."""
DELAY_MAX = 10.0
_DIGITS = 40


def _exp(x: float) -> float:
    """e^x, correctly rounded: the tables must not depend on the machine's libm."""
    with localcontext() as context:
        context.prec = _DIGITS
        return float(Decimal(x).exp())


def _log(x: float) -> float:
    """ln x, correctly rounded."""
    with localcontext() as context:
        context.prec = _DIGITS
        return float(Decimal(x).ln())


def _published(value: float) -> float:
    """The number as it stands in the published table, 18 decimals."""
    return float(f"{value:.18f}")


def ziggurat_tables() -> tuple[list[float], list[float]]:
    """`(x, f)`, 257 each: right edges of the layers, widest first, and exp(-x) there, printed with 18 decimals as published."""
    edges = [AREA / _exp(-TAIL_AT), TAIL_AT]
    for _ in range(2, LAYERS):
        last = edges[-1]
        edges.append(-_log(AREA / last + _exp(-last)))
    edges.append(0.0)
    return [_published(edge) for edge in edges], [_published(_exp(-edge)) for edge in edges]


ZIGGURAT_X, ZIGGURAT_F = ziggurat_tables()


def random_words(key: bytes) -> Iterator[int]:
    """Endless u64 of ChaCha20Rng seeded with `key`, 32 bytes."""
    counter = 0
    while True:
        block = permute([[*CONSTANTS, *words(key), *words(counter.to_bytes(8, "little")), 0, 0]])
        for at in range(0, len(block), 8):
            yield int.from_bytes(block[at : at + 8], "little")
        counter += 1


def _uniform(word: int) -> float:
    """A word's upper 53 bits as a number in [0, 1)."""
    return (word >> 11) * 2.0**-53


def exponential(source: Iterator[int]) -> float:
    """One sample of Exp(1) from a stream of u64."""
    for word in source:
        layer = word & 0xFF
        u = (1.0 + (word >> 12) * 2.0**-52) - (1.0 - 2.0**-53)  # in (0, 1), from the upper 52 bits
        x = u * ZIGGURAT_X[layer]
        if x < ZIGGURAT_X[layer + 1]:
            return x
        if layer == 0:
            return TAIL_AT - math.log(_uniform(next(source)))
        low, high = ZIGGURAT_F[layer], ZIGGURAT_F[layer + 1]
        if high + (low - high) * _uniform(next(source)) < math.exp(-x):
            return x
    raise ValueError("the stream of random words ended before a sample was found")


def delay(seed: bytes) -> float:
    """The delay of a hop, in mean delays: `seed` is the 16 bytes derived from the hop's shared secret."""
    return min(exponential(random_words(seed + seed)), DELAY_MAX)
