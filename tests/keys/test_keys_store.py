"""The store: what is written comes back, what is damaged is refused by its name, what cannot be written leaves the old file."""

import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from secrets_of_tests import locked

from fastmix.errors import KeyStoreError
from fastmix.keys import store as form
from fastmix.keys.hierarchy import Identity
from fastmix.keys.store import create_store, open_store, read_store, rewrap_store
from fastmix.keys.wrapping import PASSPHRASE_BLOB, Argon2Cost, PassphraseWrapping

CHEAP = Argon2Cost(memory_kib=8, passes=1, lanes=1)
ANOTHER_USER = 54321
HEADER_END = form.HEADER.size + PASSPHRASE_BLOB.size


def under(passphrase: bytes, cost: Argon2Cost = CHEAP) -> PassphraseWrapping:
    return PassphraseWrapping(lambda: locked(passphrase), cost)


@pytest.fixture
def identity() -> Identity:
    return Identity(locked(bytes(range(32))))


@pytest.fixture
def path(tmp_path: Path, identity: Identity) -> Path:
    found = tmp_path / "identity.keys"
    create_store(found, identity, under(b"correct horse"))
    return found


def refusal(path: Path, passphrase: bytes = b"correct horse") -> str:
    with pytest.raises(KeyStoreError) as raised:
        open_store(path, under(passphrase))
    text = str(raised.value)
    assert text.startswith(f"{path}: ")
    assert ":" in text.removeprefix(f"{path}: ")  # a problem, and behind the colon a remedy
    assert passphrase.decode("latin-1") not in text.removeprefix(str(path))
    return text


def summed(data: bytes) -> bytes:
    """The data with its last 32 bytes made the checksum of the others, as somebody would who alters a store on purpose."""
    return data[: -form.SUM_SIZE] + hashlib.blake2b(data[: -form.SUM_SIZE], digest_size=form.SUM_SIZE).digest()


def test_what_is_stored_comes_back(path: Path, identity: Identity) -> None:
    again = open_store(path, under(b"correct horse"))
    assert again.seed.view == identity.seed.view
    assert again.public == identity.public == read_store(path).public
    assert path.stat().st_mode & 0o7777 == 0o600
    assert os.listdir(path.parent) == [path.name]


def test_the_cost_stands_in_the_file(path: Path, identity: Identity) -> None:
    dear = Argon2Cost(memory_kib=64, passes=2, lanes=2)
    rewrap_store(path, identity, under(b"correct horse", dear))
    assert PASSPHRASE_BLOB.unpack(read_store(path).blob)[:3] == (64, 2, 2)
    assert open_store(path, under(b"correct horse")).public == identity.public


def test_two_stores_of_one_identity_share_no_secret_bytes(path: Path, tmp_path: Path, identity: Identity) -> None:
    create_store(tmp_path / "other", identity, under(b"correct horse"))
    one, other = path.read_bytes(), (tmp_path / "other").read_bytes()
    assert one[: form.HEADER.size] == other[: form.HEADER.size]
    assert one[HEADER_END - 48 :] != other[HEADER_END - 48 :]
    assert bytes(identity.seed.view) not in one + other


def test_a_wrong_passphrase(path: Path) -> None:
    assert "wrong passphrase" in refusal(path, b"Tr0ub4dor")


def test_truncated_at_each_length(path: Path) -> None:
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert "truncated" in refusal(path)
    path.write_bytes(whole + b"\0")
    assert "too long" in refusal(path)


def test_each_byte_flipped(path: Path) -> None:
    whole = path.read_bytes()
    words = set()
    for at in range(len(whole)):
        for bit in (1, 0x80):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
            text = refusal(path)
            words |= {word for word in ("no key store", "version", "truncated", "too long", "damaged") if word in text}
            assert any(word in text for word in words)
    assert words >= {"no key store", "version", "truncated", "damaged"}
    path.write_bytes(whole)
    assert open_store(path, under(b"correct horse"))


def test_each_byte_altered_by_somebody_who_repairs_the_checksum(path: Path) -> None:
    whole = path.read_bytes()
    for at in range(len(whole) - form.SUM_SIZE):
        path.write_bytes(summed(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]))
        refusal(path)


