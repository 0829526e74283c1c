"""Who runs where: the load on one core, the node on others, and nothing that pauses the load."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fastmix.errors import ConfigError
from fastmix.seam.lifeline import set_timer_slack

PRIORITY = -20
"""Of load and node, where this user may give it."""
ENDINGS = (signal.SIGTERM, signal.SIGHUP)
"""These unwind, too, so that no node and no directory stays."""
AUTOGROUP = Path("/proc/self/autogroup")


@dataclass(frozen=True, slots=True)
class Cores:
    """Where everyone runs: the load on one core, the node on `workers` others, or with it where there are too few."""

    load: int
    all: tuple[int, ...]

    def for_workers(self, workers: int) -> tuple[int, ...]:
        """The node's cores, the last ones first; `ConfigError` where there are fewer cores than workers."""
        if workers > len(self.all):
            raise ConfigError(f"{workers} workers need as many cores: this process may use {len(self.all)}")
        return self.all[-workers:]


@contextmanager
def quiet_process() -> Iterator[Cores]:
    """This process alone on the first core, without pauses of its own; everything is put back at the end.

    `ConfigError` where there are not two cores.
    """
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        raise ConfigError("load and node need a core each: this process may use only one (look at taskset and cpuset)")
    cores = Cores(min(before), tuple(sorted(before)))
    nice, group_nice = os.getpriority(os.PRIO_PROCESS, 0), session_priority()
    raise_priority(PRIORITY, PRIORITY)
    slack_ns = set_timer_slack(1_000)
    os.sched_setaffinity(0, {cores.load})
    gc.disable()
    handlers = [signal.signal(each, lambda number, _frame: sys.exit(128 + number)) for each in ENDINGS]
    try:
        yield cores
    finally:
        for each, handler in zip(ENDINGS, handlers, strict=True):
            signal.signal(each, handler)
        gc.enable()
        set_timer_slack(slack_ns)
        os.sched_setaffinity(0, before)
        raise_priority(nice, group_nice)


def session_priority() -> int:
    """The niceness of this session among sessions, where the kernel shares CPU time by session (sched(7), autogroup); else 0."""
    try:
        return int(AUTOGROUP.read_text().rpartition("nice")[2])
    except (OSError, ValueError):
        return 0


def raise_priority(nice: int, session_nice: int) -> None:
    """Sets this process's niceness, and its session's, as far as this user may."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    with suppress(OSError):
        AUTOGROUP.write_text(str(session_nice))
