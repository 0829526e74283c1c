"""Descriptors: what was signed is read, anything else is refused by name."""

from pathlib import Path

import pytest

from fastmix.descriptor import Descriptor, read_descriptor, write_descriptor
from fastmix.errors import ConfigError, CryptoError
from fastmix.keys.hierarchy import Identity
from fastmix.keys.slots import SlotTimes

S = 1_000_000_000
ME, OTHER = Identity.fresh(), Identity.fresh()
TIMES = SlotTimes(10 * S, 2 * S, 8 * S)
ONE = Descriptor(3, TIMES, 1000, tuple(bytes([n]) * 32 for n in range(1, 6)), 20_000 * S)
NOW = 10_010 * S


def read(path: Path, identity: Identity = ME, node: int = 3, now_ns: int = NOW) -> Descriptor:
    return read_descriptor(path, node, identity.public, now_ns)


def test_what_was_signed_is_read(tmp_path: Path) -> None:
    write_descriptor(tmp_path / "deep" / "one", ONE, ME)
    found = read(tmp_path / "deep" / "one")
    assert found == ONE
    assert [found.public(slot) for slot in (999, 1000, 1004, 1005)] == [None, bytes([1]) * 32, bytes([5]) * 32, None]


def test_each_byte_counts(tmp_path: Path) -> None:
    path = tmp_path / "one"
    write_descriptor(path, ONE, ME)
    whole = path.read_bytes()
    for at in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(CryptoError, match="has signed"):
            read(path)
        path.write_bytes(whole[:at])
        with pytest.raises(CryptoError, match="has signed"):
            read(path)


def test_whose_it_is_and_until_when(tmp_path: Path) -> None:
    path = tmp_path / "one"
    with pytest.raises(ConfigError, match="is the node running"):
        read(path)
    write_descriptor(path, ONE, ME)
    with pytest.raises(CryptoError, match="identity of node 3 has signed"):
        read(path, OTHER)
    with pytest.raises(CryptoError, match="the descriptor of node 3, not of node 4"):
        read(path, node=4)
    with pytest.raises(CryptoError, match="is over"):
        read(path, now_ns=20_000 * S)
