"""The chain on disk: advanced before use, whole whenever it is cut off, worth nothing to who stole it before."""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastmix.errors import ConfigError, CryptoError, KeyStoreError, ResourceExhausted
from fastmix.keys._chain import Chain, LockedBytes
from fastmix.keys.chainfile import (
    CHAINS_MAX,
    PLACE_STRIDE,
    PLACES_SIZE,
    STATE_SIZE,
    ChainFile,
    FilePlaces,
    chain_path,
    places_path,
)
from fastmix.reference.x25519 import x25519


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mix-keys.chain"


def taken(file: ChainFile) -> bytes:
    into = bytearray(32)
    file.take(memoryview(into))
    return bytes(into)


def reopened(path: Path) -> ChainFile:
    file = ChainFile.open(path)
    assert file is not None
    return file


def keys_at(path: Path) -> list[bytes]:
    data = places_path(path).read_bytes()
    return [data[at : at + 32] for at in (0, PLACE_STRIDE)]


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_where_there_is_none_there_is_none(path: Path) -> None:
    ChainFile.look(path)
    assert ChainFile.open(path) is None
    assert not list(path.parent.iterdir())


def test_a_chain_goes_on_where_it_was(path: Path) -> None:
    file = ChainFile.create(path, 100)
    chain_id, publics = file.id, file.publics(4)
    first, second = taken(file), taken(file)
    file.close()
    file = reopened(path)
    assert (file.id, file.slot) == (chain_id, 102)
    assert (file.publics(2) == publics[2:]).all()
    assert len({first, second, taken(file)}) == 3
    file.skip_to(110)
    file.close()
    assert reopened(path).slot == 110
    modes = {name.name: name.stat().st_mode & 0o777 for name in path.parent.iterdir()}
    assert modes == {path.name: 0o600, places_path(path).name: 0o600}


def test_the_state_is_durable_before_the_secret_is_out(path: Path) -> None:
    file = ChainFile.create(path, 7)
    secret = taken(file)
    copy, keys = path.read_bytes(), places_path(path).read_bytes()
    file.close()
    path.write_bytes(copy)
    places_path(path).write_bytes(keys)
    file = reopened(path)
    assert file.slot == 8
    assert secret not in [taken(file) for _ in range(3)]


def test_a_stolen_state_is_worth_nothing_once_advanced(path: Path) -> None:
    file = ChainFile.create(path, 7)
    for advance in (taken, lambda file: file.skip_to(20), lambda file: file.renew(30), lambda file: file.start_over(9)):
        stolen, keys = path.read_bytes(), keys_at(path)
        advance(file)
        assert not set(keys) & set(keys_at(path)), "both places are overwritten"
        now = path.read_bytes()
        file.close()
        path.write_bytes(stolen)
        with pytest.raises(KeyStoreError, match="older than its wrapping key"):
            ChainFile.open(path)
        path.write_bytes(now)
        file = reopened(path)


def test_keys_are_overwritten_where_they_lie(path: Path) -> None:
    file = ChainFile.create(path, 7)
    before = places_path(path).stat()
    taken(file)
    after = places_path(path).stat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size) == (after.st_ino, PLACES_SIZE)


def test_no_slot_is_given_twice(path: Path) -> None:
    file = ChainFile.create(path, 7)
    file.skip_to(9)
    with pytest.raises(ValueError, match="slot 8: the chain is at 9"):
        file.skip_to(8)
    with pytest.raises(ValueError, match="at 9 already, and no slot gets a second key"):
        file.renew(8)
    with pytest.raises(ValueError, match="into has 31 bytes"):
        file.take(memoryview(bytearray(31)))


class Killed(BaseException):
    """The process ends here."""


class CutOff:
    """Places of a file, and a process that is killed before or after one of its writes."""

    def __init__(self, path: Path, writes: int, done: bool) -> None:
        self.places, self.writes, self.done = FilePlaces(path), writes, done

    def read(self, place: int, into: LockedBytes) -> None:
        self.places.read(place, into)

    def write(self, place: int, key: LockedBytes) -> None:
        self.writes -= 1
        if self.writes == 0 and not self.done:
            raise Killed
        self.places.write(place, key)
        if self.writes == 0:
            raise Killed

    def close(self) -> None:
        self.places.close()


@pytest.mark.parametrize("begun", [1, 2])
@pytest.mark.parametrize(("writes", "done", "slot"), [(1, False, 0), (1, True, 0), (2, False, 1), (2, True, 1)])
def test_killed_at_any_step_there_is_a_state_with_its_key(path: Path, begun: int, writes: int, done: bool, slot: int) -> None:
    file = ChainFile.create(path, 7)
    for _ in range(begun):
        taken(file)
    publics = file.publics(3)
    file.close()
    cut = ChainFile.open(path, CutOff(places_path(path), 1 + writes, done))
    assert cut is not None
    into = bytearray(32)
    with pytest.raises(Killed):
        cut.take(memoryview(into))
    assert bytes(into) == bytes(32), "no secret is out before its state is durable"
    cut.close()
    before = keys_at(path)
    file = reopened(path)
    assert file.slot == 7 + begun + slot
    assert (file.publics(2) == publics[slot : slot + 2]).all()
    assert len(set(before) & set(keys_at(path))) == 1, "what was cut off is finished: only the state's own key is left"


