"""Types of `_packet_stages.pyx`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.bench._stages import Stage

Bytes = npt.NDArray[np.uint8]

class UnwrapStage(Stage):
    def __init__(self, isa: str, packets: Bytes, secret: bytes | Bytes) -> None: ...
    def results(self) -> dict[str, npt.NDArray[Any]]: ...

class SodiumStage(Stage):
    def __init__(self, functions: Mapping[str, int], packets: Bytes, secret: bytes | Bytes) -> None: ...
    def results(self) -> dict[str, npt.NDArray[Any]]: ...

class BuildStage(Stage):
    def __init__(self, isa: str, publics: Bytes, targets: npt.NDArray[np.uint16], geometry: str = "wan") -> None: ...
    def results(self) -> Bytes: ...

class LinkStage(Stage):
    def __init__(self, isa: str, n: int, opens: bool, geometry: str = "wan") -> None: ...
    def results(self) -> Bytes: ...
