"""Fills Numba's cache once for all nodes of a user."""

import os
from pathlib import Path

from fastmix.dataplane import warming
from fastmix.errors import ConfigError
from fastmix.files.private import lock, open_private

LOCK = "fastmix-jit.lock"
COMPILING_S = 120.0
"""So long at most another node's compiling is waited for."""


def warm_jit() -> None:
    """Loads the mixer's compiled kernels, or compiles them into the cache. One process at a time: the others wait and then
    only load. Without a directory for a lock all of them compile."""
    try:
        directory = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        directory.mkdir(parents=True, exist_ok=True)
        fd = open_private(directory / LOCK, os.O_RDWR | os.O_CREAT)
    except (OSError, RuntimeError, ConfigError):
        warming.warm()
        return
    try:
        lock(fd, COMPILING_S)
        warming.warm()
    finally:
        os.close(fd)
