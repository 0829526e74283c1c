"""Which keys packets are built for where a directory names the nodes: those of slots, out of the nodes' signed records."""

import logging
import time
from collections.abc import Callable, Mapping

from fastmix.client.node_keys import BySlots, by_number
from fastmix.errors import ConfigError
from fastmix.keys.slots import SlotTimes
from fastmix.peers.view import View

log = logging.getLogger(__name__)


class DirectoryKeys(BySlots):
    """Keys of slots, as the records of a view list them. `lacking` are nodes whose record has none for now or has other slots,
    which the document does not say to be up, and whom `avoid` names: routes go around them."""

    def __init__(self, view: View, wall: Callable[[], int] = time.time_ns) -> None:
        """`ConfigError` where the document's slots cannot be."""
        self.wall, self.times = wall, view.document.settings.times
        self.lacking: dict[int, str] = {}
        self._avoided: Mapping[int, str] = {}
        self.adopt(view)

    def adopt(self, view: View) -> None:
        """Another view."""
        self._view = view
        self._publics = {}
        self.look()

    def avoid(self, nodes: Mapping[int, str]) -> None:
        """Numbers that no packet is built for until the next call, and why."""
        if nodes != self._avoided:
            self._avoided = dict(nodes)
            self._publics = {}
            self.look()

    def look(self) -> None:
        """Reads the clock."""
        self._now_ns = self.wall()
        wanted = self.wanted()
        if wanted != range(min(self._publics, default=0), max(self._publics, default=-1) + 1):
            self._choose(wanted)

    def _choose(self, wanted: range) -> None:
        """The keys of these slots, and the nodes that no packet can be built for."""
        before, numbers = self.lacking, self._view.entries
        self.lacking = {number: why for number in numbers if (why := self._why_lacking(number, wanted))}
        self._publics = {
            slot: by_number({number: self._view.public(number, slot) or bytes(32) for number in numbers}) for slot in wanted
        }
        for number in self.lacking.keys() - before.keys():
            log.info("%s; packets go around it", self.lacking[number])
        for number in (before.keys() - self.lacking.keys()) & numbers.keys():
            log.info("node %d can be used again", number)

    def _why_lacking(self, number: int, wanted: range) -> str:
        entry = self._view.entries[number]
        if number in self._avoided:
            return f"node {number}: {self._avoided[number]}"
        if not entry.up:
            return f"node {number} is down, the directory says"
        if _times_of(self._view, entry.identity) != self.times:
            return f"node {number} has slots of another length than the network: it has to be given the same [keys]"
        absent = [slot for slot in wanted if self._view.public(number, slot) is None]
        if not absent:
            return ""
        return (
            f"node {number} has published no key of slot {absent[0]}, which it is by this machine's clock: see whether the node "
            "is running, and look at the clock"
        )


def _times_of(view: View, identity: bytes) -> SlotTimes | None:
    try:
        return view.records[identity].times
    except ConfigError:
        return None
