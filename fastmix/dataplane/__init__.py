"""Layer 2b: the data plane, without a socket of its own. The heart: see `plane.py`.

At import the shared structures of C are compared with `fastmix.seam`: neither side can change alone.
"""

from typing import Any

import numpy as np

from fastmix.dataplane import _road
from fastmix.dataplane._layouts import layouts
from fastmix.packet.slots import SLOT_COLUMNS, SlotState
from fastmix.packet.verdict import Verdict
from fastmix.seam.counters import COUNTER_AT, COUNTERS_MAX
from fastmix.seam.layout import SHARED


def _compare() -> None:
    for name, offsets in layouts().items():
        fields: Any = SHARED[name].fields or {}
        ours = {field: int(fields[field][1]) for field in offsets if field} | {"": SHARED[name].itemsize}
        if ours != offsets:
            raise ImportError(f"shared structure {name}: C has {offsets}, Python has {ours}: build fastmix again")
    ours_columns = {name: np.dtype(dtype).itemsize for name, (dtype, _, _) in SLOT_COLUMNS.items()}
    if _road.column_sizes() != ours_columns or _road.slot_states() != tuple(SlotState):
        raise ImportError(f"slot columns: C has {_road.column_sizes()}, Python has {ours_columns}: build fastmix again")
    ours_counters = (COUNTER_AT[Verdict(1).label], len(Verdict), COUNTERS_MAX)
    if _road.counter_layout() != ours_counters:
        raise ImportError(f"counters: C has {_road.counter_layout()}, Python has {ours_counters}: build fastmix again")


_compare()
