"""Fills Numba's cache once for all nodes of an installation and user."""

import fcntl
import os
import sys
from hashlib import blake2b
from pathlib import Path

import numba

from fastmix.dataplane import warming
from fastmix.errors import ConfigError
from fastmix.files.private import lock, open_private
from fastmix.kernels import deadlines, grouping, shuffle

COMPILED = (deadlines, grouping, shuffle)
COMPILING_S = 120.0
"""So long at most another node's compiling is waited for."""


def warm_jit() -> None:
    """Loads the mixer's compiled kernels, or compiles them into the cache: one process at a time, which then notes of what.
    Nobody waits whose kernels are in the cache, nor for another installation's compiling: that would be seconds on a busy
    machine, more where others have a higher priority than who compiles. Without a directory for a lock all of them compile."""
    try:
        directory = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        directory.mkdir(parents=True, exist_ok=True)
        fd = open_private(directory / lock_name(), os.O_RDWR | os.O_CREAT)
    except (OSError, RuntimeError, ConfigError):
        warming.warm()
        return
    try:
        compiled = is_noted(fd)
        if not compiled:
            lock(fd, COMPILING_S)
            if compiled := is_noted(fd):  # by the one that was waited for
                fcntl.flock(fd, fcntl.LOCK_UN)
        warming.warm()
        if not compiled:
            os.pwrite(fd, sources(), 0)
    finally:
        os.close(fd)


def lock_name() -> str:
    """One of each place that Numba may keep compiled kernels in."""
    places = (__file__, os.environ.get("NUMBA_CACHE_DIR", ""), sys.implementation.cache_tag or "")
    return f"fastmix-jit-{blake2b(repr(places).encode(), digest_size=8).hexdigest()}.lock"


def is_noted(fd: int) -> bool:
    """Whether what is compiled now was compiled before. Where somebody has cleared the cache since, it is compiled again, by as
    many nodes at once as start."""
    return os.pread(fd, len(sources()), 0) == sources()


def sources() -> bytes:
    """What the compiled kernels depend on: 32 bytes."""
    files = [os.stat(str(module.__file__)) for module in COMPILED]
    parts = (numba.__version__, [(file.st_mtime_ns, file.st_size) for file in files])
    return blake2b(repr(parts).encode(), digest_size=32).digest()
