"""SURBs that this client has made: under each id its keys and what an answer in it means."""

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum, auto

import numpy as np
import numpy.typing as npt

SURBS_KEPT = 65_536
"""Most SURBs that a client remembers (960 bytes each); beyond it the oldest is forgotten."""
SURB_LIFE = 3600.0
"""Seconds until an unused SURB is forgotten."""


class Use(Enum):
    """What a SURB was made for."""

    ACK = auto()
    REPLY = auto()


@dataclass(frozen=True, slots=True)
class Surb:
    """A SURB that was made: its keys `u8[h, 192]`, its use, the message that it belongs to, when it left (seconds)."""

    keys: npt.NDArray[np.uint8] = field(repr=False)
    use: Use
    message_id: bytes
    made: float


class SurbBook:
    """All SURBs that are out. An id is good for one answer."""

    def __init__(self, kept: int = SURBS_KEPT, life: float = SURB_LIFE) -> None:
        self._surbs: OrderedDict[bytes, Surb] = OrderedDict()
        self._kept, self._life = kept, life

    def __len__(self) -> int:
        return len(self._surbs)

    def add(self, surb_id: bytes, surb: Surb) -> None:
        """Remembers a SURB; the oldest one goes if the book is full."""
        self._surbs[surb_id] = surb
        if len(self._surbs) > self._kept:
            self._surbs.popitem(last=False)

    def take(self, surb_id: bytes) -> Surb | None:
        """The SURB of that id, used up by this; None for an unknown or used one."""
        return self._surbs.pop(surb_id, None)

    def expire(self, now: float) -> None:
        """Forgets what is older than a SURB's life."""
        while self._surbs:
            surb_id, surb = next(iter(self._surbs.items()))
            if surb.made + self._life > now:
                return
            del self._surbs[surb_id]
