"""Slots of time: a mix key lives for one, with a grace before and after it.

Slot n begins at n x `slot_ns` of Unix time. Its key is accepted from `early_ns` before the slot to `late_ns` after it. At most
three keys are live at any moment, because early + late is at most two slots.
"""

from dataclasses import dataclass
from datetime import timedelta

from fastmix.errors import ConfigError
from fastmix.files.durations import format_duration

SECOND_NS = 1_000_000_000
SLOTS_LIVE_MAX = 3
"""As many as the data plane has room for."""
SLACK_NS = SECOND_NS
"""Allowed for the network and the clocks, besides the mixing of each hop."""
DELAYS_A_HOP = 10
"""An exponential delay is longer than ten times its mean once in 22,000 packets."""


def duration_text(duration_ns: int) -> str:
    """The nanoseconds as a duration that a configuration file takes, rounded up to a microsecond."""
    return format_duration(timedelta(microseconds=-(-duration_ns // 1000)))


@dataclass(frozen=True, slots=True)
class SlotTimes:
    """How long slots are, and their graces; `ConfigError` where more than three keys would be live."""

    slot_ns: int
    early_ns: int
    late_ns: int

    def __post_init__(self) -> None:
        if self.slot_ns <= 0:
            raise ConfigError(f"slot = {self.slot_ns} ns: a slot must be longer than nothing, such as 10min")
        if self.early_ns < 0 or self.late_ns < 0:
            raise ConfigError(f"early = {self.early_ns} ns, late = {self.late_ns} ns: a grace is 0 or more")
        if self.early_ns + self.late_ns > 2 * self.slot_ns:
            raise ConfigError(
                f"early = {duration_text(self.early_ns)} and late = {duration_text(self.late_ns)} are together more than two "
                f"slots of {duration_text(self.slot_ns)}, so that more than {SLOTS_LIVE_MAX} keys would be live: make "
                "slots longer, or graces shorter"
            )

    @property
    def text(self) -> str:
        """`slot 10min, early 1min, late 2min`."""
        named = (("slot", self.slot_ns), ("early", self.early_ns), ("late", self.late_ns))
        return ", ".join(f"{name} {duration_text(length_ns)}" for name, length_ns in named)

    def number(self, now_ns: int) -> int:
        """The slot that a Unix time is in."""
        return now_ns // self.slot_ns

    def opens_ns(self, number: int) -> int:
        """From when (Unix time, inclusive) the slot's key is accepted."""
        return number * self.slot_ns - self.early_ns

    def closes_ns(self, number: int) -> int:
        """Until when (Unix time, exclusive) the slot's key is accepted."""
        return (number + 1) * self.slot_ns + self.late_ns

    def live(self, now_ns: int) -> range:
        """The slots whose keys are accepted, oldest first: one to three."""
        return range(max(0, (now_ns - self.late_ns) // self.slot_ns), (now_ns + self.early_ns) // self.slot_ns + 1)

    def next_unopened(self, now_ns: int) -> int:
        """The first slot whose early grace has not begun: where a node begins that does not know what it has accepted."""
        return (now_ns + self.early_ns) // self.slot_ns + 1

    def key_slot(self, number: int) -> int:
        """The byte that names the slot in a link frame: live slots differ in it."""
        return number & 0xFF

    def late_least_ns(self, hops: int, mean_delay_ns: int, max_latency_ns: int) -> int:
        """The shortest `late` with which a packet that was built in time still finds its key at the last hop."""
        return 2 * (hops * (DELAYS_A_HOP * mean_delay_ns + max_latency_ns) + SLACK_NS)

    def check(self, hops: int, mean_delay_ns: int, max_latency_ns: int) -> None:
        """`ConfigError` where `late` is too short for packets of `hops` hops that wait as long as mixing may take."""
        least = self.late_least_ns(hops, mean_delay_ns, max_latency_ns)
        if self.late_ns < least:
            raise ConfigError(
                f"late = {duration_text(self.late_ns)} is too short: over {hops} hops with a mean delay of "
                f"{duration_text(mean_delay_ns)} and max_latency = {duration_text(max_latency_ns)}, packets built in a slot may "
                f"come up to {duration_text(least)} after it: set late to at least that, or lower max_latency"
            )
