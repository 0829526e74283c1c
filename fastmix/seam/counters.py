"""Counters: their names, their order, and the page that shows them.

The page holds two copies and a generation. The data plane writes the copy that is not current, then adds one to the
generation, so
the current copy is a consistent set at any moment, also after a kill -9. The C side is `struct fm_counter_page`.
"""

import numpy as np

from fastmix.packet.verdict import DROPS

OUTCOMES = ("forwarded", "delivered", "absorbed_cover")
COUNTERS = (
    "received",
    "originated",
    *OUTCOMES,
    "pooled",
    "in_stage",
    "released_below_floor",
    "strategy_faults",
    "kernel_drops",
    "crash_uncertain",
    "restarts",
    "sending",
    *(verdict.label for verdict in DROPS),
)
COUNTERS_MAX = 64
COUNTER_AT = {name: at for at, name in enumerate(COUNTERS)}
COUNTER_PAGE = np.dtype([("generation", "<u8"), ("pad", "<u8", 7), ("copy", "<u8", (2, COUNTERS_MAX))])


class CounterPage:
    """Reads the counters of one worker from shared memory. `buffer` begins with a `COUNTER_PAGE`."""

    def __init__(self, buffer: memoryview) -> None:
        self.record = np.frombuffer(buffer, COUNTER_PAGE, 1)

    def read(self) -> dict[str, int]:
        """A consistent set of all counters, by name."""
        while True:
            generation = int(self.record["generation"][0])
            values = self.record["copy"][0, generation & 1].tolist()
            if int(self.record["generation"][0]) == generation:
                return dict(zip(COUNTERS, values, strict=False))
