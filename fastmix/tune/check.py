"""A host against a profile: what is as wanted, what is not, what this machine does not have."""

import re
from dataclasses import dataclass

from fastmix.profile import HostWish, Profile
from fastmix.tune.host import Host
from fastmix.tune.settings import ABSENT, Setting, setting_named

QUEUED_BYTES = 2304
"""Of the kernel's memory, for each queued packet of geometry wan. Sockets are given twice what they ask for, and so the limit."""
USUAL_BYTES = 212_992
"""A buffer's limit where nobody has changed it."""
RATE = re.compile(r"\{ms at ([1-9][0-9,]*)/s\}")
OK, DIFFERS, ABSENT_HERE, UNREADABLE = "ok", "differs", "not on this machine", "unreadable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One wish at one place. `found`: the value, or why it cannot be read; `goal`: what would be right; `remedy`: how to change
    what `fastmix tune apply` does not."""

    wish: HostWish
    place: str
    state: str
    found: str
    goal: str = ""
    remedy: str = ""

    @property
    def name(self) -> str:
        """Setting and place: `eth0 interface.gro_flush_timeout`."""
        return f"{self.place} {self.wish.setting}".strip()

    @property
    def cost(self) -> str:
        """What the mismatch costs here."""
        return cost_at(self.wish, int(self.found) if self.found.isdigit() else USUAL_BYTES)

    def to_dict(self) -> dict[str, object]:
        """Plain values for `--json`."""
        return {
            "setting": self.wish.setting,
            "place": self.place,
            "state": self.state,
            "wanted": self.wish.wanted,
            "found": self.found,
            "reason": self.wish.reason,
            "cost": self.cost,
            "remedy": self.remedy,
        }


def cost_at(wish: HostWish, size: int = USUAL_BYTES) -> str:
    """What a mismatch costs; for a buffer, one of `size` bytes."""
    packets = 2 * size // QUEUED_BYTES
    text = wish.cost.replace("{bytes}", f"{size:,}").replace("{packets}", f"{packets:,}")
    return RATE.sub(lambda found: f"{1000 * packets / int(found[1].replace(',', '')):.1f} ms at {found[1]}/s", text)


def check(profile: Profile, host: Host) -> list[Finding]:
    """Every wish of the profile at every place. `ConfigError` where it names a setting that nobody knows."""
    named = [(wish, setting_named(wish.setting)) for wish in profile.host]
    return [finding for wish, setting in named for finding in _look(wish, setting, host)]


def _look(wish: HostWish, setting: Setting, host: Host) -> list[Finding]:
    places = setting.places(host)
    if not places:
        return [Finding(wish, "", ABSENT_HERE, "")]
    return [_look_at(wish, setting, host, place) for place in places]


def _look_at(wish: HostWish, setting: Setting, host: Host, place: str) -> Finding:
    try:
        found = setting.read(host, place)
    except OSError as error:
        state = ABSENT_HERE if error.errno in ABSENT else UNREADABLE
        return Finding(wish, place, state, "" if state == ABSENT_HERE else error.strerror or str(error))
    if setting.fits(host, wish, found):
        return Finding(wish, place, OK, found)
    return Finding(wish, place, DIFFERS, found, setting.goal(host, place, wish), setting.remedy(host, place))
