"""Whether a u-coordinate is of a point in the prime-order subgroup of Curve25519, in plain Python.

The curve y^2 = u (u^2 + A u + 1) has Z/8 x Z/L points, so P is in the subgroup of order L exactly if it is eight times a point:
if it can be halved three times (Pornin, "Point-Halving and Subgroup Membership in Twisted Edwards Curves", 2022). The first
halving is half of one here: back along an isogeny of degree 2, to v^2 = X (X - A - 2) (X - A + 2).

- s = sqrt(u) and r = sqrt(u^2 + A u + 1) exist exactly if P is on the curve (with y = s r; a point of the twist lacks just one
  of them) and twice a point. Then X = A + 2 (u + r), v = 2 s X is a point over P.
- P is eight times a point exactly if the reduced Tate pairing of order 4 of (X, v) and T is 1, where T, of order 4, has
  X_T = c (c - 2), c^2 = A + 2, and c is the root for which X_T is no square: then f((0, 0)) = -X_T^2 is a fourth power, so the
  other point over P, that of -r, has the same pairing (Koshelev, "Subgroup membership testing on elliptic curves via the Tate
  pairing", 2022). It is a test for a fourth power, f = (v - (c - 2)(X - A - 2))^2 / (X - A - 2): the tangent in T, squared, over
  the vertical through 2 T. By the equation above f is 2 (u + r - 1) ((u + r + 1 - (c - 2) s) s)^2 times a fourth power.

Nothing changes with the signs of s, r and y. Three powers, whose exponents (p + 3)/8 and (p - 1)/4 have one addition chain. No
criterion of powers needs fewer: each adds two bits at most, of which the first two have but one to give.
"""

from fastmix.reference.x25519 import P

A = 486662
SQRT_MINUS_1 = pow(2, (P - 1) // 4, P)


def square_root(x: int) -> int | None:
    """A square root modulo p, or None where x has none: x^((p+3)/8), or that times sqrt(-1), since p is 5 modulo 8."""
    root = pow(x, (P + 3) // 8, P)
    for candidate in (root, root * SQRT_MINUS_1 % P):
        if (candidate * candidate - x) % P == 0:
            return candidate
    return None


def _slope() -> int:
    """c - 2 for the right one of both roots c."""
    c = square_root(A + 2) or 0
    return next((root - 2) % P for root in (c, P - c) if not square_root(root * (root - 2)))


SLOPE = _slope()
"""Of the tangent in T."""


def in_subgroup(point: bytes) -> bool:
    """True if the 32 bytes are the canonical encoding of the u-coordinate of a point of order L."""
    u = int.from_bytes(point, "little")
    if u >= P:
        return False
    s, r = square_root(u), square_root(u * u + A * u + 1)
    if s is None or r is None:
        return False
    pairing = 2 * (u + r - 1) * ((u + r + 1 - SLOPE * s) * s) ** 2
    return pow(pairing, (P - 1) // 4, P) == 1
