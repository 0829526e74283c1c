"""Types of `_link.pyx`."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FRAME_SIZES: set[int]

class Root:
    def __init__(self, root: bytes | bytearray | memoryview) -> None: ...
    def wipe(self) -> None: ...

class Window:
    def __init__(self) -> None: ...
    @property
    def top(self) -> int: ...
    def accept(self, seqs: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]: ...

def open_frames(
    frames: npt.NDArray[np.uint8],
    roots: Sequence[Root],
    window: Window | None = None,
    rows: npt.NDArray[np.uint8] | None = None,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint64]]: ...
def seal(rows: npt.NDArray[np.uint8], root: Root, receiver_index: int, step: int, first_seq: int) -> None: ...
