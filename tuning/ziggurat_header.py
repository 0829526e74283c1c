"""Writes ext/ziggurat_exp.h from the tables of fastmix.reference.delay. Run from the project: python tuning/ziggurat_header.py"""

from pathlib import Path

from fastmix.reference.delay import TAIL_AT, ZIGGURAT_F, ZIGGURAT_X

HEADER = Path(__file__).parent.parent / "ext" / "ziggurat_exp.h"
OPENING = """\
/* The ziggurat of Exp(1), 256 layers: right edges, widest first, and exp(-x) there. Equal to the tables of rand_distr 0.4.3.
 * Written by tuning/ziggurat_header.py from fastmix/reference/delay.py; a test compares the two. */
#ifndef FM_ZIGGURAT_EXP_H
#define FM_ZIGGURAT_EXP_H

"""


def table(name: str, values: list[float]) -> str:
    """One C array of hexadecimal floats, four a line."""
    numbers = [value.hex() for value in values]
    lines = [", ".join(numbers[at : at + 4]) for at in range(0, len(numbers), 4)]
    return f"static const double {name}[{len(values)}] = {{\n    " + ",\n    ".join(lines) + "};\n"


def header() -> str:
    """The text of the header."""
    tail = f"#define FM_ZIG_TAIL_AT {TAIL_AT.hex()} /* right edge of the lowest layer; beyond it is the tail */\n\n"
    return OPENING + tail + table("fm_zig_x", ZIGGURAT_X) + "\n" + table("fm_zig_f", ZIGGURAT_F) + "\n#endif\n"


if __name__ == "__main__":
    HEADER.write_text(header())
