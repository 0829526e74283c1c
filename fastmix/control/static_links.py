"""The links of `network.toml` in a running node: their roots are published once, their counters are reserved ahead of use."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fastmix.config import MixnodeConfig
from fastmix.control.snapshot import SnapshotKey, check_link_count, publish_snapshot
from fastmix.errors import FastmixError
from fastmix.links.reservations import Reservations, counter_files
from fastmix.links.static import LinkRoot, StaticLinkRoots
from fastmix.network import Network
from fastmix.seam.memory import Region

log = logging.getLogger(__name__)
COMPLAINT_S = 60.0
LOOK_S = 10.0
"""Between two looks whether the files of counters are in their places."""
LOCK_PATIENCE_S = 3.0
"""So long a predecessor that is ending may still hold them."""
WRITTEN_ANEW = "written anew from memory. Without them a start would use the same keys and counters twice: leave them alone"


@dataclass
class StaticLinks:
    """One node's. Of the roots only their ids stay in this process."""

    config: MixnodeConfig
    network: Network
    page: Region
    secret: Region
    root_ids: list[bytes] = field(default_factory=list)
    reservations: Reservations | None = None
    reservations_fail: bool = False
    looked_at: float = 0.0
    complained_at: float = -COMPLAINT_S
    _roots: list[LinkRoot] = field(default_factory=list, repr=False)

    def begin(self) -> None:
        """Reads the secrets, and takes the files of counters. `ConfigError` or `CryptoError` where one is wrong."""
        self._roots = StaticLinkRoots(self.network, self.config.number).roots(time.time_ns())
        check_link_count(len(self._roots))
        self.root_ids = [root.send_root_id for root in self._roots]
        self.reservations = self._open_reservations(LOCK_PATIENCE_S)

    def reserve(self) -> None:
        """Counters for links that have none yet."""
        assert self.reservations is not None
        self._reserve(self.reservations)

    def publish(self, keys: Sequence[SnapshotKey]) -> None:
        """The first snapshot: keys and links."""
        slots, rate = self.config.pool_slots, self.config.client_rate
        publish_snapshot(self.secret, self.network, keys, self._roots, slots, client_rate=rate)
        self._roots = []

    def take_over(self) -> None:
        """In place of all that, where a predecessor has published. Where counters cannot be reserved now, the data plane goes on
        with those it has, and `tick` tries again."""
        snapshot = self.secret["snapshot"]
        n = int(snapshot["copy"]["link_count"][0, int(snapshot["generation"][0]) & 1])
        self.root_ids = [row.tobytes() for row in self.page["root_ids"][:n]]
        try:
            self._keep_reserved(LOCK_PATIENCE_S)
        except FastmixError as error:
            self._complain(error)

    def tick(self) -> None:
        """Reserves counters in time."""
        try:
            self._keep_reserved()
            self.reservations_fail = False
        except FastmixError as error:  # there is a block left, or more: the disk may recover until it is used up
            self._complain(error)

    def active(self) -> int:
        """Links that packets have come in by."""
        return int((self.page["links"]["window"]["top"][: len(self.root_ids)] > 0).sum())

    def settle(self) -> None:
        """The data plane has ended for good: the next start goes on at the very next counters. What cannot be written begins at
        the next block."""
        for at, root_id in enumerate(self.root_ids if self.reservations else ()):
            try:
                assert self.reservations is not None
                self.reservations.settle(root_id, *counter_pair(self.page["links"]["send_counter"][at]))
            except FastmixError as error:
                self._complain(error)

    def _open_reservations(self, wait_s: float) -> Reservations:
        files = counter_files(self.network, self.config.number)
        return Reservations.open(dict(zip(self.root_ids, files, strict=True)), wait_s)

    def _reserve(self, reservations: Reservations) -> None:
        """Counters for links that have none yet. A predecessor may have died between two links, or between the two words of
        one; and before anything is published a secret may have become another."""
        links, ids = self.page["links"], self.page["root_ids"]
        new = {}
        for at, root_id in enumerate(self.root_ids):
            if not links["send_limit"][at] or ids[at].tobytes() != root_id:
                new[root_id] = at
            else:
                reservations.adopt(root_id, *counter_pair(links["send_limit"][at]))
        for root_id, taken in reservations.begin(new).items():
            links["send_limit"][new[root_id]] = 0
            ids[new[root_id]] = np.frombuffer(root_id, np.uint8)
            links["send_counter"][new[root_id]] = counter_word(taken.step, taken.seq)
            links["send_limit"][new[root_id]] = counter_word(taken.step_limit, taken.seq_limit)

    def _keep_reserved(self, wait_s: float = 0.0) -> None:
        """Keeps every link's reservation at least one block ahead of its use, and its file where it belongs."""
        if self.reservations is None:
            self.reservations = self._adopted(self._open_reservations(wait_s))
        if time.monotonic() - self.looked_at >= LOOK_S:
            self.looked_at = time.monotonic()
            for path in self.reservations.renew():
                log.error("%s was removed or replaced: %s", path, WRITTEN_ANEW)
        self._extend(self.reservations)

    def _adopted(self, reservations: Reservations) -> Reservations:
        """What the data plane was given is true, whatever the files say."""
        limits = self.page["links"]["send_limit"]
        try:
            behind = [reservations.adopt(root_id, *counter_pair(limits[at])) for at, root_id in enumerate(self.root_ids)]
        except FastmixError:
            reservations.close()
            raise
        if any(behind):
            log.error("%d files of link counters were missing or old: %s", sum(behind), WRITTEN_ANEW)
        return reservations

    def _extend(self, reservations: Reservations) -> None:
        links = self.page["links"]
        problem: FastmixError | None = None
        for at, root_id in enumerate(self.root_ids):
            try:
                limits = reservations.extend(root_id, *counter_pair(links["send_counter"][at]))
            except FastmixError as error:  # the other links are not to suffer
                problem = error
            else:
                links["send_limit"][at] = counter_word(*limits)
        if problem:
            raise problem

    def _complain(self, error: FastmixError) -> None:
        self.reservations_fail = True
        if time.monotonic() - self.complained_at >= COMPLAINT_S:
            log.error("%s; links stop when what is reserved is used up", error)
            self.complained_at = time.monotonic()


def counter_word(step: int, seq: int) -> int:
    """Both numbers as one word of shared memory."""
    return step | seq << 32


def counter_pair(word: int) -> tuple[int, int]:
    """(step, seq) of such a word."""
    return int(word) & 0xFFFFFFFF, int(word) >> 32
