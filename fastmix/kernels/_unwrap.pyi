"""Types of the unwrap faces; `_unwrap.pyx` has the words."""

from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Columns = dict[str, npt.NDArray[Any]]

COLUMNS: tuple[str, ...]

def columns_for(n: int) -> Columns: ...

class Unwrap:
    def __init__(
        self,
        rows: Bytes,
        columns: Columns,
        packet_size: int,
        secret: bytes | Bytes,
        replay_key: bytes | Bytes,
        packet_at: int = 0,
        isa: str | None = None,
        strict_kx: bool = False,
    ) -> None: ...
    def check(self, slots: npt.NDArray[np.uint32]) -> None: ...
    def apply(self, slots: npt.NDArray[np.uint32]) -> None: ...
    def scratch_is_wiped(self) -> bool: ...

def unwrap_batch(
    packets: Bytes, secret: bytes | Bytes, replay_key: bytes | Bytes, isa: str | None = None, strict_kx: bool = False
) -> Columns: ...
def lioness_encrypt(blocks: Bytes, keys: Bytes, isa: str | None = None) -> Bytes: ...
def lioness_decrypt(blocks: Bytes, keys: Bytes, isa: str | None = None) -> Bytes: ...
def delays(seeds: Bytes, isa: str | None = None) -> npt.NDArray[np.float64]: ...
