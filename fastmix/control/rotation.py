"""Rotation: the pairs of the slots that are live or will be soon. Made ahead, published, removed.

The key of a slot comes from the chain into its pair file, and nowhere else. The chain is past the slot, durably, before the pair
has its name, without which nobody uses it: what a disk knows can never make a key again that was in use. A kill at any point
costs no slot: what has no name yet and is whole is one that nobody has used.

Times are arguments: Unix time by the clock that keys go by, and CLOCK_BOOTTIME at the same moment.
"""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fastmix.control.snapshot import SnapshotKey
from fastmix.descriptor import NOBODY
from fastmix.errors import FastmixError
from fastmix.keys._chain import SKIP_MAX, public_of
from fastmix.keys.chainfile import CHAINS_MAX
from fastmix.keys.slots import SlotTimes
from fastmix.seam.layout import KEYS_MAX
from fastmix.seam.pair import (
    ID_SIZE,
    Pair,
    PairName,
    boot_id,
    create_pair,
    is_fixed,
    open_pair,
    pair_files,
    pair_path,
    unnamed_path,
    wipe_file,
)  # fmt: skip

log = logging.getLogger(__name__)
LEAD_NS = 30_000_000_000
"""So long before its early grace a slot's pair is made, and at most half a slot."""
AFTER_NS = 1_000_000_000
"""So long after its time a pair that the data plane has not removed is removed here."""


class MixKeyChain(Protocol):
    """A `ChainFile`."""

    @property
    def id(self) -> bytes:
        """16 bytes."""
        ...

    @property
    def slot(self) -> int:
        """The slot whose secret is next."""
        ...

    @property
    def starts(self) -> list[tuple[int, bytes]]:
        """(first slot that it gives yet, id) of each chain, in order."""
        ...

    def publics(self, n: int) -> npt.NDArray[np.uint8]:
        """X25519 publics of the next n slots, u8[n, 32]."""
        ...

    def take(self, into: memoryview, filled: Callable[[], object]) -> None:
        """Writes the secret of `slot`, calls `filled`, advances past it, durably."""
        ...

    def skip_to(self, slot: int) -> None:
        """Gives up the secrets before a slot."""
        ...

    def renew(self, first_slot: int) -> None:
        """A fresh chain from that slot on."""
        ...

    def start_over(self, first_slot: int) -> None:
        """A fresh chain in place of everything."""
        ...


def pair_id(chain_id: bytes, slot: int) -> bytes:
    """The id of the pair of a slot."""
    return hashlib.blake2b(chain_id + slot.to_bytes(8, "little"), digest_size=ID_SIZE, person=b"fastmix-pair-id\0").digest()


