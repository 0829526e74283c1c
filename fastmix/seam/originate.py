"""Packets that the node makes itself, on their way from control to the mixer; and the ids of its loops, on their way back.

Two rings in shared memory, each with one who writes and one who reads: whoever writes fills a place, then shows it by adding one
to its word; whoever reads takes it, then frees it by adding one to the other word. So a kill of either side leaves a ring whole.
The C side is `struct fm_cover`; there a packet that was taken is counted as `originated`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.packet.geometry import JUMBO, SURB_ID_SIZE

ORIGIN_ROWS = 128
RETURNED_MAX = 1024
MARK_SIZE = 8
"""Bytes of the mark, with which the ids of a node's loops begin: whoever does not know it cannot fill the ring of ids."""
ORIGIN = np.dtype(
    [("next_index", "<u2"), ("key_slot", "u1"), ("pad", "u1", 5), ("due_ns", "<i8"), ("packet", "u1", JUMBO.packet_size + 4)]
)
COVER = np.dtype(
    [
        ("mark", "<u8"),
        ("offered", "<u8"),
        ("taken", "<u8"),
        ("returned", "<u8"),
        ("read", "<u8"),
        ("missing", "<u8"),
        ("upstreams", "<u8"),
        ("loops_sent", "<u8"),
        ("loops_returned", "<u8"),
        ("loops_lost", "<u8"),
        ("pad", "<u8", 6),
        ("ids", "u1", (RETURNED_MAX, SURB_ID_SIZE)),
        ("origins", ORIGIN, ORIGIN_ROWS),
    ]
)


class OwnPackets:
    """Control's end of both rings. `cover`: the page's section of that name, one `COVER`. The mixer's end is `Road.originate`."""

    def __init__(self, cover: npt.NDArray[Any]) -> None:
        self._cover = cover
        self._origins, self._ids = cover["origins"][0], cover["ids"][0]

    @property
    def offered(self) -> int:
        """Packets offered since the node began: the next one's position."""
        return int(self._cover["offered"][0])

    @property
    def taken(self) -> int:
        """Packets that the mixer has taken: those at lower positions are in the pool, or were."""
        return int(self._cover["taken"][0])

    @property
    def room(self) -> int:
        """How many more fit."""
        return ORIGIN_ROWS - (self.offered - self.taken)

    @property
    def missing(self) -> int:
        """Residents that the floor lacks, as the mixer said last."""
        return int(self._cover["missing"][0])

    def begin(self, mark: bytes) -> None:
        """From now on ids that begin with these 8 bytes are shown, and those of before are not. `ValueError` for zeros."""
        if len(mark) != MARK_SIZE or not any(mark):
            raise ValueError(f"a mark has {MARK_SIZE} bytes, which are not all zero")
        self._cover["read"] = self._cover["returned"]
        self._cover["mark"] = int.from_bytes(mark, "little")

    def offer(self, next_index: int, key_slot: int, due_ns: int, packet: npt.NDArray[np.uint8]) -> bool:
        """Hands over a packet (u8[P]) whose first hop has that mixnode index, to leave at its deadline `due_ns` (the mixer's
        clock) or later, as the strategy and the floor let it. False where the ring is full: then it is not taken."""
        if not self.room:
            return False
        place = self._origins[self.offered % ORIGIN_ROWS]
        place["next_index"], place["key_slot"], place["due_ns"] = next_index, key_slot, due_ns
        place["packet"][: len(packet)] = packet
        self._cover["offered"] += np.uint64(1)
        return True

    def returned(self) -> tuple[list[bytes], bool]:
        """Ids of loops that are back, since the last call; and whether there may be more, for which there was no room."""
        first, end = int(self._cover["read"][0]), int(self._cover["returned"][0])
        ids = [self._ids[at % RETURNED_MAX].tobytes() for at in range(first, end)]
        self._cover["read"] = end
        return ids, len(ids) == RETURNED_MAX

    def count(self, *, sent: int = 0, returned: int = 0, lost: int = 0) -> None:
        """Adds to the loops' counters, which outlive this process."""
        for name, n in (("loops_sent", sent), ("loops_returned", returned), ("loops_lost", lost)):
            self._cover[name] += np.uint64(n)