def test_a_newer_version(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(summed(whole[:8] + struct.pack("<H", 2) + whole[10:]))
    assert "version 2, and this fastmix reads version 1: install the fastmix that wrote it" in refusal(path)


def test_costs_that_would_stop_the_node_are_refused(path: Path) -> None:
    whole, at = path.read_bytes(), form.HEADER.size
    for cost in ((0xFFFFFFFF, 1, 1), (8, 1000, 1), (8, 1, 0), (0, 1, 1), (8, 0, 1), (8, 1, 2)):
        path.write_bytes(summed(whole[:at] + struct.pack("<III", *cost) + whole[at + 12 :]))
        assert "out of bounds" in refusal(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o700, 0o660])
def test_a_mode_that_lets_others_in(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert f"has mode {mode:04o}" in refusal(path)
    assert f"chmod 600 {path}" in refusal(path)


def test_another_owner(path: Path) -> None:
    if os.geteuid():
        assert "belongs to user 0" in refusal(Path("/etc/passwd"))
    else:
        os.chown(path, ANOTHER_USER, -1)
        assert f"belongs to user {ANOTHER_USER}, but this is user 0" in refusal(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "there is no key store"),
        (lambda path: path.symlink_to("identity.keys"), "symbolic link"),
        (lambda path: path.symlink_to("nowhere"), "symbolic link"),
        (lambda path: path.mkdir(), "not a regular file"),
        (lambda path: os.mkfifo(path, 0o600), "not a regular file"),
        (lambda path: os.close(os.open(path, os.O_CREAT, 0o600)), "truncated"),
        (lambda path: path.write_bytes(bytes(5000)) and path.chmod(0o600), "more than 4096 bytes"),
        (lambda path: path.write_bytes(b"number = 0\n" * 20) and path.chmod(0o600), "no key store"),
    ],
)
def test_what_is_no_store(path: Path, make: Callable[[Path], object], words: str) -> None:
    other = path.with_name("other")
    make(other)
    assert words in refusal(other)


def test_a_store_is_never_overwritten(path: Path, identity: Identity) -> None:
    before = path.read_bytes()
    link = path.with_name("link")
    link.symlink_to("nowhere")
    for taken in (path, link):
        with pytest.raises(KeyStoreError, match="exists already, and a key store is never overwritten"):
            create_store(taken, identity, under(b"correct horse"))
    assert path.read_bytes() == before


def test_a_store_of_another_identity_is_not_replaced(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(KeyStoreError, match="is the store of another identity"):
        rewrap_store(path, Identity.fresh(), under(b"correct horse"))
    assert path.read_bytes() == before


def test_a_new_passphrase_replaces_the_old_one(path: Path, identity: Identity) -> None:
    rewrap_store(path, identity, under(b"newer"))
    assert open_store(path, under(b"newer")).public == identity.public
    assert "wrong passphrase" in refusal(path, b"correct horse")
    assert os.listdir(path.parent) == [path.name]


class Forgetful(PassphraseWrapping):
    """Gives back another key than it was given."""

    def unwrap(self, blob: bytes):  # type: ignore[no-untyped-def]
        return locked(bytes(32))


def test_a_wrapping_that_forgets_leaves_the_old_store(path: Path, identity: Identity) -> None:
    before = path.read_bytes()
    with pytest.raises(KeyStoreError, match="gave back another key"):
        rewrap_store(path, identity, Forgetful(lambda: locked(b"correct horse"), CHEAP))
    assert path.read_bytes() == before


def test_another_kind_of_wrapping_is_named(path: Path, identity: Identity) -> None:
    class Other(PassphraseWrapping):
        name = "other"

    with pytest.raises(KeyStoreError, match="its key is kept by 'passphrase', not by 'other'"):
        open_store(path, Other(lambda: locked(b"correct horse")))


def test_a_directory_that_cannot_be_written(tmp_path: Path, identity: Identity) -> None:
    with pytest.raises(KeyStoreError, match="cannot be written, nothing was left there: No such file"):
        create_store(tmp_path / "missing" / "store", identity, under(b"correct horse"))
