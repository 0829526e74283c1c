"""A temporary directory for secrets of throwaway networks: this user's alone, in memory, gone however its maker ends."""

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from fastmix.errors import ResourceExhausted

SHARED_MEMORY = Path("/dev/shm")
"""A tmpfs on nearly every Linux: keys and replay sets never reach a disk there."""
CLEANER = """trap '' INT TERM HUP; read -r word; rm -rf -- "$1"; [ "$word" ] || { sleep 3; rm -rf -- "$1"; }"""
"""Waits until the maker says a word or is gone, by whatever end; then removes the directory."""
CLEANER_WAIT_S = 5


class FleetingDirectory:
    """Made by `with`, which gives its path; gone at the end or with this process, even if that is killed."""

    def __init__(self, prefix: str, size: int) -> None:
        """With room for `size` bytes; `ResourceExhausted` at `with` where no place has it."""
        self._prefix, self._size = prefix, size

    def __enter__(self) -> Path:
        self.path = make_directory(self._prefix, self._size)
        try:
            self._cleaner = subprocess.Popen(
                ["/bin/sh", "-c", CLEANER, "sh", str(self.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise
        return self.path

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Removes everything."""
        shutil.rmtree(self.path, ignore_errors=True)
        assert self._cleaner.stdin is not None
        self._cleaner.stdin.write(b"done\n")
        self._cleaner.stdin.close()
        try:
            self._cleaner.wait(CLEANER_WAIT_S)
        except subprocess.TimeoutExpired:
            self._cleaner.send_signal(signal.SIGKILL)
            self._cleaner.wait()


def make_directory(prefix: str, size: int) -> Path:
    """A new directory of this user alone with room for `size` bytes, in memory where there is that much.

    `ResourceExhausted` if there is none.
    """
    problem = f"{size >> 20} MB are not free"
    for place in (SHARED_MEMORY, Path(tempfile.gettempdir())):
        try:
            if shutil.disk_usage(place).free >= size:
                return Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        except OSError as error:
            problem = error.strerror or str(error)
    raise ResourceExhausted(f"no temporary directory can be made ({problem}): set TMPDIR to a directory with room")
