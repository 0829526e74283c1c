"""The time that keys go by: Unix time as far as boot time bears it out. Pure: it is fed with what both clocks show.

Keys end by time, so whoever moves the wall clock could revive or end them. Boot time (CLOCK_BOOTTIME) cannot be set, and counts
a suspended machine too. So time here goes on with boot time, and follows the wall clock by one millisecond a second at most. If
the two part by more than five seconds, whether at once or bit by bit, time goes on with boot time until the jump is confirmed
or, where that was asked for, has stood for a while. It never goes backwards: after a step back that is followed, it stands until
the wall clock comes up to it.
The end of a key is fixed in boot time when the key opens (`boot_ns_at`), so a time that stands lengthens no key's life.
"""

from dataclasses import dataclass

from fastmix.keys.slots import SECOND_NS

PARTED_NS = 5 * SECOND_NS
"""The clocks have parted: a jump, or a restored snapshot of the machine."""
DRIFT_SHARE = 1000
"""Crystals and slewing part clocks by less than one in a thousand."""


@dataclass(frozen=True, slots=True)
class ClockMark:
    """What the clocks showed at one moment, in ns, and which boot it was (16 bytes); the time that keys went by then, and by how
    much that goes ahead of boot time."""

    unix_ns: int
    boot_ns: int
    boot_id: bytes
    time_ns: int = 0
    offset_ns: int = 0

    def has_parted(self, now: "ClockMark") -> bool:
        """Whether what was true then need not be true now: another boot, or wall and boot time went different ways since.

        A restored snapshot or a wall clock that was set; a node then begins with slots that have not been opened.
        """
        elapsed = now.boot_ns - self.boot_ns
        if self.boot_id != now.boot_id or elapsed < 0:
            return True
        return abs(now.unix_ns - self.unix_ns - elapsed) > PARTED_NS + elapsed // DRIFT_SHARE


class WallClock:
    """Unix time that never goes backwards, and waits before it follows a jump.

    `least_ns`: a time that keys have gone by already, such as that of the newest pair file: it begins no earlier.
    `follow_after_ns`: a jump that has stood for so long is followed without being confirmed; None: none is.
    """

    def __init__(self, unix_ns: int, boot_ns: int, least_ns: int = 0, follow_after_ns: int | None = None) -> None:
        self._boot_ns = boot_ns
        self._offset_ns = self._seen_ns = unix_ns - boot_ns
        self._time_ns = max(unix_ns, least_ns)
        self._follow_after_ns = follow_after_ns
        self._jump: tuple[int, int] | None = None
        """Offset of a jump that waits, and the boot time at which it was seen first."""
        self.partings = 0
        """Jumps that were seen. After each, memory may be that of another time: whoever holds keys has to burn them."""

    @classmethod
    def resumed(cls, mark: ClockMark, follow_after_ns: int | None = None) -> "WallClock":
        """As it was at a mark of this boot: for a successor, who does not follow what its predecessor waited with."""
        return cls(mark.boot_ns + mark.offset_ns, mark.boot_ns, mark.time_ns, follow_after_ns)

    def mark(self, boot_id: bytes) -> ClockMark:
        """How it stands now."""
        return ClockMark(self._boot_ns + self._seen_ns, self._boot_ns, boot_id, self._time_ns, self._offset_ns)

    @property
    def parted_ns(self) -> int:
        """How far the wall clock is ahead (or, below zero, behind) in a jump that is not followed yet; else 0."""
        return self._seen_ns - self._offset_ns if self._jump else 0

    @property
    def held_ns(self) -> int:
        """For how long time will stand, because the wall clock was set back; else 0."""
        return max(0, self._time_ns - self._boot_ns - self._offset_ns)

    def read(self, unix_ns: int, boot_ns: int) -> int:
        """The time that keys go by, ns, now that the clocks show this."""
        elapsed_ns = max(0, boot_ns - self._boot_ns)
        self._boot_ns += elapsed_ns
        self._seen_ns = unix_ns - self._boot_ns
        distance_ns = self._seen_ns - self._offset_ns
        if abs(distance_ns) <= PARTED_NS:
            self._jump = None
            drift_ns = elapsed_ns // DRIFT_SHARE
            self._offset_ns += max(-drift_ns, min(drift_ns, distance_ns))
        else:
            self._wait_or_follow()
        return self._go_on()

    def confirm(self) -> int:
        """Follows the jump that waits, if there is one: an operator, or the network's consensus, says that it is right."""
        self._jump, self._offset_ns = None, self._seen_ns
        return self._go_on()

    def boot_ns_at(self, time_ns: int) -> int:
        """The boot time at which this time comes, as far as is known now."""
        return time_ns - self._offset_ns

    def _wait_or_follow(self) -> None:
        """A jump that changes begins to wait anew."""
        if self._jump is None or abs(self._seen_ns - self._jump[0]) > PARTED_NS:
            self._jump = (self._seen_ns, self._boot_ns)
            self.partings += 1
        if self._follow_after_ns is not None and self._boot_ns - self._jump[1] >= self._follow_after_ns:
            self._jump, self._offset_ns = None, self._seen_ns

    def _go_on(self) -> int:
        self._time_ns = max(self._time_ns, self._boot_ns + self._offset_ns)
        return self._time_ns
