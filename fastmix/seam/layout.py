"""NumPy layouts of the C structures that processes share (`ext/include/fm_seam.h`). `fastmix.dataplane` compares sizes and
offsets at import."""

import numpy as np

from fastmix.packet.geometry import WINDOW_SIZE
from fastmix.seam.counters import COUNTER_PAGES
from fastmix.seam.originate import COVER, ORIGIN

LINKS_MAX = 1024
KEYS_MAX = 3
CLASSES_MAX = 4
ROUTES = 65536
NO_LINK = 0xFFFF
FIXED_SLOT = (1 << 64) - 1
"""Stands for the number of a slot, of a key that has no end."""
NEVER_NS = (1 << 63) - 1

ADDRESS = np.dtype([("bytes", "u1", 28), ("size", "<u4")])
ROOT = np.dtype([("root", "u1", 32), ("mask_key", "u1", 32)])
WINDOW = np.dtype([("top", "<u8"), ("bits", "<u8", WINDOW_SIZE // 64 + 1)])
LINK_STATE = np.dtype(
    [
        ("send_counter", "<u8"),
        ("send_limit", "<u8"),
        ("lock", "<u4"),
        ("address", ADDRESS),
        ("pad", "<u4"),
        ("heard", "<u8"),
        ("peer_serial", "<u8"),
        ("bucket_ns", "<i8"),
        ("window", WINDOW),
        ("serial", "<u8"),
        ("tail_pad", "<u8", 5),
    ]
)
SNAPSHOT_LINK = np.dtype(
    [
        ("index_in", "<u4"),
        ("index_out", "<u4"),
        ("peer_id", "u1", 32),
        ("is_client", "u1"),
        ("live", "u1"),
        ("sends", "u1"),
        ("pad", "u1"),
        ("ingress", "<u2"),
        ("next", "<u2"),
        ("address", ADDRESS),
        ("interval_ns", "<i8"),
        ("burst_ns", "<i8"),
        ("serial", "<u8"),
        ("peer_serial", "<u8"),
        ("send_limit", "<u8"),
        ("since_ns", "<i8"),
        ("recv", ROOT),
        ("send", ROOT),
    ]
)
SNAPSHOT_KEY = np.dtype(
    [
        ("id", "u1", 16),
        ("slot", "<u8"),
        ("from_ns", "<i8"),
        ("until_ns", "<i8"),
        ("key_slot", "u1"),
        ("live", "u1"),
        ("pad", "u1", 6),
    ]
)
"""A key by its id, which names its pair file; its bytes are there only. `slot`: of time, or FIXED_SLOT; times: CLOCK_BOOTTIME."""
SNAPSHOT_COPY = np.dtype(
    [
        ("link_count", "<u4"),
        ("classes", "<u4"),
        ("mean_delay_ns", "<i8"),
        ("last_serial", "<u8"),
        ("pad", "<u8", 7),
        ("pool_limit", "<u8", CLASSES_MAX),
        ("keys", SNAPSHOT_KEY, KEYS_MAX),
        ("routes", "<u2", ROUTES),
        ("links", SNAPSHOT_LINK, LINKS_MAX),
    ]
)
SNAPSHOT = np.dtype([("generation", "<u8"), ("pad", "<u8", 7), ("copy", SNAPSHOT_COPY, 2)])
COMMAND = np.dtype([("drain", "<u4"), ("wake", "<u4"), ("pad", "<u4", 14)])

SHARED = {
    "link_state": LINK_STATE,
    "snapshot_link": SNAPSHOT_LINK,
    "snapshot_key": SNAPSHOT_KEY,
    "snapshot_copy": SNAPSHOT_COPY,
    "snapshot": SNAPSHOT,
    "counters": COUNTER_PAGES,
    "command": COMMAND,
    "origin": ORIGIN,
    "cover": COVER,
}
"""Structures whose sizes and field offsets are compared with C."""
