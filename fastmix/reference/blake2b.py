"""BLAKE2b in plain Python: RFC 7693, with the salt and personalisation of the BLAKE2 paper's parameter block (section 2.8)."""

IV = (
    0x6A09E667F3BCC908,
    0xBB67AE8584CAA73B,
    0x3C6EF372FE94F82B,
    0xA54FF53A5F1D36F1,
    0x510E527FADE682D1,
    0x9B05688C2B3E6C1F,
    0x1F83D9ABFB41BD6B,
    0x5BE0CD19137E2179,
)
"""Initial hash value (RFC 7693 section 2.6)."""
SIGMA = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)
"""Message word schedule; rounds 10 and 11 take the first two lines again (RFC 7693 section 2.7)."""
BLOCK_SIZE = 128
_MASK = 2**64 - 1
_MIXES = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)


def _words(data: bytes) -> list[int]:
    """`data` as little-endian 64-bit words."""
    return [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]


def mix(a: int, b: int, c: int, d: int, x: int, y: int) -> tuple[int, int, int, int]:
    """G: mixes message words x and y into four words (RFC 7693 section 3.1)."""
    a = (a + b + x) & _MASK
    d ^= a
    d = (d >> 32 | d << 32) & _MASK
    c = (c + d) & _MASK
    b ^= c
    b = (b >> 24 | b << 40) & _MASK
    a = (a + b + y) & _MASK
    d ^= a
    d = (d >> 16 | d << 48) & _MASK
    c = (c + d) & _MASK
    b ^= c
    b = (b >> 63 | b << 1) & _MASK
    return a, b, c, d


def compress(h: list[int], block: bytes, offset: int, last: bool) -> list[int]:
    """F: the hash value after one 128-byte block; `offset` counts bytes with this block (RFC 7693 section 3.2)."""
    v = [*h, *IV]
    v[12] ^= offset & _MASK
    v[13] ^= offset >> 64
    v[14] ^= _MASK if last else 0
    m = _words(block)
    for number in range(12):
        sigma = SIGMA[number % 10]
        for i, (a, b, c, d) in enumerate(_MIXES):
            v[a], v[b], v[c], v[d] = mix(v[a], v[b], v[c], v[d], m[sigma[2 * i]], m[sigma[2 * i + 1]])
    return [word ^ v[i] ^ v[i + 8] for i, word in enumerate(h)]


def _parameters(size: int, key: bytes, salt: bytes, personal: bytes) -> bytes:
    """The 64-byte parameter block of sequential mode: fanout 1, depth 1 (BLAKE2 paper, section 2.8)."""
    for name, value, most in (("key", key, 64), ("salt", salt, 16), ("personal", personal, 16)):
        if len(value) > most:
            raise ValueError(f"BLAKE2b takes a {name} of at most {most} bytes, not {len(value)}")
    if not 1 <= size <= 64:
        raise ValueError(f"BLAKE2b gives 1 to 64 bytes, not {size}")
    return bytes([size, len(key), 1, 1]) + bytes(28) + salt.ljust(16, b"\0") + personal.ljust(16, b"\0")


def blake2b(message: bytes, size: int = 64, key: bytes = b"", salt: bytes = b"", personal: bytes = b"") -> bytes:
    """The digest, `size` bytes (1 to 64). Key up to 64, salt and personalisation up to 16 bytes, filled with zeros."""
    parameters = _words(_parameters(size, key, salt, personal))
    h = [iv ^ word for iv, word in zip(IV, parameters, strict=True)]
    data = (key.ljust(BLOCK_SIZE, b"\0") if key else b"") + message
    for at in range(0, max(len(data), 1), BLOCK_SIZE):
        block = data[at : at + BLOCK_SIZE]
        last = at + BLOCK_SIZE >= len(data)
        h = compress(h, block.ljust(BLOCK_SIZE, b"\0"), at + len(block), last)
    return b"".join(word.to_bytes(8, "little") for word in h)[:size]