class Rotation:
    """The pairs of one node. `begin` once, then `look` often; `keys` are what to publish.

    `passed` (tests only) is told each point of a rotation: "filled", "taken", "named", "removed"; "anew" of `start_over`.
    """

    def __init__(
        self, state_dir: Path, times: SlotTimes, capacity: int, chain: MixKeyChain, passed: Callable[[str], object] = len
    ) -> None:
        self.state_dir, self.times, self.capacity = state_dir, times, capacity
        self.chain, self._passed = chain, passed
        self._lead_ns = min(LEAD_NS, times.slot_ns // 2)
        self.pairs: dict[int, Pair] = {}

    def begin(self, now_ns: int, *, fresh: bool = False, burn: bool = False) -> None:
        """Takes over what a predecessor has left. `fresh`: the chain was made in this very start; `burn`: the clock has parted
        from boot time, so that what lies here may be of another time.

        Intact pairs of this boot go on. Other slots begin with the first whose early grace has not begun: without its replay set
        a key that may have been in use is not used again. A fresh chain's keys cannot have been: it begins with what is live now.
        """
        for path in pair_files(self.state_dir):
            pair = None if burn else self._intact(path, now_ns, fresh)
            if pair is None:
                wipe_file(path)
            elif not is_fixed(pair.slot):
                self.pairs[pair.slot] = pair
        first = self.times.live(now_ns)[0] if fresh else self.times.next_unopened(now_ns)
        self._skip_to(max([first, *(slot + 1 for slot in self.pairs)]))

    def _intact(self, path: Path, now_ns: int, fresh: bool) -> Pair | None:
        """A pair that may be used on: whole, its secret that of its public, of this boot, not over, and of a slot that the chain
        is past. One that was whole and had not its name yet gets it, and the chain goes past it first."""
        try:
            pair = open_pair(path)
        except (FastmixError, OSError):
            return None
        if is_fixed(pair.slot):
            return pair
        if pair.boot_id != boot_id() or self.times.closes_ns(pair.slot) <= now_ns or public_of(pair.secret.data) != pair.public:
            return None
        if pair.slot >= self.chain.slot and not fresh:  # of a chain that is no more, or one that was put back
            unused = path == unnamed_path(self.state_dir, pair.id) and pair.chain_id == self.chain.id
            if not unused or pair.slot > self.chain.slot:
                return None
            self.chain.skip_to(pair.slot + 1)
        pair.path = path.replace(pair_path(self.state_dir, pair.id))
        return pair

    def _skip_to(self, slot: int) -> None:
        """Gives up the slots before this one, however many."""
        if slot - self.chain.slot > SKIP_MAX:
            self.chain.start_over(slot)
        elif slot > self.chain.slot:
            self.chain.skip_to(slot)

    def look(self, now_ns: int) -> None:
        """Makes what is due, removes what is over. `FastmixError` where something cannot be made now: ask again."""
        for slot in [slot for slot in self.pairs if self.times.closes_ns(slot) + AFTER_NS <= now_ns]:
            self._remove(slot)
        while self.times.opens_ns(self.chain.slot) - self._lead_ns <= now_ns:
            if self.times.closes_ns(self.chain.slot) <= now_ns:  # after a long sleep
                self._skip_to(self.times.live(now_ns)[0])
            else:
                self._make(self.chain.slot)

    def _make(self, slot: int) -> None:
        public = self.chain.publics(1)[0].tobytes()
        name = PairName(pair_id(self.chain.id, slot), slot, public, self.chain.id)

        def fill(into: npt.NDArray[np.uint8], complete: Callable[[], None]) -> None:
            def filled() -> None:
                complete()
                self._passed("filled")

            self.chain.take(into.data, filled)
            self._passed("taken")

        self.pairs[slot] = create_pair(self.state_dir, name, self.capacity, fill)
        self._passed("named")

    def _remove(self, slot: int) -> None:
        pair = self.pairs.pop(slot)
        if pair.path is not None:
            wipe_file(pair.path)
        self._passed("removed")

    def keys(self, now_ns: int, boot_ns: int) -> list[SnapshotKey]:
        """The keys to publish, oldest first, at most three, until their time is over."""
        ahead_ns = boot_ns - now_ns
        return [
            SnapshotKey(pair_id, slot, self.times.opens_ns(slot) + ahead_ns, self.times.closes_ns(slot) + ahead_ns)
            for slot, pair in sorted(self.pairs.items())
            if self.times.closes_ns(slot) > now_ns and any(pair_id := pair.id)  # else the data plane has just wiped it
        ][:KEYS_MAX]

    def renew(self, now_ns: int) -> int:
        """A fresh chain from two slots on, or from the first without a pair. The slot. What is built by the descriptor
        of before is taken for a whole slot from now: so long a client has, to look for the new one."""
        first = max(self.times.number(now_ns) + 2, self.chain.slot)
        self.chain.renew(first)
        return first

    def renew_from(self, first: int) -> None:
        """A fresh chain from a slot on that no descriptor has listed; where many wait already, the last one goes on."""
        if len(self.chain.starts) < CHAINS_MAX:
            self.chain.renew(max(first, self.chain.slot))

    def start_over(self, now_ns: int) -> None:
        """A fresh chain from the first live slot on. The pairs of before are worth nothing from now on: `burn` them, once the
        data plane does not use them any more; a start finds that they are of slots that the chain has still to come to."""
        self.chain.start_over(self.times.live(now_ns)[0])
        self._passed("anew")

    def burn(self) -> None:
        """Wipes every pair."""
        for slot in list(self.pairs):
            self._remove(slot)

    def first(self, now_ns: int) -> int:
        """The first slot that is worth listing: the first live one with a pair, or the next that will get one."""
        return min((slot for slot in self.pairs if self.times.closes_ns(slot) > now_ns), default=self.chain.slot)

    def opens_next_ns(self, now_ns: int) -> int | None:
        """When the first slot opens that has a pair, or will get one; None where it is open."""
        opens_ns = self.times.opens_ns(self.first(now_ns))
        return opens_ns if opens_ns > now_ns else None

    def is_ahead(self, now_ns: int) -> bool:
        """Whether slots that are still to open have been given up."""
        return self.first(now_ns) > self.times.next_unopened(now_ns)

    def publics(self, now_ns: int, end: int) -> tuple[int, list[bytes]]:
        """(first slot, X25519 publics) until the slot `end`, which is not in it: those of pairs, then of the chains. A slot whose
        pair is lost has none."""
        first = self.first(now_ns)
        made = [self._public(slot) for slot in range(first, self.chain.slot)]
        return first, [*made, *(row.tobytes() for row in self.chain.publics(max(end - self.chain.slot, 1)))]

    def _public(self, slot: int) -> bytes:
        public = self.pairs[slot].public if slot in self.pairs else b""
        return public if any(public) else NOBODY
