"""Batched Sphinx builders over NumPy arrays (C, without the GIL)."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_Bytes: TypeAlias = npt.NDArray[np.uint8]
_Indices: TypeAlias = npt.NDArray[np.uint16]

FM_FAULT_NON_CANONICAL: int
FM_FAULT_LOW_ORDER: int

class Seed:
    """32 secret bytes from which a builder draws; wiped when the object goes."""

    def __init__(self, given: bytes | None = None) -> None:
        """Takes `given` (32 bytes), or draws from the kernel; `OSError` if that fails."""

class Route:
    """Routes of n packets of h hops."""

    def __init__(
        self,
        publics: _Bytes,
        targets: _Indices,
        peer_ids: _Bytes | None,
        last_action: int,
        ids: _Bytes | None,
        seed: Seed,
        kx_publics: _Bytes | None,
        faults: _Bytes,
    ) -> None:
        """Arrays are C-contiguous, of the shapes that `fastmix.sphinx` checks."""

def build_packets(route: Route, data: _Bytes | None, packets: _Bytes) -> None:
    """Fills `packets` u8[n, P] with requests over `data` u8[n, D], or with covers where `data` is None."""

def build_surbs(route: Route, first: _Indices, surbs: _Bytes, keys: _Bytes) -> None:
    """Fills `surbs` u8[n, 222] and `keys` u8[n, h, 192]; `first` u16[n] is each route's first mixnode."""

def build_replies(data: _Bytes, surbs: _Bytes, packets: _Bytes) -> None:
    """Fills `packets` u8[n, P] with replies over `data` u8[n, D] along `surbs` u8[n, 222]."""

def open_replies(payloads: _Bytes, keys: _Bytes, ok: _Bytes) -> None:
    """Decrypts `payloads` u8[n, D + 16] in place; `ok` u8[n] is 1 where the tag is right, and other rows become zeros."""

def keypairs(seed: Seed, secrets: _Bytes, publics: _Bytes) -> None:
    """Fills `secrets` and `publics`, u8[n, 32] each, with X25519 pairs."""

def scalar_multiply(a: bytes, clamped: bytes) -> bytes:
    """`a * clamped` modulo the group order; 32 bytes each, little endian, `a` below the order. A face for tests."""

def scalar_clamped(a: bytes) -> bytes:
    """`8 a` or `-8 a` in clamped form, 32 bytes. A face for tests."""

def scratch_is_wiped(route: Route, data: _Bytes, packets: _Bytes) -> bool:
    """`build_packets` in zeroed memory: whether that memory of derived keys is zero again afterwards. A face for tests."""
