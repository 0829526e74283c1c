"""The clock that a node's keys go by: fed with what the machine's clocks show, kept in `state_dir` for the next start, and what
log and health say of it.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Self

from fastmix.config import MixnodeConfig
from fastmix.errors import CryptoError, FastmixError, ResourceExhausted
from fastmix.files.durable import write_durably
from fastmix.files.durations import duration_ns
from fastmix.files.private import open_private
from fastmix.keys.clock import ClockMark, WallClock
from fastmix.keys.slots import SlotTimes
from fastmix.seam.pair import boot_id
from fastmix.status import HealthIssue, HealthStatus

log = logging.getLogger(__name__)
CLOCK_FILE = "clock"
"""In state_dir: what both clocks showed when keys were last looked after."""
MARK_NS = 1_000_000_000
MARK_SIZE = 4096
"""More than a mark is long."""
MARK_PERSONAL = b"fastmix-clock"
RESTORED = (
    "if this machine was restored from a snapshot with its memory, its link counters are those of a while ago too: make new link "
    "secrets for all its links (fastmix keys new)"
)


def clock_mark() -> ClockMark:
    """What the clocks show now."""
    return ClockMark(time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME), boot_id())


def mark_text(mark: ClockMark) -> bytes:
    """What `CLOCK_FILE` has of a mark: its five numbers and a checksum over them."""
    words = f"{mark.unix_ns} {mark.boot_ns} {mark.boot_id.hex()} {mark.time_ns} {mark.offset_ns}"
    return f"{words} {_checksum(words)}\n".encode()


def read_mark(path: Path) -> ClockMark | None:
    """The mark that a file has; None: there is none. `CryptoError`: damaged; `ConfigError`: others could write it; `OSError`."""
    try:
        fd = open_private(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with open(fd, "rb") as file:
        words, _, checksum = file.read(MARK_SIZE).decode(errors="replace").rstrip("\n").rpartition(" ")
    if checksum != _checksum(words):
        raise CryptoError(f"{path}: is damaged")
    unix_ns, boot_ns, boot, time_ns, offset_ns = words.split()
    return ClockMark(int(unix_ns), int(boot_ns), bytes.fromhex(boot), int(time_ns), int(offset_ns))


def _checksum(words: str) -> str:
    return hashlib.blake2b(words.encode(), digest_size=16, person=MARK_PERSONAL).hexdigest()


class KeyClock:
    """Begins with what the wall clock shows. `has_parted`: wall and boot time went different ways since the mark that was left;
    `is_unsure`: they did, or nobody can tell."""

    def __init__(self, config: MixnodeConfig, clocks: Callable[[], ClockMark]) -> None:
        """`clocks` is asked for what they show, always."""
        assert config.keys is not None  # `check_keys`
        after = config.keys.follow_clock_after
        self._follow_after_ns = duration_ns(after) if isinstance(after, timedelta) else None
        self._path, self._clocks = config.state_dir / CLOCK_FILE, clocks
        mark = clocks()
        self._wall = WallClock(mark.unix_ns, mark.boot_ns, follow_after_ns=self._follow_after_ns)
        self._marked_ns = 0
        self.has_parted, self.is_unsure = False, True

    @classmethod
    def begun(cls, config: MixnodeConfig, clocks: Callable[[], ClockMark], *, goes_on: bool) -> Self:
        """Compared with the mark that a predecessor has left. `goes_on`: that was a control of this very node, and its time goes
        on; at a node's start the wall clock is believed."""
        clock, mark = cls(config, clocks), clocks()
        before = clock._last_mark()
        clock.is_unsure = before is None or before.has_parted(mark)
        if before is not None and before.boot_id == mark.boot_id:
            clock.has_parted = clock.is_unsure
            if goes_on:
                clock._wall = WallClock.resumed(before, clock._follow_after_ns)
        return clock

    def now_ns(self) -> int:
        """The time that keys go by."""
        mark = self._clocks()
        return self._wall.read(mark.unix_ns, mark.boot_ns)

    @property
    def boot_ns(self) -> int:
        """Boot time now."""
        return self._clocks().boot_ns

    @property
    def partings(self) -> int:
        """How often the clocks were seen to part."""
        return self._wall.partings

    @property
    def parted_ns(self) -> int:
        """How far the wall clock is ahead (or, below zero, behind) in a jump that is not followed yet; else 0."""
        return self._wall.parted_ns

    @property
    def held_ns(self) -> int:
        """For how long time will stand, because the wall clock was set back; else 0."""
        return self._wall.held_ns

    def boot_ns_at(self, time_ns: int) -> int:
        """The boot time at which this time comes, as far as is known now."""
        return self._wall.boot_ns_at(time_ns)

    def confirm(self) -> None:
        """Follows the jump that waits, if there is one."""
        self._wall.confirm()

    def leave_mark(self) -> None:
        """So that the next start sees whether the clocks have parted meanwhile; once a second. `ResourceExhausted`."""
        mark = self._wall.mark(self._clocks().boot_id)
        if abs(mark.boot_ns - self._marked_ns) < MARK_NS:
            return
        self._marked_ns = mark.boot_ns
        try:
            write_durably(self._path, mark_text(mark))
        except OSError as error:
            raise ResourceExhausted(f"{self._path.parent}: cannot be written: {os.strerror(error.errno or 0)}") from None

    def issues(self, times: SlotTimes) -> Iterator[HealthIssue]:
        """What is wrong where the wall clock is not followed, and the remedies."""
        if parted_ns := self.parted_ns:
            way = f"{abs(parted_ns) / 1e9:.0f} s {'ahead of' if parted_ns > 0 else 'behind'}"
            problem = f"the wall clock is {way} the time that boot time bears out, by which keys go on"
            remedy = f"set it right; if it is right: fastmix keys clock NODE --confirm{self._or_wait()}; {RESTORED}"
            yield HealthIssue("clock", HealthStatus.UNHEALTHY if parted_ns > 0 else HealthStatus.DEGRADED, problem, remedy)
        elif self.held_ns > times.late_ns // 2:
            problem = f"the wall clock was set back: keys stand for {self.held_ns / 1e9:.0f} s, until it comes up to them"
            remedy = "wait, or set it right; if it is right: fastmix keys rotate --compromised NODE begins again with its time"
            yield HealthIssue("clock", HealthStatus.UNHEALTHY, problem, remedy)

    def _or_wait(self) -> str:
        if self._follow_after_ns is None:
            return ' (follow_clock_after in [keys], such as "10min", makes that needless on a machine that nobody attends)'
        return f", or wait until it has stood for {self._follow_after_ns / 1e9:.0f} s (follow_clock_after in [keys])"

    def _last_mark(self) -> ClockMark | None:
        try:
            return read_mark(self._path)
        except (FastmixError, OSError) as error:
            log.error("%s; keys that lie beside it are wiped, for nobody can tell how old they are", error)
            return None


def tell_parting() -> None:
    """For whoever looks into the log why everything was burnt."""
    log.error(
        "the wall clock has parted from boot time by more than 5 s: it was set, or this machine is a restored snapshot, whose "
        "replay sets are not those of now. All live keys are wiped, and a fresh chain begins; %s",
        RESTORED,
    )
