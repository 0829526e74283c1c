"""What commands print: data on stdout, complaints on stderr."""

import json
import sys
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


def print_table(rows: Iterable[Sequence[object]]) -> None:
    """Rows of equal length with aligned columns, two spaces apart."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
