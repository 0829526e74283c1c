"""A pair that is copied back under its name is told from the one that was there, also where inode numbers are given again."""

import gc
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastmix.errors import CryptoError
from fastmix.files.birth import birth
from fastmix.files.temporary import FleetingDirectory
from fastmix.seam.pair import Pair, PairName, create_pair, known_secret, open_pair

NAME = PairName(b"i" * 16, 5, b"p" * 32, b"c" * 16)
REALTIME_COARSE = 5
"""CLOCK_REALTIME_COARSE, which Python's `time` does not name."""


@pytest.fixture(params=["memory", "here"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """In a tmpfs, and wherever tests have their files."""
    if request.param == "here":
        yield tmp_path
        return
    with FleetingDirectory("fastmix-test-", 1 << 20) as directory:
        yield directory


def made(place: Path) -> Pair:
    return create_pair(place, NAME, 1024, known_secret(b"s" * 32))


def past_this_tick() -> None:
    """Until a file that is made now is younger than those before: the kernel's own clock for that is a coarse one."""
    began = time.clock_gettime_ns(REALTIME_COARSE)
    while time.clock_gettime_ns(REALTIME_COARSE) <= began:
        time.sleep(0.001)


def test_a_copy_in_its_place(place: Path) -> None:
    pair = made(place)
    path, saved = pair.path, place / "saved"
    assert path is not None
    shutil.copy2(path, saved)
    pair.lines[0, 0] = 77
    del pair
    gc.collect()
    assert open_pair(path).lines[0, 0] == 77
    gc.collect()
    path.unlink()
    past_this_tick()
    shutil.copy2(saved, path)
    with pytest.raises(CryptoError, match="is a copy of a pair"):
        open_pair(path)


def test_the_same_file_under_another_name(place: Path) -> None:
    """As a start does that gives a whole pair its name."""
    path = made(place).path
    assert path is not None
    assert open_pair(path.rename(place / "pair-other")).slot == 5


def test_birth_stays_and_differs(place: Path) -> None:
    born = []
    for _ in range(3):
        past_this_tick()
        fd = os.open(place / "file", os.O_CREAT | os.O_RDWR, 0o600)
        first = birth(fd)
        os.utime(fd, ns=(1, 1))
        os.write(fd, b"more")
        assert birth(fd) == first
        os.close(fd)
        (place / "file").unlink()
        born.append(first)
    assert len(set(born)) == 3
