"""What a node under test does at its start, where its environment names a folder for it (tests/support/rotating_node.py).

Python imports this by its name, before anything else. In that folder a file `kill-POINT` makes control kill itself the next time
it passes that point of a rotation, once; the number in a file `clock` is what the wall clock of control is ahead, in ns.
"""

import os
import signal
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ.get("FASTMIX_TEST_INSIDE", "/nonexistent"))


def passed(point: str) -> None:
    """Kills this process if it was told to, here."""
    order = FOLDER / f"kill-{point}"
    if order.exists():
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def set_clock() -> None:
    """`time.time_ns` shows what the file says."""
    real = time.time_ns

    def shown() -> int:
        try:
            return real() + int((FOLDER / "clock").read_text() or 0)
        except FileNotFoundError:
            return real()

    time.time_ns = shown


def arm() -> None:
    """Lets `passed` know of every point of a rotation, also between overwriting a key and removing its file."""
    from fastmix.control import rotation, slot_keys

    made, wipe, publish = rotation.Rotation.__init__, rotation.wipe_file, slot_keys.publish_keys

    def make(self: rotation.Rotation, *given: object) -> None:
        made(self, *given, passed=passed)

    def wipe_half(path: Path) -> None:
        if (FOLDER / "kill-wiping").exists() and path.exists():
            with path.open("r+b") as file:
                file.write(bytes(6000))
                file.flush()
                passed("wiping")
        wipe(path)

    def publish_all(*given: object) -> int:
        number = publish(*given)
        passed("published")
        return number

    rotation.Rotation.__init__, rotation.wipe_file, slot_keys.publish_keys = make, wipe_half, publish_all


if FOLDER.is_dir() and "fastmix.control" in sys.orig_argv:
    set_clock()
    arm()
