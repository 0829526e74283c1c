"""The token of a network on the disk of an authority: `STORE.directory/token`, only its hash, as hex digits.

It is read again for each newcomer, so a token that is replaced lets nobody in from then on.
"""

from pathlib import Path

from fastmix.directory.admission import token_hash
from fastmix.errors import ConfigError, KeyStoreError
from fastmix.files.durable import write_durably
from fastmix.files.private import check_private_directory
from fastmix.keys.privatefile import read_private

HASH_DIGITS = 64
REMEDY = "make a new token with `fastmix network token`"


def directory_folder(store: Path) -> Path:
    """Where a node keeps what it knows of its network: beside its identity's store."""
    return store.with_name(f"{store.name}.directory")


def token_path(store: Path) -> Path:
    """Where the token's hash is."""
    return directory_folder(store) / "token"


def read_token_hash(store: Path) -> bytes | None:
    """The 32 bytes; None where there is no token yet. `KeyStoreError` where the file is damaged, or not private."""
    path = token_path(store)
    if not path.is_symlink() and not path.exists():
        return None
    data = read_private(path, "hash of the token", REMEDY, HASH_DIGITS + 1)
    try:
        found = bytes.fromhex(data.decode("ascii"))
    except ValueError:
        found = b""
    if len(found) * 2 != HASH_DIGITS:
        raise KeyStoreError(f"{path}: damaged: it has no hash of a token: {REMEDY}")
    return found


def write_token_hash(store: Path, token: bytes) -> None:
    """That of a 16-byte token, whole or not at all, in place of the one before. `ConfigError` where it cannot be written."""
    path = token_path(store)
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        check_private_directory(path.parent)
        write_durably(path, token_hash(token).hex().encode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}: make room, or check the directory's owner") from None
