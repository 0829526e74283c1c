"""A progress bar for whatever takes longer than two seconds: on a terminal, never in the way of `--json`."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

WAIT_S = 2.0
"""Shorter work shows no bar."""


class Progress(Protocol):
    """What a measurement tells of itself."""

    def __call__(self, done: float, what: str) -> None:
        """`done` of 1, and what is being measured now."""
        ...


def silent(done: float, what: str) -> None:
    """Nothing."""


@contextmanager
def progress_bar(title: str, wait_s: float = WAIT_S) -> Iterator[Progress]:
    """A bar on standard error from `wait_s` on, if that is a terminal; gone at the end."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    bar = Bar(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
    tasks: list[TaskID] = []
    began = time.monotonic()

    def show(done: float, what: str) -> None:
        if not tasks and time.monotonic() - began < wait_s:
            return
        if not tasks:
            tasks.append(bar.add_task(title, total=1.0))
            bar.start()
        bar.update(tasks[0], completed=min(done, 1.0), description=f"{title}: {what}")
        bar.refresh()  # no thread of its own does: it would take the load's core

    try:
        yield show
    finally:
        bar.stop()
