"""Numba's `njit`, with a cache that can be written. Road: before **here** is imported nothing is compiled.

Numba keeps compiled kernels beside the source or in the user's cache directory. A service user has neither: the installation is
root's, the home directory does not exist. Then a private directory among the temporary files takes the place.
"""

import os
import stat
import tempfile
from pathlib import Path


def writable(directory: Path) -> bool:
    """True if files can be made in `directory`, or in the nearest ancestor that exists."""
    while not directory.exists():
        directory = directory.parent
    return os.access(directory, os.W_OK | os.X_OK)


def private_cache() -> str:
    """A directory of this user alone; cached code is executed, so nobody else may write there."""
    place = Path(tempfile.gettempdir()) / f"fastmix-jit-{os.getuid()}"
    try:
        place.mkdir(mode=0o700)
    except FileExistsError:
        found = place.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            return tempfile.mkdtemp(prefix="fastmix-jit-")
    return str(place)


def choose_cache() -> None:
    """Names a cache directory in the environment where Numba would find none."""
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    if not os.environ.get("NUMBA_CACHE_DIR") and not writable(Path(__file__).parent / "__pycache__") and not writable(user_cache):
        os.environ["NUMBA_CACHE_DIR"] = private_cache()


choose_cache()
from numba import njit as njit  # noqa: E402 - reads the environment when it is imported
