"""Slot columns: what is known about each arena row, as arrays indexed by slot number.

The arena (`fastmix.dataplane.arena`) allocates one array a column in shared memory; the road writes them in C.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt


class SlotState(IntEnum):
    """The truth about a slot, written before the act. A crash is repaired from this column."""

    FREE = 0
    RECEIVING = 1
    POOLED = 2
    LEAVING = 3


NO_LINK = 0xFFFF
"""Value of the `link` column when no link leads to the next hop."""

OWN = NO_LINK
"""Value of the `ingress` column of packets that the node has made itself."""

SLOT_COLUMNS: dict[str, tuple[npt.DTypeLike, int, str]] = {
    "state": (np.uint8, 1, "SlotState"),
    "verdict": (np.uint8, 1, "Verdict of the last stage"),
    "class_": (np.uint8, 1, "priority class, 0..classes-1"),
    "key_slot": (np.uint8, 1, "key slot mod 256, copied from the frame that came to the frame that leaves"),
    "action": (np.uint16, 1, "first routing action, code of the format"),
    "next_index": (np.uint16, 1, "mixnode index of the next hop; 0 where the action is none of forward"),
    "link": (np.uint16, 1, "link over which the packet leaves; NO_LINK where none"),
    "ingress": (np.uint16, 1, "link over which it came; OWN where the node has made it"),
    "arrival_ns": (np.int64, 1, "clock when it entered the pool, ns"),
    "deadline_ns": (np.int64, 1, "arrival + delay of the packet x mean delay, ns"),
    "delay": (np.float64, 1, "delay named by the packet, mean 1, at most 10"),
    "peer_id": (np.uint8, 32, "next hop's peer id where the action is forward to peer"),
    "surb_id": (np.uint8, 16, "SURB id of a reply, id of a cover"),
    "tag": (np.uint8, 16, "replay tag"),
}
"""name: (dtype, items a slot, meaning)."""
