"""Layers and numbers: nobody chooses, none stays empty, nobody's number becomes another's."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from fastmix.directory.layers import LAYERS, deal, number


def names(n: int, salt: bytes = b"") -> list[bytes]:
    return [hashlib.sha256(salt + bytes([i >> 8, i & 0xFF])).digest() for i in range(n)]


def sizes(layers: dict[bytes, int]) -> list[int]:
    return [list(layers.values()).count(layer) for layer in LAYERS]


@given(st.integers(0, 60), st.binary(min_size=32, max_size=32))
def test_a_first_deal_is_even(n: int, previous: bytes) -> None:
    found = sizes(deal({}, names(n), previous))
    assert sum(found) == n
    assert max(found) - min(found) <= 1


@given(st.integers(3, 40), st.integers(0, 20), st.data())
def test_no_layer_is_empty_or_small_whoever_comes_and_goes(n: int, n_new: int, data: st.DataObject) -> None:
    before = deal({}, names(n), b"\0" * 32)
    stay = set(data.draw(st.lists(st.sampled_from(names(n)), max_size=n)))
    members = stay | set(names(n_new, b"new"))
    after = deal(before, members, b"\1" * 32)
    assert after.keys() == members
    if len(members) >= 3:
        assert min(sizes(after)) >= 1
        assert 2 * min(sizes(after)) >= len(members) / 3
    if all(after[identity] == before[identity] for identity in stay):
        return
    assert after == deal({}, members, b"\1" * 32), "who is moved at all, all are dealt anew"


def test_who_comes_in_moves_nobody() -> None:
    before = deal({}, names(9), b"\0" * 32)
    after = deal(before, [*names(9), b"x" * 32], b"\1" * 32)
    assert {identity: after[identity] for identity in before} == before


def test_the_order_follows_from_the_document_before() -> None:
    """An identity that was chosen for one document before has another place after another."""
    wanted = b"x" * 32
    found = {deal({}, [*names(8), wanted], bytes([i]) * 32)[wanted] for i in range(40)}
    assert found == set(LAYERS)


@given(st.integers(0, 12), st.sets(st.integers(0, 20)), st.data())
def test_numbers_are_kept_and_nobody_elses(n: int, resting: set[int], data: st.DataObject) -> None:
    some = names(n)
    first = number({}, (), {identity: data.draw(st.sampled_from([1, 2])) for identity in some})
    resting -= {each for numbers in first.values() for each in numbers}
    wanted = {identity: data.draw(st.sampled_from([1, 2])) for identity in [*some, *names(3, b"new")]}
    after = number(first, resting, wanted)
    assert {identity: len(numbers) for identity, numbers in after.items()} == wanted
    used = [each for numbers in after.values() for each in numbers]
    assert len(set(used)) == len(used)
    assert not resting & set(used)
    for identity, numbers in first.items():
        assert after[identity][: len(numbers)] == numbers[: wanted[identity]]
