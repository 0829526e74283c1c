"""Where threads run: which CPUs, how important, how much memory they were given."""

import logging
import os
from collections.abc import Sequence

from fastmix.errors import ConfigError

log = logging.getLogger(__name__)


def check_cores(cores: Sequence[int]) -> None:
    """`ConfigError` where one of these CPUs is not this process's to use."""
    allowed = os.sched_getaffinity(0)
    wrong = [core for core in cores if core not in allowed]
    if wrong:
        raise ConfigError(f"cores: CPU {wrong[0]} is not one that this process may use: choose from {ranges(sorted(allowed))}")


def ranges(numbers: Sequence[int]) -> str:
    """`0-3, 6` for [0, 1, 2, 3, 6]."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def place_threads(workers: Sequence[int], mixer: int, cores: Sequence[int], priority: int) -> None:
    """Binds each worker's thread to its CPU, where CPUs are named, and sets the niceness of all, unless it is 0; the mixer's too,
    or it would starve beside workers that never rest. A single worker is the mixer. What the system refuses is said once, and the
    threads go on as they are."""
    problem = None
    core_of = dict(zip(workers or [mixer], cores, strict=False))
    for thread_id in {*workers, mixer}:
        try:
            if thread_id in core_of:
                os.sched_setaffinity(thread_id, {core_of[thread_id]})
            if priority:
                os.setpriority(os.PRIO_PROCESS, thread_id, priority)
        except OSError as error:
            problem = error
    if problem:
        remedy = "grant CAP_SYS_NICE, raise the nice limit (ulimit -e), or set priority = 0"
        log.warning("threads stay as they are: cores %s, priority %d: %s: %s", list(cores), priority, problem.strerror, remedy)
