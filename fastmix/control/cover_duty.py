"""Control's part of a node's loops: ways and clocks for them, and what status and health say."""

import random
import time
from collections.abc import Iterator, Set

from fastmix.config import MixnodeConfig
from fastmix.control.cover import CoverRates, LoopCover
from fastmix.control.cover_keys import NetworkKeys
from fastmix.control.loop_loss import Figure
from fastmix.control.loop_routes import LoopRoutes
from fastmix.files.durations import duration_ns
from fastmix.network import Network
from fastmix.peers.view import View
from fastmix.seam.memory import Region
from fastmix.seam.originate import OwnPackets
from fastmix.status import HealthIssue, HealthStatus

NO_NETWORK = "there is no network yet"
REMEDY = (
    "see whether those nodes, and the links to them, work; if they do, somebody on the way keeps packets back, perhaps to single "
    "one out ((n-1) attack): cover is raised meanwhile"
)


class CoverDuty:
    """The loops of one node over its page. Where the network is a file, its ways are known at once; else `follow` tells."""

    def __init__(self, config: MixnodeConfig, network: Network, page: Region, seeded: random.Random | None = None) -> None:
        cover = config.cover
        latency_ns = duration_ns(config.mixing.max_latency)
        rates = CoverRates(cover.rate, cover.fill, cover.usual_loss, latency_ns)
        self._page, self._is_on = page, cover.is_on
        self._followed: tuple[View, int, set[bytes]] | None = None
        self.loops = LoopCover(OwnPackets(page["cover"]), rates, seeded)
        if config.join is None:
            times = config.keys.policy.times if network.rotates and config.keys else None
            routes = LoopRoutes(network, config.number, NetworkKeys(network).public, times)
            self.loops.set_routes(routes, time.monotonic_ns(), settles=False)

    def follow(self, view: View | None, number: int | None, live: Set[bytes]) -> None:
        """The network as its documents have it, this node's number in it, and the peers that packets leave to: loops go over
        those, as far as authorities see them at work."""
        if view is None or number is None or number not in view.entries:
            self.loops.set_routes(None, time.monotonic_ns())
            self._followed = None
            return
        if self._followed is not None and self._followed[0] is view and self._followed[1:] == (number, live):
            return
        self._followed = view, number, set(live)
        away = {other for other, entry in view.entries.items() if not entry.up or entry.identity not in live}
        routes = LoopRoutes(view.network, number, view.public, view.document.settings.times, away - {number})
        self.loops.set_routes(routes, time.monotonic_ns())
        beside = {view.entries[other].identity for other in view.neighbours(number)}
        self._page["cover"]["upstreams"] = len(beside | live)

    def tick(self, wall_ns: int) -> None:
        """Ten times a second, with the Unix time that keys go by."""
        is_running = bool(self._page["process"]["ready"][0]) and not self._page["command"]["drain"][0]
        if self.loops.tick(time.monotonic_ns(), wall_ns, makes=self._is_on and is_running):
            self._page["command"]["wake"] += 1

    @property
    def text(self) -> str:
        """One line for the status: `1.0 loops/s`, or why there are none."""
        routes = self.loops.routes
        if not self._is_on:
            return "off: [cover] says so"
        if routes is None or not routes.is_open:
            return f"off: {NO_NETWORK if routes is None else routes.why_closed}"
        raised = f", raised {self.loops.raised} times" if self.loops.raised > 1 else ""
        return f"{self.loops.rate:g} loops/s{raised}, and up to {self.loops.rates.fill:g} more where the floor lacks residents"

    def issues(self) -> Iterator[HealthIssue]:
        """Loops that do not come back."""
        if self.loops.is_alarmed:
            loss = self.loops.loss
            problem = f"{loss.figure.text} loops of the last minute were lost"
            yield HealthIssue("loops_lost", HealthStatus.DEGRADED, f"{problem}: {named(loss.suspects())}", REMEDY)


def named(suspects: dict[int, Figure]) -> str:
    """`node 3 (12 of 12)`."""
    told = [f"node {number} ({figure.text})" for number, figure in sorted(suspects.items())]
    return ("most over " + ", ".join(told)) if told else "over no node more than over others"
