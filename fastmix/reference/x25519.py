"""X25519 in plain Python: RFC 7748 section 5, on Python's integers."""

P = 2**255 - 19
"""The field's prime."""
A24 = 121665
BASE_POINT = (9).to_bytes(32, "little")


def clamp(scalar: bytes) -> int:
    """The 32 bytes as a scalar: a multiple of 8 between 2^254 and 2^255 (RFC 7748 section 5, decodeScalar25519)."""
    number = int.from_bytes(scalar, "little")
    return number & ~7 & (2**255 - 1) | 2**254


def is_canonical(point: bytes) -> bool:
    """True if the 32 bytes are the one encoding of their field element: below p, bit 255 clear."""
    return int.from_bytes(point, "little") < P


def ladder(k: int, u: int) -> int:
    """The u-coordinate of k times the point with coordinate u: the Montgomery ladder of RFC 7748 section 5."""
    x_1, x_2, z_2, x_3, z_3 = u, 1, 0, u, 1
    swap = 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x_2, z_2, x_3, z_3 = x_3, z_3, x_2, z_2
        swap = bit
        a, b, c, d = x_2 + z_2, x_2 - z_2, x_3 + z_3, x_3 - z_3
        aa, bb, da, cb = a * a % P, b * b % P, d * a % P, c * b % P
        e = aa - bb
        x_3, z_3 = (da + cb) ** 2 % P, x_1 * (da - cb) ** 2 % P
        x_2, z_2 = aa * bb % P, e * (aa + A24 * e) % P
    if swap:
        x_2, z_2 = x_3, z_3
    return x_2 * pow(z_2, P - 2, P) % P


def x25519(scalar: bytes, point: bytes = BASE_POINT) -> bytes:
    """clamp(scalar) x point, 32 bytes each. Bit 255 of the point is ignored; an all-zero result is returned, not judged."""
    if len(scalar) != 32 or len(point) != 32:
        raise ValueError(f"X25519 takes a scalar and a point of 32 bytes, not {len(scalar)} and {len(point)}")
    u = int.from_bytes(point, "little") & (2**255 - 1)
    return ladder(clamp(scalar), u % P).to_bytes(32, "little")
