"""ChaCha20 in plain Python: RFC 8439 section 2. One block is 64 bytes; the counter is 32 bits.

All blocks of a stream are computed at once: each of the 16 state words is one Python integer that holds this word of every
block, 64 bits apart. A sum's carry and a rotation's overflow fall into the gaps, which the mask clears, so the formulas stay
the RFC's own.
"""

CONSTANTS = (0x61707865, 0x3320646E, 0x79622D32, 0x6B206574)
"""`expand 32-byte k`, little endian (RFC 8439 section 2.3)."""
BLOCK_SIZE = 64
ZERO_NONCE = bytes(12)
_WORD = 0xFFFFFFFF
_ROUNDS = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)
"""The quarter rounds of one double round: four columns, four diagonals (RFC 8439 section 2.3)."""


def words(data: bytes) -> list[int]:
    """`data` as little-endian 32-bit words; its length is a multiple of 4."""
    return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]


def quarter_round(a: int, b: int, c: int, d: int, mask: int = _WORD) -> tuple[int, int, int, int]:
    """Mixes four words (RFC 8439 section 2.1), in all blocks that `mask` covers."""
    a = (a + b) & mask
    d ^= a
    d = (d << 16 | d >> 16) & mask
    c = (c + d) & mask
    b ^= c
    b = (b << 12 | b >> 20) & mask
    a = (a + b) & mask
    d ^= a
    d = (d << 8 | d >> 24) & mask
    c = (c + d) & mask
    b ^= c
    b = (b << 7 | b >> 25) & mask
    return a, b, c, d


def permute(states: list[list[int]]) -> bytes:
    """The blocks of n states of 16 words, 64 n bytes: ten double rounds, then the first state added (RFC 8439 section 2.3.1)."""
    mask = sum(_WORD << 64 * lane for lane in range(len(states)))
    first = [sum(word << 64 * lane for lane, word in enumerate(column)) for column in zip(*states, strict=True)]
    mixed = list(first)
    for _ in range(10):
        for a, b, c, d in _ROUNDS:
            mixed[a], mixed[b], mixed[c], mixed[d] = quarter_round(mixed[a], mixed[b], mixed[c], mixed[d], mask)
    columns = [((x + y) & mask).to_bytes(8 * len(states), "little") for x, y in zip(mixed, first, strict=True)]
    return b"".join(column[at : at + 4] for at in range(0, 8 * len(states), 8) for column in columns)


def keystream(key: bytes, size: int, nonce: bytes = ZERO_NONCE, counter: int = 0) -> bytes:
    """`size` bytes of keystream from block `counter` (u32, wraps) on: key 32 bytes, nonce 12 bytes (RFC 8439 section 2.4)."""
    if len(key) != 32 or len(nonce) != 12:
        raise ValueError(f"ChaCha20 takes a key of 32 and a nonce of 12 bytes, not {len(key)} and {len(nonce)}")
    blocks = range(counter, counter + -(-size // BLOCK_SIZE))
    return permute([[*CONSTANTS, *words(key), number & _WORD, *words(nonce)] for number in blocks])[:size] if size else b""


def xor(data: bytes, stream: bytes) -> bytes:
    """Two byte strings of one length, XORed."""
    if len(data) != len(stream):
        raise ValueError(f"XOR takes two strings of one length, not {len(data)} and {len(stream)} bytes")
    return (int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")).to_bytes(len(data), "little")


def encrypt(key: bytes, data: bytes, nonce: bytes = ZERO_NONCE, counter: int = 0) -> bytes:
    """Encrypts or decrypts `data` (RFC 8439 section 2.4)."""
    return xor(data, keystream(key, len(data), nonce, counter))
