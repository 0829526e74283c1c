"""What a client counts. The names are the nodes', and so is the conservation law:

received + originated = sent + delivered + absorbed_cover + dropped, exact between any two calls.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fastmix.packet.verdict import Verdict


@dataclass(slots=True)
class ClientCounters:
    """Packets, but for the lower group, which counts what the packets were for."""

    received: int = 0
    """Datagrams that came."""
    originated: int = 0
    """Packets built here."""
    sent: int = 0
    """Datagrams that the kernel took: what a node calls forwarded."""
    delivered: int = 0
    """Requests and replies with a fragment that followed the format."""
    absorbed_cover: int = 0
    dropped: Counter[Verdict] = field(default_factory=Counter)

    covers_sent: int = 0
    fragments_retransmitted: int = 0
    acknowledgements_sent: int = 0
    surbs_made: int = 0
    messages_sent: int = 0
    messages_acknowledged: int = 0
    messages_timed_out: int = 0
    messages_received: int = 0

    def drop(self, verdict: Verdict, n: int = 1) -> None:
        """Counts n drops."""
        if n:
            self.dropped[verdict] += n

    def drop_all(self, verdicts: npt.NDArray[np.uint8]) -> None:
        """Counts the drops among verdicts u8[n]."""
        for value, n in enumerate(np.bincount(verdicts).tolist()):
            if n and value != Verdict.OK:
                self.dropped[Verdict(value)] += n

    def difference(self) -> int:
        """What the conservation law lacks: 0."""
        out = self.sent + self.delivered + self.absorbed_cover + self.dropped.total()
        return self.received + self.originated - out

    def as_dict(self) -> dict[str, object]:
        """For people and JSON: the drops under their labels."""
        out: dict[str, object] = {name: getattr(self, name) for name in self.__slots__ if name != "dropped"}
        return out | {"dropped": {verdict.label: n for verdict, n in sorted(self.dropped.items())}}
