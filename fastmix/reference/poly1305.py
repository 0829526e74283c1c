"""Poly1305 in plain Python: RFC 8439 section 2.5."""

P = 2**130 - 5
"""The field's prime."""
R_MASK = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
"""The bits of r that the RFC's clamping keeps."""


def poly1305(key: bytes, message: bytes) -> bytes:
    """The 16-byte tag of `message` under the one-time `key` of 32 bytes: r, then s."""
    if len(key) != 32:
        raise ValueError(f"Poly1305 takes a key of 32 bytes, not {len(key)}")
    r = int.from_bytes(key[:16], "little") & R_MASK
    s = int.from_bytes(key[16:], "little")
    accumulator = 0
    for at in range(0, len(message), 16):
        accumulator = (accumulator + int.from_bytes(message[at : at + 16] + b"\x01", "little")) * r % P
    return ((accumulator + s) % 2**128).to_bytes(16, "little")
