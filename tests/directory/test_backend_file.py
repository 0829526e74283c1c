"""The backend that is a directory of files."""

import asyncio
import os
from pathlib import Path

import pytest

from fastmix.directory.backends import NUMBER_MAX, SIZE_MAX, epoch_key
from fastmix.directory.backends.file import FileBackend
from fastmix.errors import NetworkFailure


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "made" / "when needed"


async def test_what_is_published_is_fetched(place: Path) -> None:
    one, other = FileBackend(place), FileBackend(place)
    assert await other.fetch("record") == {}
    await one.publish("record", "ab", b"1")
    await one.publish("record", "aa", b"2")
    await one.publish("document", epoch_key(1), b"d")
    await one.publish("record", "ab", b"3")
    assert list((await other.fetch("record")).items()) == [("aa", b"2"), ("ab", b"3")]
    assert await other.fetch("document") == {epoch_key(1): b"d"}
    assert await other.fetch("bootstrap") == {}


async def test_the_last_documents_are_kept(place: Path) -> None:
    backend, most = FileBackend(place), NUMBER_MAX["document"]
    for epoch in range(1, most + 4):
        (place / "document").mkdir(parents=True, exist_ok=True)
        (place / "document" / epoch_key(epoch)).write_bytes(b"by hand")
    assert next(iter(await backend.fetch("document"))) == epoch_key(4)
    await backend.publish("document", epoch_key(most + 4), b"last")
    assert sorted(os.listdir(place / "document")) == [epoch_key(epoch) for epoch in range(5, most + 5)]


async def test_what_is_no_file_of_its_own_is_left_out(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    backend = FileBackend(place)
    await backend.publish("record", "good", bytes(SIZE_MAX["record"]))
    folder = place / "record"
    (folder / "large").write_bytes(bytes(SIZE_MAX["record"] + 1))
    (folder / "folder").mkdir()
    (folder / "link").symlink_to(folder / "good")
    os.mkfifo(folder / "pipe")
    (folder / ".good.1.new").write_bytes(b"half")
    (folder / "README.txt").write_bytes(b"no key")
    assert list(await backend.fetch("record")) == ["good"]
    assert len(caplog.records) == 4


@pytest.mark.parametrize(("key", "size"), [("", 0), ("../a", 0), ("A", 0), ("-a", 0), ("a" * 81, 0), ("a.b", 0), ("a", 513)])
async def test_what_no_backend_carries(place: Path, key: str, size: int) -> None:
    with pytest.raises(ValueError, match=r"is not 1 to 80|are carried"):
        await FileBackend(place).publish("bootstrap", key, bytes(size))
    assert not place.exists()


async def test_a_place_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    backend = FileBackend(tmp_path / "file")
    with pytest.raises(NetworkFailure, match="file: Not a directory: look whether"):
        await backend.publish("record", "a", b"")
    with pytest.raises(NetworkFailure, match="Not a directory"):
        await backend.fetch("record")


async def test_changes_are_seen(place: Path) -> None:
    backend = FileBackend(place, look_s=0.01)
    changes = backend.watch()
    await asyncio.wait_for(anext(changes), 10)
    for act in (
        lambda: (place / "record").mkdir(parents=True),
        lambda: (place / "record" / "a").write_bytes(b"1"),
        lambda: os.utime(place / "record" / "a", ns=(1, 1)),
        lambda: (place / "record" / "a").write_bytes(b"12"),
        lambda: (place / "record" / "a").unlink(),
        lambda: (place / "record").rmdir(),
    ):
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        act()
        await asyncio.wait_for(waiting, 10)
    waiting = asyncio.ensure_future(anext(changes, "over"))
    await asyncio.sleep(0)
    await backend.close()
    assert await asyncio.wait_for(waiting, 10) == "over"
