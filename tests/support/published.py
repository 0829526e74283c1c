"""Reading the published vectors as rows of bytes for the batch faces of the kernels."""

from typing import Any

import numpy as np
import numpy.typing as npt

BATCH_SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 64, 256)
"""Around the lane counts of every instruction set."""


def rows(*items: bytes) -> npt.NDArray[np.uint8]:
    """Byte strings of equal size as u8[n, size]."""
    return np.frombuffer(b"".join(items), np.uint8).reshape(len(items), len(items[0]) if items else 0).copy()


def records(text: str) -> list[dict[str, str]]:
    """The `NAME = value` lines of an RFC file, one dict for each blank-line group that holds more than a number."""
    merged: list[dict[str, str]] = []
    for part in text.split("\n\n"):
        fields = dict(line.replace(" ", "").upper().split("=", 1) for line in part.splitlines() if "=" in line)
        if "COUNT" in fields or "LEN" in fields or not merged:
            merged.append({})
        merged[-1].update(fields)
    return [record for record in merged if len(record) > 1]


def wycheproof(document: Any) -> list[dict[str, Any]]:
    """All tests of a Wycheproof file."""
    return [test for group in document["testGroups"] for test in group["tests"]]


def random_rows(seed: int, n: int, size: int) -> npt.NDArray[np.uint8]:
    """u8[n, size], the same for the same seed."""
    return np.random.default_rng(seed).integers(0, 256, (n, size), np.uint8)
