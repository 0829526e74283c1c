"""What the demo sends: made-up messages, or a file in parts."""

import math
import random
import struct
from dataclasses import dataclass
from pathlib import Path

from fastmix.client import MESSAGE_LIMIT

SIZE_MAX = 64 << 10
"""Bytes of the largest made-up message."""
PART = struct.Struct("<II")
"""Before each part of a file: its number, and how many there are."""
PART_SIZE = MESSAGE_LIMIT - PART.size
"""Bytes of a file in one message."""


@dataclass(frozen=True, slots=True)
class Load:
    """Messages by number; the same for the same seed and file. `n` counts made-up messages, and means nothing for a file."""

    seed: int
    n: int
    file: Path | None = None

    def __len__(self) -> int:
        return self.n if self.file is None else max(1, -(-self.file.stat().st_size // PART_SIZE))

    def size(self, at: int) -> int:
        """Bytes of a message: log-uniform from 1 B to 64 KB, or those of a part."""
        if self.file is not None:
            return PART.size + min(PART_SIZE, self.file.stat().st_size - at * PART_SIZE)
        return min(SIZE_MAX, int(math.exp(self._random("size", at).random() * math.log(SIZE_MAX + 1))))

    def message(self, at: int) -> bytes:
        """The content of message number `at`; `OSError` where the file cannot be read."""
        if self.file is None:
            return self._random("content", at).randbytes(self.size(at))
        with self.file.open("rb") as source:
            source.seek(at * PART_SIZE)
            return PART.pack(at, len(self)) + source.read(PART_SIZE)

    def _random(self, what: str, at: int) -> random.Random:
        return random.Random(f"{self.seed} {what} {at}")
