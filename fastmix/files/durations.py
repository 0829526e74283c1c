"""Durations as text: "250ms", "1.5s", "10min", "24h", "30d"."""

import re
from datetime import timedelta

UNITS_US = {"us": 1, "ms": 1_000, "s": 1_000_000, "min": 60_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_TEXT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*(us|ms|s|min|m|h|d)")


def parse_duration(text: str) -> timedelta:
    """The duration that a text names; `ValueError` says how to write one. Resolution 1 us."""
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise ValueError('is not a duration: write a number and a unit (us, ms, s, min, h, d), such as "250ms" or "1h"')
    try:
        return timedelta(microseconds=round(float(found[1]) * UNITS_US[found[2]]))
    except OverflowError:
        raise ValueError('is too long a duration: write at most "999999999d"') from None


def duration_ns(duration: timedelta) -> int:
    """The duration in whole nanoseconds, exact."""
    return duration // timedelta(microseconds=1) * 1000


def format_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads back to the same duration, without a fraction."""
    whole_us = duration // timedelta(microseconds=1)
    units = ("d", "h", "min", "s", "ms", "us")
    unit = next((unit for unit in units if whole_us and whole_us % UNITS_US[unit] == 0), "ms")
    return f"{whole_us // UNITS_US[unit]}{unit}"
