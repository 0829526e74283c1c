"""Curve25519's points the other way round: Edwards coordinates and multiplication by L, shared with no code under test."""

from functools import cache

from fastmix.reference.x25519 import P

L = 2**252 + 27742317777372353535851937790883648493
"""The prime order."""
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]
NEUTRAL: Point = (0, 1)


def added(one: Point, other: Point) -> Point:
    """The complete addition law of -x^2 + y^2 = 1 + D x^2 y^2 (RFC 8032)."""
    (x_1, y_1), (x_2, y_2) = one, other
    k = D * x_1 * x_2 * y_1 * y_2 % P
    return (x_1 * y_2 + x_2 * y_1) * pow(1 + k, -1, P) % P, (y_1 * y_2 + x_1 * x_2) * pow(1 - k, -1, P) % P


def times(k: int, point: Point) -> Point:
    """k times the point."""
    result = NEUTRAL
    for bit in f"{k:b}":
        result = added(result, result)
        if bit == "1":
            result = added(result, point)
    return result


def u_of(point: Point) -> bytes:
    """The u-coordinate's encoding; of the neutral element 0, as X25519 has it."""
    return ((1 + point[1]) * pow(1 - point[1], P - 2, P) % P).to_bytes(32, "little")


def lifted(u: int) -> Point | None:
    """A point with this u-coordinate; None if the twist has it."""
    if u % P == P - 1:
        return None
    y = (u - 1) * pow(u + 1, -1, P) % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * pow(2, (P - 1) // 4, P) % P
    return (x, y) if x * x % P == square else None


@cache
def torsion() -> tuple[Point, ...]:
    """The eight points of order 1, 2, 4 and 8, as multiples of one of them."""
    of_8 = next(T for u in range(2, 100) if (point := lifted(u)) and times(4, T := times(L, point)) != NEUTRAL)
    return tuple(times(k, of_8) for k in range(8))


def siblings_of(kx_public: bytes) -> list[bytes]:
    """The seven other public keys with which X25519, whose scalars are multiples of 8, gives the same."""
    point = lifted(int.from_bytes(kx_public, "little"))
    assert point is not None
    return siblings(point)


def siblings(point: Point) -> list[bytes]:
    """u-coordinates of the point plus each of the seven other points of order 1 to 8."""
    return [u_of(added(point, other)) for other in torsion()[1:]]


def is_of_prime_order(u: bytes) -> bool:
    """By L times the point."""
    point = lifted(int.from_bytes(u, "little"))
    return point is not None and point != NEUTRAL and times(L, point) == NEUTRAL


def base() -> Point:
    """The base point of RFC 7748."""
    point = lifted(9)
    assert point is not None
    return point
