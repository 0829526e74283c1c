"""How often keys change, and how far ahead a node publishes them."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Self

from fastmix.errors import ConfigError
from fastmix.files.durations import duration_ns, format_duration, parse_duration
from fastmix.files.toml import suggestion
from fastmix.keys.slots import SlotTimes

DURATIONS = ("interval", "overlap_period", "slot", "early", "late")
HORIZON_MAX = 1 << 14
"""Publics in a descriptor: 512 KiB of them."""
SHOWN_MAX = 10**18
"""A number beyond this is not repeated to who gave it: Python refuses to write those of more than 4,300 digits."""


@dataclass(frozen=True)
class KeyRotationPolicy:
    """A new descriptor each `interval`; the one before stays good for `overlap_period`; a mix key lives for one `slot`.

    A descriptor lists the keys of `interval` + `overlap_period`, and of `backup_keys` slots more: future keys, should the next
    descriptor be late. An expired private key is never kept. `early` and `late` are the graces before and after a slot.
    `ConfigError` names what cannot hold.
    """

    interval: timedelta = timedelta(hours=24)
    overlap_period: timedelta = timedelta(hours=1)
    backup_keys: int = 3
    slot: timedelta = timedelta(minutes=10)
    early: timedelta = timedelta(seconds=60)
    late: timedelta = timedelta(seconds=120)

    def __post_init__(self) -> None:
        for name in ("interval", "overlap_period", "slot", "early", "late"):
            value = getattr(self, name)
            if not isinstance(value, timedelta):
                raise ConfigError(f"{name} = {value!r} is not a duration: give a timedelta")
            if value < timedelta(0):
                raise ConfigError(f"{name} = -{format_duration(-value)} is negative: a duration is 0 or more")
        n = self.backup_keys
        if isinstance(n, bool) or not isinstance(n, int) or not 0 <= n <= HORIZON_MAX:
            shown = "that" if isinstance(n, int) and abs(n) > SHOWN_MAX else repr(n)
            raise ConfigError(f"backup_keys = {shown} is not a number of keys: give a whole number from 0 to {HORIZON_MAX}")
        self._check_lengths()

    def _check_lengths(self) -> None:
        if not self.slot:
            raise ConfigError("slot = 0s: a slot must be longer than nothing, such as 10min")
        self.times  # noqa: B018  early and late fit the slot, or it says so
        if self.interval < self.slot:
            raise ConfigError(
                f"interval = {format_duration(self.interval)} is shorter than a slot of {format_duration(self.slot)}: a "
                "descriptor lists whole slots, so make the interval longer"
            )
        if self.overlap_period > self.interval:
            raise ConfigError(
                f"overlap_period = {format_duration(self.overlap_period)} is longer than the interval of "
                f"{format_duration(self.interval)}, so that more than two descriptors would be good at once: make it shorter"
            )
        if self.horizon > HORIZON_MAX:
            raise ConfigError(
                f"a descriptor would list {self.horizon} keys, at most {HORIZON_MAX} fit: make slots longer, or interval, "
                "overlap_period or backup_keys smaller"
            )

    @property
    def times(self) -> SlotTimes:
        """The slots and their graces."""
        return SlotTimes(duration_ns(self.slot), duration_ns(self.early), duration_ns(self.late))

    @property
    def life_ns(self) -> int:
        """The longest time that a key is accepted."""
        return self.times.slot_ns + self.times.early_ns + self.times.late_ns

    @property
    def horizon(self) -> int:
        """For how many slots a descriptor lists keys."""
        return -(-(duration_ns(self.interval) + duration_ns(self.overlap_period)) // duration_ns(self.slot)) + self.backup_keys

    def to_dict(self) -> dict[str, object]:
        """Plain values: durations as in a configuration file."""
        return {name: format_duration(getattr(self, name)) for name in DURATIONS} | {"backup_keys": self.backup_keys}

    def changed(self, values: object) -> Self:
        """With other values, named and written as `to_dict` has them. `ConfigError` for names and values that cannot be."""
        known = (*DURATIONS, "backup_keys")
        if not isinstance(values, dict):
            raise ConfigError(f"policy = {values!r} is not a table: give some of {', '.join(known)}")
        new: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise ConfigError(f"policy: {name!r} is not known: {suggestion(str(name), known)}")
            try:
                new[name] = parse_duration(value) if name in DURATIONS and isinstance(value, str) else value
            except ValueError as error:
                raise ConfigError(f"{name} = {value!r} {error}") from None
        return replace(self, **new)

    def check(self, hops: int, mean_delay_ns: int, max_latency_ns: int) -> None:
        """`ConfigError` where `late` is too short for packets of `hops` hops that are mixed as slowly as they may be."""
        self.times.check(hops, mean_delay_ns, max_latency_ns)
