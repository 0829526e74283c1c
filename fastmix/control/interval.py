"""What a node has told others of its keys, and until when: its descriptor, which has a chain of its own each interval.

A key that a descriptor lists stays that slot's key as long as the descriptor may be believed. So the chain of the next interval
begins with the first slot that none has listed, and at a renewal on demand two slots on. The chain is on disk before the
descriptor lists it; a descriptor that was not written, or is not true any more, is written at the next start.
"""

from collections.abc import Callable
from pathlib import Path

from fastmix.control.rotation import Rotation
from fastmix.descriptor import NOBODY, Descriptor, read_descriptor
from fastmix.errors import ConfigError, CryptoError
from fastmix.files.durations import duration_ns
from fastmix.keys.policy import KeyRotationPolicy


class Interval:
    """The interval of one node's descriptor. `until_ns`: how long the descriptor is good; `end_slot`: the first slot that none
    has listed; `is_due`: it has still to be written."""

    def __init__(self, number: int, rotation: Rotation, policy: KeyRotationPolicy, write: Callable[[Descriptor], None]) -> None:
        """`write` signs a descriptor and replaces the one that is there; `ResourceExhausted`: asked again."""
        self.policy = policy
        self._number, self._rotation, self._write = number, rotation, write
        self.until_ns = self.end_slot = 0
        self.is_due = False

    @property
    def ends_ns(self) -> int:
        """When the next interval begins."""
        return self.until_ns - duration_ns(self.policy.overlap_period)

    def take_up(self, before: Descriptor | None, now_ns: int) -> None:
        """Goes on where a predecessor was, by the descriptor that it has left, over or not; None: there is none that counts."""
        if before is None:
            self.begin(now_ns)
            return
        self.until_ns, self.end_slot = before.valid_until_ns, before.first_slot + len(before.publics)
        self.is_due = not self._is_true(before, now_ns)

    def look(self, now_ns: int) -> None:
        """Begins the next interval in time, and writes what is due. `ResourceExhausted`: ask again."""
        if now_ns >= self.ends_ns:
            self._rotation.renew_from(self.end_slot)
            self.begin(now_ns)
        if self.is_due:
            first, publics = self._rotation.publics(now_ns, self.end_slot)
            self._write(Descriptor(self._number, self.policy.times, first, tuple(publics), self.until_ns))
            self.is_due = False

    def begin(self, now_ns: int, policy: KeyRotationPolicy | None = None) -> None:
        """From now on; `look` writes the descriptor. What has been listed stays listed."""
        self.policy = policy or self.policy
        self.end_slot = max(self.end_slot, self.policy.times.number(now_ns) + 1 + self.policy.horizon)
        self.until_ns = now_ns + duration_ns(self.policy.interval) + duration_ns(self.policy.overlap_period)
        self.is_due = True

    def forget(self) -> None:
        """No key that was listed is good any more."""
        self.end_slot = 0

    def _is_true(self, told: Descriptor, now_ns: int) -> bool:
        """Whether a descriptor lists the keys that there are."""
        first, publics = self._rotation.publics(now_ns, self.end_slot)
        known = {first + at: public for at, public in enumerate(publics) if public != NOBODY}
        listed = range(told.first_slot, told.first_slot + len(told.publics))
        return all(public == told.public(slot) for slot, public in known.items() if slot in listed)


def last_descriptor(path: Path, number: int, identity: bytes) -> Descriptor | None:
    """The descriptor that a node has written, over or not; None where there is none, or it is not the node's."""
    try:
        return read_descriptor(path, number, identity, now_ns=0)
    except (ConfigError, CryptoError):
        return None
