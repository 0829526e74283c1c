"""The twin's subgroup check, held to multiplication by the subgroup's order in Edwards coordinates."""

import random

import edwards
import pytest

from fastmix.reference import subgroup
from fastmix.reference.x25519 import P, x25519

ORDER_8 = (
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)


def check_one(k: int) -> None:
    """k times the base point is in; the seven siblings of it are out."""
    point = edwards.times(k, edwards.base())
    assert subgroup.in_subgroup(edwards.u_of(point))
    siblings = edwards.siblings(point)
    assert len({edwards.u_of(point), *siblings}) == 8
    assert [subgroup.in_subgroup(sibling) for sibling in siblings] == [False] * 7


def test_multiples_of_the_base_point_and_their_siblings():
    draw = random.Random(1)
    for k in (1, 2, 3, 4, 8, edwards.L - 1, *(draw.randrange(1, edwards.L) for _ in range(20))):
        check_one(k)


@pytest.mark.long
def test_thousands_of_multiples():
    draw = random.Random(2)
    for _ in range(2000):
        check_one(draw.randrange(1, edwards.L))


def test_public_keys_are_in():
    draw = random.Random(3)
    assert all(subgroup.in_subgroup(x25519(draw.randbytes(32))) for _ in range(50))


def test_every_coordinate_is_judged_as_by_the_order():
    draw = random.Random(4)
    points = [n.to_bytes(32, "little") for n in (*range(60), *range(P - 20, P), *(draw.randrange(P) for _ in range(60)))]
    expected = [edwards.is_of_prime_order(point) for point in points]
    assert [subgroup.in_subgroup(point) for point in points] == expected
    assert any(expected)


def test_low_order_the_twist_and_other_encodings_are_out():
    draw = random.Random(5)
    twist = [u for u in (draw.randrange(P) for _ in range(100)) if edwards.lifted(u) is None]
    assert len(twist) > 30
    for u in (0, 1, P - 1, *ORDER_8, *twist, 9 + P, 9 + 2**255, 2**256 - 1):
        assert not subgroup.in_subgroup(u.to_bytes(32, "little"))


def test_signs_of_the_roots_do_not_matter(monkeypatch):
    roots = subgroup.square_root
    members = [edwards.u_of(edwards.times(k, edwards.base())) for k in range(1, 10)]
    others = [sibling for k in range(1, 4) for sibling in edwards.siblings(edwards.times(k, edwards.base()))]
    monkeypatch.setattr(subgroup, "square_root", lambda x: None if (root := roots(x)) is None else (x % 3 and -root) or root)
    assert all(map(subgroup.in_subgroup, members))
    assert not any(map(subgroup.in_subgroup, others))
