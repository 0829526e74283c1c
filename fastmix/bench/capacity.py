"""The highest rate that a node keeps up with: first how much it carries when it is given too much, then a binary search."""

from collections.abc import Callable
from dataclasses import dataclass, field

from fastmix.bench.probe import Run, Timing

STEP = 1.05
BELOW, ABOVE = -8, 4
"""Steps of the grid below and above what a flooded node carried."""
FLOOD = 1.6
FLOODS = 4
LOWER = 6
"""So many longer runs, each a step lower than the one before, have the chance to be sustained."""
Offer = Callable[[float, Timing], Run]
"""Offers a rate for some time."""


@dataclass
class Capacity:
    """The run at the highest rate that was sustained, and all others; `sustained` is False where none was."""

    run: Run
    sustained: bool
    tried: list[Run] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Packets a second offered in that run."""
        return self.run.offered_per_s


def find_capacity(offer: Offer, guess: float, timing: Timing) -> Capacity:
    """Searches in steps of 5 %; a rate that is not sustained gets a second try, for the machine may have been busy.

    `guess` (packets a second) only saves time.
    """
    tried: list[Run] = []

    def attempt(rate: float) -> Run:
        for _ in range(2):
            tried.append(offer(rate, timing))
            if tried[-1].sustained:
                break
        return tried[-1]

    carried = flooded(offer, guess, timing, tried)
    best: Run | None = None
    low, high = BELOW, ABOVE
    while low <= high:
        middle = (low + high) // 2
        run = attempt(carried * STEP**middle)
        if run.sustained:
            best, low = run, middle + 1
        else:
            high = middle - 1
    if best is None:
        best = attempt(carried * STEP ** (2 * BELOW))
    return Capacity(best, best.sustained, tried)


def confirmed(offer: Offer, found: Capacity, timing: Timing) -> Capacity:
    """Measured again for longer: a step lower each time that the run is not sustained. Where none is: the lowest,
    which says so."""
    rate = found.rate
    for _ in range(LOWER):
        run = offer(rate, timing)
        found.tried.append(run)
        if run.sustained:
            break
        rate /= STEP
    return Capacity(run, run.sustained, found.tried)


def flooded(offer: Offer, guess: float, timing: Timing, tried: list[Run]) -> float:
    """Messages a second of a node that is given more than it can carry."""
    short = Timing(timing.warm_s, timing.window_s / 2, timing.cool_s)
    rate = guess
    for _ in range(FLOODS):
        rate *= FLOOD
        tried.append(offer(rate, short))
        if not tried[-1].sustained:
            break
    return max(tried[-1].messages_per_s, 100.0)
