"""ChaCha20 in plain Python: RFC 8439 section 2. One block is 64 bytes; the counter is 32 bits."""

CONSTANTS = (0x61707865, 0x3320646E, 0x79622D32, 0x6B206574)
"""`expand 32-byte k`, little endian (RFC 8439 section 2.3)."""
BLOCK_SIZE = 64
ZERO_NONCE = bytes(12)
_MASK = 0xFFFFFFFF
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


def quarter_round(state: list[int], a: int, b: int, c: int, d: int) -> None:
    """Mixes four words of `state` in place (RFC 8439 section 2.1)."""
    for x, y, z, shift in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[x] = (state[x] + state[y]) & _MASK
        word = state[z] ^ state[x]
        state[z] = (word << shift | word >> (32 - shift)) & _MASK


def permute(state: list[int]) -> bytes:
    """The 64-byte block of 16 words: ten double rounds, then the first state added (RFC 8439 section 2.3.1)."""
    mixed = list(state)
    for _ in range(10):
        for a, b, c, d in _ROUNDS:
            quarter_round(mixed, a, b, c, d)
    return b"".join(((x + y) & _MASK).to_bytes(4, "little") for x, y in zip(mixed, state, strict=True))


def block(key: bytes, counter: int, nonce: bytes = ZERO_NONCE) -> bytes:
    """One block of keystream, 64 bytes: key 32 bytes, counter u32, nonce 12 bytes (RFC 8439 section 2.3)."""
    if len(key) != 32 or len(nonce) != 12:
        raise ValueError(f"ChaCha20 takes a key of 32 and a nonce of 12 bytes, not {len(key)} and {len(nonce)}")
    return permute([*CONSTANTS, *words(key), counter & _MASK, *words(nonce)])


def keystream(key: bytes, size: int, nonce: bytes = ZERO_NONCE, counter: int = 0) -> bytes:
    """`size` bytes of keystream from block `counter` on; the counter wraps at 2^32."""
    blocks = range(counter, counter + -(-size // BLOCK_SIZE))
    return b"".join(block(key, number, nonce) for number in blocks)[:size]


def xor(key: bytes, data: bytes, nonce: bytes = ZERO_NONCE, counter: int = 0) -> bytes:
    """Encrypts or decrypts `data` (RFC 8439 section 2.4)."""
    stream = keystream(key, len(data), nonce, counter)
    return (int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")).to_bytes(len(data), "little")
