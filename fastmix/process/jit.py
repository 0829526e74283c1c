"""Fills Numba's cache once for all nodes of a machine."""

import fcntl
import tempfile
from pathlib import Path

from fastmix.dataplane import warming

LOCK = "fastmix-jit.lock"


def warm_jit() -> None:
    """Loads the mixer's compiled kernels, or compiles them into the cache. One process at a time: the others wait and then
    only load."""
    try:
        file = (Path(tempfile.gettempdir()) / LOCK).open("a")
    except PermissionError:  # another user's lock guards another cache
        warming.warm()
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        warming.warm()
