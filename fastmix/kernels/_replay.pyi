"""Types of `_replay.pyx`."""

import numpy as np
import numpy.typing as npt

LINE_SIZE: int

class ReplaySet:
    def __init__(self, lines: npt.NDArray[np.uint32]) -> None: ...
    @property
    def address(self) -> int: ...
    def insert(self, tags: npt.NDArray[np.uint8], verdicts: npt.NDArray[np.uint8], slots: npt.NDArray[np.uint32]) -> None: ...
