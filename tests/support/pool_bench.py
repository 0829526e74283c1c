"""A pool over columns of its own, for tests on a virtual clock."""

import numpy as np

from fastmix.dataplane.entropy import Entropy
from fastmix.dataplane.pool import Pool
from fastmix.mixing import MixingLimits, MixingStrategy

MS = 1_000_000
SLOTS = 4096


class Bench:
    """A pool over columns of its own, and the slots that are not in it."""

    def __init__(
        self, strategy: MixingStrategy, classes: int = 1, capacity: int = SLOTS, seed: bytes = bytes(32), **limits: int
    ) -> None:
        dtypes = {"arrival_ns": np.int64, "deadline_ns": np.int64, "class_": np.uint8, "ingress": np.uint16}
        self.columns = {name: np.zeros(SLOTS, dtype=dtype) for name, dtype in dtypes.items()}
        self.limits = MixingLimits(**{"max_latency_ns": 500 * MS, **limits})
        self.pool = Pool(self.columns, strategy, self.limits, capacity, classes, Entropy(seed))
        self.free = list(range(SLOTS))

    def add(self, n: int, now_ns: int = 0, delay_ns: int = 50 * MS, ingress: int = 0, class_: int = 0) -> list[int]:
        slots = [self.free.pop() for _ in range(n)]
        for name, value in (
            ("arrival_ns", now_ns), ("deadline_ns", now_ns + delay_ns), ("class_", class_), ("ingress", ingress)
        ):  # fmt: skip
            self.columns[name][slots] = value
        self.pool.add(np.array(slots, dtype=np.uint32))
        return slots

    def release(self, now_ns: int) -> list[int]:
        """All batches that leave now."""
        left: list[int] = []
        while len(batch := self.pool.release(now_ns)):
            left += batch.tolist()
        return left