@pytest.mark.parametrize("begun", [0, 1])
@pytest.mark.parametrize("room", [0, 64])
def test_a_full_disk_leaves_the_old_state(path: Path, begun: int, room: int) -> None:
    file = ChainFile.create(path, 7)
    for _ in range(begun):
        taken(file)
    publics, into = file.publics(2), bytearray(32)
    with full_disk(room), pytest.raises(ResourceExhausted, match=r"mix-keys.chain: the chain of mix keys cannot be stored"):
        file.take(memoryview(into))
    assert bytes(into) == bytes(32)
    assert file.slot == 7 + begun
    assert (file.publics(2) == publics).all()
    file.close()
    file = reopened(path)
    assert (file.publics(2) == publics).all()
    taken(file)
    assert (file.publics(1) == publics[1]).all()


def test_an_old_key_that_cannot_be_overwritten_gives_no_secret_yet(path: Path) -> None:
    file = ChainFile.create(path, 7)
    publics, into = file.publics(2), bytearray(32)
    with full_disk(PLACE_STRIDE + 16), pytest.raises(ResourceExhausted):
        file.take(memoryview(into))
    assert bytes(into) == bytes(32)
    assert x25519(taken(file)) == publics[0].tobytes(), "it can be asked for again"
    assert file.slot == 8
    file.close()
    assert reopened(path).slot == 8


def test_a_full_disk_makes_no_chain(path: Path) -> None:
    with full_disk(0), pytest.raises(ResourceExhausted, match="cannot be stored"):
        ChainFile.create(path, 7)
    assert ChainFile.open(path) is None
    assert ChainFile.create(path, 7).slot == 7


def test_a_state_that_cannot_be_replaced_is_named_and_stays(path: Path) -> None:
    file = ChainFile.create(path, 7)
    obstacle = path.with_name(f".{path.name}.{os.getpid()}.new")
    obstacle.mkdir()
    with pytest.raises(ResourceExhausted, match="what was there is still valid"):
        taken(file)
    obstacle.rmdir()
    taken(file)
    assert file.slot == 8


def damaged(path: Path, change: Callable[[bytes], bytes], which: Callable[[Path], Path] = lambda path: path) -> str:
    """What opening, and a look before, say of a chain one of whose files was changed; the file is put back."""
    target = which(path)
    good = target.read_bytes()
    target.write_bytes(change(good))
    try:
        with pytest.raises(KeyStoreError) as seen:
            ChainFile.look(path)
        with pytest.raises(KeyStoreError) as refused:
            ChainFile.open(path)
        assert str(seen.value) == str(refused.value)
    finally:
        target.write_bytes(good)
    return str(refused.value)


def test_each_length_and_each_byte_of_the_state_is_refused_by_name(path: Path) -> None:
    ChainFile.create(path, 7).close()
    for size in [*range(STATE_SIZE), STATE_SIZE + 1, 10 * STATE_SIZE]:
        told = damaged(path, lambda good, size=size: (good * 10)[:size])
        assert told.startswith(f"{path}: has {size if size < STATE_SIZE else 'more'} bytes, not {STATE_SIZE}")
    for at in range(STATE_SIZE):
        told = damaged(path, lambda good, at=at: good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :])
        assert told.startswith(f"{path}: ")
        assert "new chain" in told
    reopened(path).close()


def test_what_is_wrong_is_said(path: Path) -> None:
    ChainFile.create(path, 7).close()
    assert "is not the chain of a node's mix keys" in damaged(path, lambda good: b"x" + good[1:])
    assert "has version 2, this fastmix reads 1" in damaged(path, lambda good: good[:16] + b"\2" + good[17:])
    assert "has version 2, this fastmix reads 1" in damaged(path, lambda good: good[:16] + b"\2" + good[17:] + b"more")
    for size in (0, 31, PLACES_SIZE - 1, PLACES_SIZE + 1):
        told = damaged(path, lambda good, size=size: (good * 2)[:size], places_path)
        assert told.startswith(f"{path}.wrap: has {size} bytes, not {PLACES_SIZE}: it is damaged")
    assert "is damaged, or older" in damaged(path, lambda good: bytes(PLACES_SIZE), places_path)
    assert reopened(path).slot == 7


def test_without_its_wrapping_keys_it_is_refused_and_a_new_one_can_be_made(path: Path) -> None:
    ChainFile.create(path, 7).close()
    places_path(path).unlink()
    with pytest.raises(KeyStoreError, match=r"mix-keys.chain.wrap: is missing"):
        ChainFile.open(path)
    assert not places_path(path).exists()
    ChainFile.create(path, 9).close()
    assert reopened(path).slot == 9


