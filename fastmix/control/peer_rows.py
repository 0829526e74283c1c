"""The rows of a node's links over shared memory: published when there is something new, and the data plane ready for it."""

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence

from fastmix.config import MixnodeConfig
from fastmix.control.link_rows import LinkRow, LinkRows
from fastmix.control.snapshot import SnapshotKey, begin_snapshot, publish_links, published_links, wipe_before
from fastmix.errors import NetworkFailure, ResourceExhausted
from fastmix.links.exchange import Roots
from fastmix.network import Network
from fastmix.seam.memory import Region

ADOPTED_S = 10.0
"""So long the data plane may take to come to use a root: it may be starting again."""
POLL_S = 0.005


def boot_ns() -> int:
    """CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class PeerRows:
    """The links of a node of a network that forms itself, in place of `StaticLinks`; what `peers.linking` puts roots into."""

    reservations_fail = False

    def __init__(self, config: MixnodeConfig, network: Network, page: Region, secret: Region) -> None:
        self.rows = LinkRows()
        self._config, self._network, self._page, self._secret = config, network, page, secret
        self._places: dict[bytes, tuple[str, int]] = {}
        self._routes: dict[int, bytes] = {}
        self._published_at = self._wiped = 0
        self._changed = False

    def begin(self) -> None:
        """Links come later."""

    def reserve(self) -> None:
        """Nothing of a root outlives the node."""

    def publish(self, keys: Sequence[SnapshotKey]) -> None:
        """The first snapshot: keys only."""
        network = self._network
        begin_snapshot(
            self._secret, keys, classes=network.classes, mean_delay_ns=network.mean_delay_ns, pool_slots=self._config.pool_slots
        )

    def take_over(self) -> None:
        """Goes on with the rows that a predecessor has published."""
        self.rows = published_links(self._secret, boot_ns())

    def active(self) -> int:
        """Peers that packets leave to."""
        return len(self.live())

    def live(self) -> set[bytes]:
        """Those peers."""
        return {row.peer for row in self.rows if row.sends}

    def settle(self) -> None:
        """The data plane has ended for good."""

    def set_network(self, places: Mapping[bytes, tuple[str, int]], routes: Mapping[int, bytes]) -> None:
        """Where the datagrams of nodes go, by identity, and who has which mixnode index."""
        self._places = dict(places)
        if self._routes != routes:
            self._routes, self._changed = dict(routes), True

    def free_index(self) -> int:
        """A random receiver index that no root has."""
        while self.rows.has_index(index := secrets.randbits(32)):
            continue
        return index

    async def install(self, peer: bytes, roots: Roots, *, is_client: bool) -> int:
        """Takes frames under these roots from now on; returns when that is so, with the row's number."""
        place = None if is_client else self._places.get(peer)
        if place is None and not is_client:
            roots.wipe()
            raise NetworkFailure(f"node {peer.hex()[:16]} has no address in the document that is known here")
        row = self._add(peer, place, roots)
        await self._shown()
        return row.serial

    async def switch(self, serial: int) -> None:
        """Sends under the root of that row, too; returns when that is so."""
        row = next((row for row in self.rows if row.serial == serial), None)
        if row is None or not self.rows.acked(row, boot_ns()):
            raise NetworkFailure("that root is over already: begin anew")
        await self._shown()

    async def _shown(self) -> None:
        """Until the data plane uses the rows as they are now. `NetworkFailure` where it does not come to that."""
        give_up, before = time.monotonic() + ADOPTED_S, self._published_at
        self.tick()
        wanted = self._published_at if not self.rows.changed else None
        while wanted is None or self._adopted() < wanted:
            if time.monotonic() > give_up:
                raise NetworkFailure("the data plane takes no new link roots now: see its log")
            await asyncio.sleep(POLL_S)
            self.tick()
            if wanted is None and self._published_at > before:
                wanted = self._published_at  # the first one after the call has what it was called for

    def tick(self) -> None:
        """Ends what is over, and publishes what has changed once the data plane has adopted the snapshot before."""
        self.rows.expire(boot_ns())
        adopted, generation = self._adopted(), int(self._secret["snapshot"]["generation"][0])
        self.rows.adopted(adopted)
        if adopted != generation:
            return
        if self.rows.changed or self._changed:
            self._published_at = publish_links(self._secret, self.rows, self._routes)
            self._changed = False
        elif self._wiped != generation:
            wipe_before(self._secret)
            self._wiped = generation

    def _adopted(self) -> int:
        return int(self._page["process"]["adopted"][0])

    def _add(self, peer: bytes, place: tuple[str, int] | None, roots: Roots) -> LinkRow:
        try:
            return self.rows.add(peer, place, roots, boot_ns(), rate=0 if place else self._config.client_rate)
        except (ResourceExhausted, ValueError) as error:
            raise NetworkFailure(f"no room for the link: {error}") from None
