"""Types of `_datagram_io.pyx`."""

from typing import Any

import numpy as np
import numpy.typing as npt

ADDRESS: np.dtype[np.void]

class DatagramIo:
    @property
    def row_size(self) -> int: ...
    @property
    def ring_size(self) -> int: ...
    @property
    def address(self) -> int: ...
    def wait(self, wait_ns: int) -> None: ...
    def recv_into(self, rows: npt.NDArray[np.uint8]) -> tuple[int, npt.NDArray[np.uint32], npt.NDArray[Any]]: ...
    def send_from(
        self, rows: npt.NDArray[np.uint8], sizes: npt.NDArray[np.uint32], addresses: npt.NDArray[Any]
    ) -> npt.NDArray[np.int32]: ...
