"""What bounds every strategy: batch sizes, latency, the floor."""

import re
from dataclasses import dataclass
from datetime import timedelta

from fastmix.errors import ConfigError

_UNITS_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000}


def duration_ns(value: timedelta | str | int | float, name: str) -> int:
    """A duration in ns: a `timedelta`, text such as "250ms", or seconds. `ConfigError` names `name` if it is none, or not
    positive.
    """
    found: float | None = None
    if isinstance(value, timedelta):
        found = value / timedelta(microseconds=1) * 1_000
    elif isinstance(value, str):
        parts = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ns|us|ms|s|m)\s*", value)
        found = float(parts[1]) * _UNITS_NS[parts[2]] if parts else None
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        found = value * 1e9
    if found is None or not 1 <= found < 1 << 62:
        raise ConfigError(f'{name} is {value!r}: use a positive duration such as "250ms"')
    return round(found)


@dataclass(frozen=True, slots=True)
class MixingLimits:
    """What the framework holds every strategy to. `ConfigError` names the field that is wrong.

    `min_batch_size`: a flush waits for so many packets, until `max_latency_ns` is reached. `max_batch_size`: so many leave in
    one batch and class at most; a larger flush goes out as several batches. `max_latency_ns`: no packet is kept longer after
    its arrival (for strategies that keep the packet's own deadline: after that). `floor`: so many packets stay behind whenever
    one leaves. `upstreams`: links that packets come from; one of them counts for at most max(1/8, 2/upstreams) of the floor.
    `tick_ns`: time between two questions to the strategy, at least.
    """

    min_batch_size: int = 10
    max_batch_size: int = 100
    max_latency_ns: int = 500_000_000
    floor: int = 10
    upstreams: int = 1
    tick_ns: int = 1_000_000

    def __post_init__(self) -> None:
        """Checks each field."""
        least = {"min_batch_size": 1, "max_batch_size": 1, "max_latency_ns": 0, "floor": 0, "upstreams": 0, "tick_ns": 1}
        for name, smallest in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not smallest <= value < 1 << 62:
                raise ConfigError(f"mixing limit {name} is {value!r}: use a whole number from {smallest} on")
        if self.min_batch_size > self.max_batch_size:
            raise ConfigError(
                f"min_batch_size {self.min_batch_size} is larger than max_batch_size {self.max_batch_size}: "
                "lower one or raise the other"
            )

    @property
    def link_cap(self) -> int:
        """How many packets of one ingress link count for the floor: at least one, so that enough links can always fill it."""
        share = 2 * self.floor // self.upstreams if self.upstreams > 2 else self.floor
        return max(share, self.floor // 8, 1)
