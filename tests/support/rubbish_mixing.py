"""A mixing strategy that answers nonsense, importable by a node's processes."""

import asyncio
import os
from typing import Any

import numpy as np

from fastmix.mixing import MixingStrategy

ANSWERS: dict[str, Any] = {
    "out_of_range": lambda n: np.array([n, -1]),
    "twice": lambda n: np.array([0, 0]),
    "floats": lambda n: np.zeros(n),
    "none": lambda n: None,
    "too_many": lambda n: np.zeros(n + 1, np.int64),
}


class Rubbish(MixingStrategy):
    """Asked whom to let go it answers as `kind` says; "raises", "cancelled" and "exits" raise, "hangs" never answers."""

    def __init__(self, kind: str = "raises") -> None:
        self.kind = kind

    def due_ns(self, view: Any, now_ns: int) -> int:
        """Always."""
        return 0

    def select(self, view: Any, now_ns: int) -> Any:
        """Rubbish."""
        if self.kind == "raises":
            raise RuntimeError("rubbish")
        if self.kind == "cancelled":
            raise asyncio.CancelledError
        if self.kind == "exits":
            raise SystemExit(0)
        while self.kind == "hangs":
            continue
        return ANSWERS[self.kind](len(view))


class Leaving(MixingStrategy):
    """Ends the process that asks it, with the code of a node that has drained."""

    def due_ns(self, view: Any, now_ns: int) -> int:
        """Always."""
        return 0

    def select(self, view: Any, now_ns: int) -> Any:
        """Nothing comes back."""
        os._exit(0)


class Exploding:
    """Cannot be unpickled."""

    def __reduce__(self) -> Any:
        return int, ("no number",)