def test_two_processes_never_have_one_chain(path: Path) -> None:
    file = ChainFile.create(path, 7)
    with pytest.raises(ConfigError, match="another process has this chain of keys"):
        ChainFile.open(path)
    with pytest.raises(ConfigError, match="another process has this chain of keys"):
        ChainFile.create(path, 8)
    assert taken(file)
    file.close()
    assert reopened(path).slot == 8


@pytest.mark.parametrize("which", [lambda path: path, places_path])
def test_files_that_others_can_read_are_refused(path: Path, which: Callable[[Path], Path]) -> None:
    ChainFile.create(path, 7).close()
    which(path).chmod(0o640)
    with pytest.raises(KeyStoreError, match="mode 0640, so others can read keys in it: chmod 600"):
        ChainFile.open(path)
    which(path).chmod(0o600)
    target = which(path)
    target.rename(target.with_name("elsewhere"))
    target.symlink_to(target.with_name("elsewhere"))
    with pytest.raises(KeyStoreError, match="is a symbolic link"):
        ChainFile.open(path)


def test_a_chain_that_starts_over_leaves_nothing(path: Path) -> None:
    file = ChainFile.create(path, 7)
    file.renew(20)
    stolen, keys, publics = path.read_bytes(), keys_at(path), file.publics(30)
    file.start_over(5)
    assert not set(keys) & set(keys_at(path))
    assert (file.slot, len(file.starts)) == (5, 1)
    assert not {row.tobytes() for row in publics} & {row.tobytes() for row in file.publics(40)}
    file.close()
    path.write_bytes(stolen)
    with pytest.raises(CryptoError):
        ChainFile.open(path)


def test_a_renewed_chain_follows_in_time(path: Path) -> None:
    """Slots before its first have the keys that they had, also for who opens it; then the old chain is gone."""
    file = ChainFile.create(path, 7)
    old, publics = file.id, file.publics(12)
    file.renew(10)
    file.renew(14)
    file.close()
    file = reopened(path)
    assert [start for start, _ in file.starts] == [7, 10, 14]
    found = file.publics(12)
    assert (found[:3] == publics[:3]).all()
    assert not (found[3:] == publics[3:]).all(axis=1).any()
    for at in range(12):
        file.close()
        file = reopened(path)
        assert (file.slot, len(file.starts)) == (7 + at, 3 - (at >= 3) - (at >= 7))
        assert (file.id == old) == (at < 3)
        assert x25519(taken(file)) == found[at].tobytes()


def test_a_skip_goes_over_chains(path: Path) -> None:
    file = ChainFile.create(path, 7)
    for first in (10, 14, 12):  # what begins later than the newest is replaced
        file.renew(first)
    found = file.publics(12)
    assert [start for start, _ in file.starts] == [7, 10, 12]
    file.skip_to(10)
    assert [start for start, _ in file.starts] == [10, 12]
    file.skip_to(15)
    assert (file.publics(4) == found[8:]).all()
    file.renew(15)
    assert [start for start, _ in file.starts] == [15]
    assert not (file.publics(4) == found[8:]).all(axis=1).any()
    assert path.stat().st_size == STATE_SIZE


def test_a_file_has_room_for_so_many_chains(path: Path) -> None:
    file = ChainFile.create(path, 0)
    for first in range(1, CHAINS_MAX):
        file.renew(10 * first)
    with pytest.raises(ValueError, match="8 chains are waiting already"):
        file.renew(1000)
    file.close()
    for size in (STATE_SIZE, path.stat().st_size - 1):
        assert f"has {size} bytes, not" in damaged(path, lambda good, size=size: good[:size])
    assert "is damaged" in damaged(path, lambda good: good[:20] + b"\xff" + good[21:])
    assert len(reopened(path).starts) == CHAINS_MAX


def test_closing_wipes_the_memory(path: Path) -> None:
    file = ChainFile.create(path, 7)
    file.close()
    with pytest.raises(ValueError, match="has been wiped"):
        file.publics(1)


def test_the_state_shows_no_secret(path: Path) -> None:
    """Not even that of the slot it is at: what is sealed opens with its key only."""
    file = ChainFile.create(path, 7)
    state = path.read_bytes()
    head, sealed = state[:32], state[32:]
    generation = int.from_bytes(head[24:], "little")
    key = keys_at(path)[generation & 1]
    assert Chain.open(sealed, key, generation.to_bytes(12, "little"), head).id == file.id
    with pytest.raises(CryptoError):
        Chain.open(sealed, keys_at(path)[~generation & 1], generation.to_bytes(12, "little"), head)


def test_where_a_chain_lies() -> None:
    keys, memory = Path("keys"), Path("state")
    assert chain_path("disk", keys, memory).parent == keys
    assert chain_path("memory", keys, memory).parent == memory
    with pytest.raises(ConfigError, match="chain = 'paper' is not known"):
        chain_path("paper", keys, memory)
