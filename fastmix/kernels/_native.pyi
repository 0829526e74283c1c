"""Types of the primitives' faces; `_native.pyx` has the words."""

from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

def available() -> frozenset[str]: ...
def kernels_address(isa: str = "portable") -> int: ...
def constants() -> dict[str, Any]: ...
def x25519(scalars: Bytes, points: Bytes, isa: str = "portable") -> Bytes: ...
def chacha20(
    keys: Bytes,
    data: Bytes,
    nonces: Bytes | None = None,
    counters: npt.NDArray[np.uint32] | None = None,
    isa: str = "portable",
) -> Bytes: ...
def poly1305(keys: Bytes, messages: Bytes, isa: str = "portable") -> Bytes: ...
def blake2b(
    messages: Bytes,
    out_size: int = 64,
    keys: Bytes | None = None,
    salt: int = 0,
    personal: bytes | None = None,
    isa: str = "portable",
) -> Bytes: ...
def equal(a: bytes | Bytes, b: bytes | Bytes) -> bool: ...
def self_test(isa: str) -> None: ...
