"""Which instruction set's kernels this process uses: the fastest that build and CPU have, or the one that FASTMIX_ISA names.

Road: **here** is asked once, at import, by every module that calls kernels; the choice never changes afterwards.
"""

import os
from dataclasses import dataclass
from functools import cache

from fastmix.kernels import _native

ISAS = ("portable", "avx2", "avx512f", "avx512ifma")
"""All names, slowest first; also the suffixes of the C files in ext/."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """One table of primitives: its instruction set, and the address of its `struct fm_kernels`."""

    name: str
    address: int


@cache
def supported() -> tuple[str, ...]:
    """The instruction sets that this build has and this CPU runs, slowest first. Always begins with `portable`."""
    return tuple(name for name in ISAS if name in _native.available())


class UnusableIsa(ValueError):
    """FASTMIX_ISA names kernels that this build or CPU does not have."""


def kernels_named(name: str) -> Kernels:
    """The table of one instruction set; `ValueError` names the choices."""
    if name not in ISAS:
        raise ValueError(f"instruction set {name!r} is not known: use one of {', '.join(ISAS)}")
    if name not in supported():
        raise ValueError(f"instruction set {name!r} is not available here: this build and CPU have {', '.join(supported())}")
    return Kernels(name, _native.kernels_address(name))


@cache
def active() -> Kernels:
    """The table in use: what the environment names in FASTMIX_ISA, else the fastest. `UnusableIsa` when that is wrong."""
    wanted = os.environ.get("FASTMIX_ISA")
    if not wanted:
        return kernels_named(supported()[-1])
    try:
        return kernels_named(wanted)
    except ValueError as error:
        raise UnusableIsa(f"environment variable FASTMIX_ISA: {error}; or unset it") from None
