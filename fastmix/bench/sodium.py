"""libsodium, found on this machine when the bench runs; nothing is built against it."""

import ctypes
import ctypes.util
from dataclasses import dataclass

NAMES = ("libsodium.so.26", "libsodium.so.23")
"""Tried first, newest first; then whatever the loader knows as `sodium`."""
FUNCTIONS = {
    "scalarmult": "crypto_scalarmult_curve25519",
    "blake2b": "crypto_generichash_blake2b_salt_personal",
    "chacha20": "crypto_stream_chacha20_ietf_xor_ic",
    "memcmp": "sodium_memcmp",
    "is_zero": "sodium_is_zero",
    "memzero": "sodium_memzero",
}
"""What `struct fm_sodium` (ext/include/fm_bench.h) calls, by the library's names."""
ABSENT = (
    "libsodium is not on this machine, so there is no baseline L: `apt install libsodium23` (Debian, Ubuntu) or "
    "`dnf install libsodium` (Fedora) brings it. PyNaCl's own copy cannot be used: it exports nothing."
)


@dataclass(frozen=True)
class Sodium:
    """The library's version and the addresses of its functions; `library` keeps it loaded."""

    version: str
    addresses: dict[str, int]
    library: ctypes.CDLL


def find_sodium() -> Sodium | None:
    """libsodium, initialised; None where there is none that has all functions."""
    for name in (*NAMES, None):
        try:
            name = name or ctypes.util.find_library("sodium")  # only then: it starts other programs
            library = ctypes.CDLL(name) if name else None
            if library is None or library.sodium_init() < 0:
                continue
            addresses = {ours: _address(getattr(library, theirs)) for ours, theirs in FUNCTIONS.items()}
        except (OSError, AttributeError):
            continue
        library.sodium_version_string.restype = ctypes.c_char_p
        return Sodium(library.sodium_version_string().decode(), addresses, library)
    return None


def _address(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]
