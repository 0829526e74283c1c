"""How full the replay sets of a state directory are: counted in a part of their lines, from whatever process of the node's user.

A tag's line is chosen by a keyed hash, so any part of the lines is as full as all of them.
"""

import os
from pathlib import Path

import numpy as np

from fastmix.errors import FastmixError
from fastmix.files.private import open_private
from fastmix.seam.layout import FIXED_SLOT
from fastmix.seam.pair import HEADER, HEADER_SIZE, LINE, LINES_AT, LOAD, MAGIC, pair_files
from fastmix.status import ReplaySetStatus

COUNTED = 1 << 22
"""Bytes of lines that are counted, at most: a million places, in a millisecond or two."""
FINGERPRINTS = 2**32 - 1


def replay_fills(state_dir: Path) -> list[ReplaySetStatus]:
    """Of all keys that are not over, oldest first; empty where the directory is not there, or another user's."""
    found = []
    for path in pair_files(state_dir) if state_dir.is_dir() else ():
        try:
            fill = _fill_of(path)
        except (FastmixError, OSError):  # gone meanwhile
            continue
        found += [fill] if fill is not None else []
    return sorted(found, key=lambda fill: fill.slot or 0)


def _fill_of(path: Path) -> ReplaySetStatus | None:
    """None where the pair is wiped or not whole yet."""
    fd = open_private(path, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        if size <= LINES_AT:
            return None
        header = np.frombuffer(os.pread(fd, HEADER_SIZE, 0), HEADER, 1)
        lines = os.pread(fd, min(COUNTED, size - LINES_AT), LINES_AT)
    finally:
        os.close(fd)
    if bytes(header["magic"][0]) != MAGIC:
        return None
    places = np.frombuffer(lines, "<u4")
    n_lines, share = int(header["line_count"][0]), float(np.count_nonzero(places)) / len(places)
    slot = int(header["slot"][0])
    return ReplaySetStatus(
        slot=None if slot == FIXED_SLOT else slot, tags=round(share * n_lines * LINE),
        capacity=max(int((n_lines - 1) * LINE * LOAD), 1), size=size, false_positive_rate=share * LINE / FINGERPRINTS,
    )  # fmt: skip
