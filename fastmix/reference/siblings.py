"""Other bytes for one `kx_public`: all with which X25519 gives the same secret, in plain Python.

X25519's scalars are multiples of 8 and it ignores bit 255 (RFC 7748 section 5), so P plus a point of order 1, 2, 4 or 8, each
with that bit clear or set, are sixteen encodings of one secret: the packet's own and fifteen *siblings*. Points are (u, v) on
v^2 = u^3 + A u^2 + u, None is the neutral element; the eight of low order are multiples of one of order 8.
"""

from fastmix.reference.subgroup import A, square_root
from fastmix.reference.x25519 import P

Point = tuple[int, int] | None
TOP_BIT = 1 << 255
U_OF_ORDER_8 = 325606250916557431795983626356110631294008115727848805560023387167927233504
"""The u-coordinate of a point of order 8 (RFC 7748's curve; the other one with that order is its inverse modulo p)."""


def lifted(u: int) -> Point:
    """A point with this u-coordinate. `ValueError` where the curve has none: it is the twist's."""
    v = square_root(u * (u * u + A * u + 1) % P)
    if v is None:
        raise ValueError(f"no point of Curve25519 has the u-coordinate {u:#x}")
    return u % P, v


def added(one: Point, other: Point) -> Point:
    """The group law in affine coordinates (Montgomery 1987, section 10.3.1)."""
    if one is None or other is None:
        return other if one is None else one
    (u_1, v_1), (u_2, v_2) = one, other
    if u_1 == u_2 and (v_1 + v_2) % P == 0:
        return None
    if one == other:
        slope = (3 * u_1 * u_1 + 2 * A * u_1 + 1) * pow(2 * v_1, -1, P) % P
    else:
        slope = (v_2 - v_1) * pow(u_2 - u_1, -1, P) % P
    u = (slope * slope - A - u_1 - u_2) % P
    return u, (slope * (u_1 - u) - v_1) % P


def encoded(point: Point, *, top_bit: bool = False) -> bytes:
    """The u-coordinate in 32 bytes; that of the neutral element is 0, as X25519 has it."""
    u = 0 if point is None else point[0]
    return (u | TOP_BIT * top_bit).to_bytes(32, "little")


def _low_order() -> tuple[Point, ...]:
    """The multiples 1 to 7 of a point of order 8."""
    first = lifted(U_OF_ORDER_8)
    points = [first]
    while len(points) < 7:
        points.append(added(points[-1], first))
    return tuple(points)


LOW_ORDER = _low_order()


def siblings_of(kx_public: bytes) -> list[bytes]:
    """The fifteen others: seven canonical ones, then eight with bit 255 set, the last of which is `kx_public` itself with it.

    `ValueError` where `kx_public` is no canonical encoding of a point of the curve.
    """
    u = int.from_bytes(kx_public, "little")
    if u >= P:
        raise ValueError("kx_public is not canonical: its siblings are those of the canonical encoding")
    point = lifted(u)
    shifted = [added(point, low) for low in LOW_ORDER]
    return [encoded(each) for each in shifted] + [encoded(each, top_bit=True) for each in (*shifted, point)]


def low_order_encodings() -> list[bytes]:
    """Every 32 bytes with which X25519 gives zero, whatever the scalar: u of 0, 1 and -1 (the twist's) and of both points of
    order 8; that, plus p where it fits; and all of these with bit 255 set."""
    of_order_8 = {point[0] for point in LOW_ORDER if point is not None} - {0, 1}
    clear = [0, 1, P - 1, *sorted(of_order_8), P, P + 1]
    return [u.to_bytes(32, "little") for u in (*clear, *(u | TOP_BIT for u in clear))]
