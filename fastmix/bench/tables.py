"""Tables in a terminal."""

import sys
from collections.abc import Iterable, Sequence

WIDTH_LEAST = 118
"""Columns of output that is not a terminal."""


def print_rows(head: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """One table; the first column to the left, figures to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for at, name in enumerate(head):
        table.add_column(name, justify="right" if at else "left")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    (Console() if sys.stdout.isatty() else Console(width=WIDTH_LEAST)).print(table)
