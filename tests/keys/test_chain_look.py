"""A look at a chain of mix keys, as `fastmix run --check` takes one: whether the node runs or not, nothing changes."""

import os
from pathlib import Path

import pytest

from fastmix.keys.chainfile import ChainFile, places_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mix-keys.chain"


def test_a_look_takes_and_changes_nothing(path: Path) -> None:
    file = ChainFile.create(path, 7)
    for _ in range(3):
        before = path.read_bytes(), places_path(path).read_bytes()
        ChainFile.look(path)
        assert (path.read_bytes(), places_path(path).read_bytes()) == before
        file.take(memoryview(bytearray(32)))


def test_a_look_at_a_chain_that_goes_on_meanwhile(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state that was read first has lost its key when it is opened: the next one is read."""
    file = ChainFile.create(path, 7)
    read, advances = os.preadv, iter([True, False])

    def preadv(fd: int, into: list[memoryview], at: int) -> int:
        if next(advances, False):
            file.take(memoryview(bytearray(32)))
        return read(fd, into, at)

    monkeypatch.setattr(os, "preadv", preadv)
    ChainFile.look(path)
    assert (file.slot, next(advances, None)) == (8, None)
