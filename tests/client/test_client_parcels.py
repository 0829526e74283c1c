"""Parcels: whatever is packed comes out, in any order, and nothing that strangers send breaks it or leaves the directory."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastmix.client.parcels import MAGIC, OPEN_MAX, PART_SIZE, UNNAMED, Unpacking, pack, safe_name


@settings(deadline=None)
@given(st.integers(0, 3 * PART_SIZE + 1), st.text(max_size=30), st.integers(0, 2**32))
def test_what_is_packed_comes_out_once_in_any_order(size: int, name: str, seed: int) -> None:
    draw = random.Random(seed)
    data = draw.randbytes(size)
    messages = pack(name, data)
    draw.shuffle(messages)
    unpacking = Unpacking()
    found = [unpacking.take(message) for message in [*messages[:-1], *messages[:-1], messages[-1]]]
    whole = [parcel for parcel in found if parcel is not None]
    assert [parcel.data for parcel in whole] == [data]
    assert whole[0].name == (safe_name(name) if name else "")
    assert not unpacking.refused


@given(st.binary(max_size=300))
def test_rubbish_is_refused(data: bytes) -> None:
    unpacking = Unpacking()
    assert unpacking.take(MAGIC + data) is None or data
    found = unpacking.take(b"x" + data)
    assert found is not None
    assert (found.name, found.data) == ("", b"x" + data)


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_changed_parts_never_come_out_whole(seed: int) -> None:
    draw = random.Random(seed)
    data = draw.randbytes(2 * PART_SIZE + 100)
    messages = [bytearray(message) for message in pack("file", data)]
    broken = draw.randrange(len(messages))
    messages[broken][draw.randrange(len(messages[broken]))] ^= 1 + draw.randrange(255)
    unpacking = Unpacking()
    found = [unpacking.take(bytes(message)) for message in messages]
    assert all(parcel is None or parcel.data != data for parcel in found)
    assert all(parcel is None or parcel.name == "" for parcel in found), "no file that was not sent"


def test_parcels_that_never_end_give_way() -> None:
    unpacking = Unpacking(most=10 * PART_SIZE)
    for at in range(OPEN_MAX + 40):
        assert unpacking.take(pack(f"{at}", bytes(2 * PART_SIZE))[0]) is None
    assert sum(kept.size for kept in unpacking._open.values()) <= 10 * PART_SIZE
    assert unpacking.take(pack("large", bytes(11 * PART_SIZE))[0]) is None
    assert unpacking.refused == 1


@given(st.text(max_size=400))
def test_names_stay_in_their_directory(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert "/" not in safe
    assert not safe.startswith(".")
    assert safe.isprintable()
    assert len(safe.encode()) <= 200


@pytest.mark.parametrize(
    ("name", "safe"),
    [("../../etc/passwd", "passwd"), (".bashrc", "bashrc"), ("a\x1b[2Jb", "a_[2Jb"), ("..", UNNAMED), ("C:\\x\\y.txt", "y.txt")],
)
def test_bad_names(name: str, safe: str) -> None:
    assert safe_name(name) == safe
