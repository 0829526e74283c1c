"""Types of `_load.pyx`."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
BURST_MAX: int
COUNTS: tuple[str, ...]

class Load:
    def __init__(
        self,
        frames: Bytes,
        kx_publics: Bytes,
        sockets: Sequence[int],
        sink: int,
        roots: Sequence[tuple[int, bytes]],
        burst: int,
        trains: bool,
        together: int = 1,
    ) -> None: ...
    def schedule(self, start_ns: int, interval_ns: float, late_ns: int) -> None: ...
    def follow(self, before: Load | None) -> None: ...
    def run(self, end_ns: int) -> None: ...
    @property
    def arrived_ns(self) -> npt.NDArray[np.int64]: ...
    @property
    def next_burst(self) -> int: ...
    def counts(self) -> dict[str, int]: ...

def table_of(kx_publics: Bytes) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]: ...
