"""What commands print: data on stdout, complaints on stderr."""

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence


def version() -> str:
    """The installed version of fastmix."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed_version

    try:
        return f"fastmix {installed_version('fastmix')}"
    except PackageNotFoundError:
        return "fastmix (run from its source, not installed)"


def complain(message: object, code: int) -> int:
    """Prints one message on stderr; returns the exit code."""
    print(f"fastmix: {message}", file=sys.stderr)
    return code


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, indent=2))


LAST_COLUMN_LEAST = 30


def print_table(rows: Iterable[Sequence[object]], *, wrap: bool = False) -> None:
    """Rows of equal length with aligned columns, two spaces apart. `wrap`: on a terminal the last column is broken to fit."""
    texts = [[str(cell) for cell in row] for row in rows]
    if wrap and sys.stdout.isatty():
        texts = wrapped(texts, shutil.get_terminal_size().columns)
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def wrapped(texts: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """The rows with the last column in as many lines as that width, in characters, asks for."""
    before = sum(max(map(len, column)) + 2 for column in list(zip(*texts, strict=True))[:-1])
    room = max(width - before, LAST_COLUMN_LEAST)
    rows = []
    for *cells, last in texts:
        for at, line in enumerate(textwrap.wrap(last, room) or [""]):
            rows.append([*(cells if at == 0 else [""] * len(cells)), line])
    return rows
