"""Frames and builders under every instruction set: a process has one for them, so each of the others runs in its own process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastmix.kernels import isa

HERE = Path(__file__).parent
LINK = "equals_the_oracle or open_takes or (equal_to_the_twin) or (bad_frame_at_each_position and not 256) or root_ends"
BUILD = "every_size_of_batch or one_row_more or secrets_are_wiped or published or (oracle_follows_every and 3-)"


FILES = [HERE / "test_link_frames.py", HERE / "test_build_packets.py", HERE / "test_build_published.py"]


def run(name: str, *options: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-n0", *map(str, FILES)]
    environment = os.environ | {"FASTMIX_ISA": name}
    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "[100%]" in done.stdout


@pytest.mark.parametrize("name", [name for name in isa.supported() if name != isa.active().name])
def test_frames_and_builders(name):
    run(name, "-k", f"{LINK} or {BUILD}")


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", [name for name in isa.supported() if name != isa.active().name])
def test_thousands_of_built_packets(name):
    run(name, "-m", "long")
