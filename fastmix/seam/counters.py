"""Counters: their names, their order, and the pages that show them.

Each thread of a data plane has a page: two copies and a generation. It writes the copy that is not current, then adds one to
the generation, so the current copy is a consistent set at any moment, also after a kill -9. The sum of the pages counts, modulo
2^64 (`pooled` is what workers have brought in, less what the mixer has taken out). Each life of the data plane writes one half
of the pages, in turn, beginning with the sum of the other half. The C side is `struct fm_counters`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

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
    "kernel_drop_events",
    "crash_uncertain",
    "sending",
    *(verdict.label for verdict in DROPS),
)
COUNTERS_MAX = 64
COUNTER_AT = {name: at for at, name in enumerate(COUNTERS)}
WORKERS_MAX = 16
COUNTER_PAGE = np.dtype([("generation", "<u8"), ("pad", "<u8", 7), ("copy", "<u8", (2, COUNTERS_MAX))])
TRIES = 50
"""One takes some 10 us."""
COUNTER_PAGES = np.dtype([("life", "<u8"), ("pad", "<u8", 7), ("page", COUNTER_PAGE, (2, WORKERS_MAX + 1))])


class CounterPage:
    """Reads the counters of a data plane from shared memory. `buffer` begins with a `COUNTER_PAGES`."""

    def __init__(self, buffer: memoryview) -> None:
        self.record = np.frombuffer(buffer, COUNTER_PAGES, 1)

    def read(self) -> dict[str, int]:
        """A consistent set of all counters, by name: what every thread showed at one moment. Where many threads with short
        batches leave no such moment, what each showed at one of its own: every page keeps the conservation law by itself."""
        while True:
            life = int(self.record["life"][0])
            pages = self.record["page"][0, life & 1]
            values = at_one_moment(pages)
            if values is None:  # the mixer's first, so that `pooled` is never below zero
                values = np.sum([page_by_itself(page) for page in pages], axis=0)
            if int(self.record["life"][0]) == life:
                return dict(zip(COUNTERS, values.tolist(), strict=False))

    def received_by_worker(self, workers: int) -> tuple[int, ...]:
        """Datagrams that each worker has received since this life of the data plane began; a single worker, whose page begins
        with the sum of the lives before, since the node did. The first page is that of the mixer."""
        while True:
            life = int(self.record["life"][0])
            pages = self.record["page"][0, life & 1]
            own = pages[1 : workers + 1] if workers > 1 else pages[:1]
            values = tuple(int(page_by_itself(page)[COUNTER_AT["received"]]) for page in own)
            if int(self.record["life"][0]) == life:
                return values


def at_one_moment(pages: npt.NDArray[Any]) -> npt.NDArray[np.uint64] | None:
    """The sum of `COUNTER_PAGE`s, none of which changed meanwhile; None where that does not happen soon."""
    for _ in range(TRIES):
        generations = pages["generation"].copy()
        values: npt.NDArray[np.uint64] = pages["copy"][_EACH, generations & np.uint64(1)].sum(axis=0)
        if (pages["generation"] == generations).all():
            return values
    return None


def page_by_itself(page: np.void) -> npt.NDArray[np.uint64]:
    """The current copy of one `COUNTER_PAGE`."""
    while True:
        generation = int(page["generation"])
        values: npt.NDArray[np.uint64] = page["copy"][generation & 1].copy()
        if int(page["generation"]) == generation:
            return values


_EACH = np.arange(WORKERS_MAX + 1)
