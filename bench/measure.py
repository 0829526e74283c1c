"""How the benchmarks measure: a batch of fastmix against the same work one packet at a time, in turns, in the same process.

Both sides take the quietest of their rounds, in seconds of this process's CPU time, so that other work on the machine matters
little. Rates are packets per core-second; the ratio is what can be compared between machines.
"""

from collections.abc import Callable
from time import process_time

BATCH = 256
"""Packets in a batch, on both sides."""
ROUNDS = 7
LINES: list[str] = []
"""What is printed at the end of a run."""
Compare = Callable[[Callable[[], object], Callable[[], object]], None]
"""`compare(batched, single)`: times two functions that each handle BATCH packets."""


def seconds(work: Callable[[], object]) -> float:
    """CPU time of one call."""
    began = process_time()
    work()
    return process_time() - began


def quietest(batched: Callable[[], object], single: Callable[[], object]) -> tuple[float, float]:
    """Seconds of each in its quietest round, run in turns."""
    rounds = [(seconds(batched), seconds(single)) for _ in range(ROUNDS)]
    return min(ours for ours, _ in rounds), min(theirs for _, theirs in rounds)
