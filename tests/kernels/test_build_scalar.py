"""The builder's integers modulo the group order, and that a product of scalars multiplies as X25519 after X25519 does."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fastmix.kernels import _build
from fastmix.reference.x25519 import BASE_POINT, x25519

ORDER = 2**252 + 27742317777372353535851937790883648493
SMALL = 2**126
scalars = st.one_of(st.integers(1, ORDER - 1), st.integers(ORDER - SMALL, ORDER - 1), st.integers(1, SMALL), st.just(2**252))
clamped = st.one_of(st.integers(2**251, 2**252 - 1), st.just(2**251), st.just(2**252 - 1)).map(lambda eighth: 8 * eighth)


def encode(number: int) -> bytes:
    return number.to_bytes(32, "little")


@settings(max_examples=400, deadline=None)
@given(scalars, clamped)
def test_product(a: int, b: int) -> None:
    assert int.from_bytes(_build.scalar_multiply(encode(a), encode(b)), "little") == a * b % ORDER


@settings(max_examples=400, deadline=None)
@given(st.integers(SMALL, ORDER - SMALL))
def test_clamped_form(a: int) -> None:
    got = int.from_bytes(_build.scalar_clamped(encode(a)), "little")
    assert got % 8 == 0
    assert got >> 254 == 1
    assert got % (8 * ORDER) in (8 * a, 8 * (ORDER - a))


@settings(max_examples=15, deadline=None)
@given(clamped, clamped, st.booleans())
def test_product_is_x25519_twice(first: int, second: int, with_small_order_part: bool) -> None:
    point = encode(6) if with_small_order_part else BASE_POINT  # u = 6 has order 8 l
    product = _build.scalar_clamped(_build.scalar_multiply(encode(first // 8), encode(second)))
    assert x25519(product, point) == x25519(encode(second), x25519(encode(first), point))
