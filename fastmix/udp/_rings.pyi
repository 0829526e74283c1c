"""Types of `_rings.pyx`."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.udp._datagram_io import DatagramIo

class MemoryIo(DatagramIo):
    def __init__(self, capacity: int, row_size: int) -> None: ...
    def push(self, datagram: bytes | bytearray | memoryview | npt.NDArray[np.uint8], from_address: Any) -> bool: ...
    def pop_sent(self) -> list[tuple[Any, bytes]]: ...
    @property
    def dropped(self) -> int: ...
    @property
    def waiting(self) -> int: ...
