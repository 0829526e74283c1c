"""The bar of whatever takes long, on a real terminal."""

import os
import pty
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from fastmix.bench.progress import progress_bar
with progress_bar("drill", wait_s=float(sys.argv[1])) as progress:
    progress(0.0, "starting a node")
"""


@pytest.mark.parametrize(("wait_s", "is_shown"), [(0.0, True), (3600.0, False)])
def test_a_bar_is_there_from_its_time_on(wait_s: float, is_shown: bool) -> None:
    """A drill's from the first word on."""
    terminal, end = pty.openpty()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm", "COLUMNS": "100"}
    subprocess.run([sys.executable, "-c", PROGRAM, str(wait_s)], stderr=end, env=environment, timeout=60, check=True)
    os.write(end, b"END")
    shown = b""
    while b"END" not in shown:
        shown += os.read(terminal, 4096)
    os.close(terminal)
    os.close(end)
    assert (b"drill: starting a node" in shown) == is_shown
