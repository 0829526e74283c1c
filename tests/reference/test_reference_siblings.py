"""Siblings of a kx_public, held to Edwards coordinates and to X25519."""

import random

import edwards
import pytest

from fastmix.reference.siblings import TOP_BIT, low_order_encodings, siblings_of
from fastmix.reference.x25519 import is_canonical, x25519


def with_top_bit(point: bytes) -> bytes:
    return (int.from_bytes(point, "little") | TOP_BIT).to_bytes(32, "little")


def test_they_are_those_of_edwards_coordinates():
    draw = random.Random(1)
    for _ in range(20):
        public = x25519(draw.randbytes(32))
        own = siblings_of(public)
        assert sorted(own[:7]) == sorted(edwards.siblings_of(public))
        assert own[7:] == [with_top_bit(each) for each in (*own[:7], public)]


def test_fifteen_of_one_secret():
    draw = random.Random(2)
    scalar, public = draw.randbytes(32), x25519(draw.randbytes(32))
    own = siblings_of(public)
    assert len({public, *own}) == 16
    assert {x25519(scalar, each) for each in own} == {x25519(scalar, public)}
    assert [is_canonical(each) for each in own] == [True] * 7 + [False] * 8


def test_only_of_canonical_points_of_the_curve():
    with pytest.raises(ValueError, match="not canonical"):
        siblings_of(with_top_bit(x25519(bytes(range(32)))))
    with pytest.raises(ValueError, match="no point"):
        siblings_of((2).to_bytes(32, "little"))


def test_low_order_is_zero_for_every_scalar():
    draw = random.Random(3)
    found = low_order_encodings()
    assert len(set(found)) == 14
    assert {edwards.u_of(point) for point in edwards.torsion()} <= set(found)
    for point in found:
        assert x25519(draw.randbytes(32), point) == bytes(32)
    assert sum(is_canonical(point) for point in found) == 5
