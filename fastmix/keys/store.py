"""The identity's file: its seed, encrypted, whole or refused by name.

| bytes | what |
|---|---|
| 8 | magic `FMXSTORE` |
| 2 | version of this table, little endian |
| 2 | n, the size of the wrapped key |
| 16 | name of the wrapping, zeros behind |
| 32 | Ed25519 public key of the identity |
| n | a fresh key, wrapped by passphrase, token or TPM |
| 48 | the seed under that key: ChaCha20-Poly1305 (RFC 8439), all bytes before are authenticated |
| 32 | BLAKE2b-256 of all bytes before |

The checksum tells damage from a wrong passphrase; against whoever can compute it the authenticated part is the guard. A backup
(`fastmix keys export`) is such a file under a passphrase of its own. Mix keys are in neither.
"""

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from fastmix.errors import KeyStoreError
from fastmix.files.durable import write_durably
from fastmix.keys._chain import LockedBytes
from fastmix.keys.hierarchy import SEED_SIZE, Identity
from fastmix.keys.privatefile import read_private
from fastmix.keys.wrapping import KEY_SIZE, NONCE, TAG_SIZE, Wrapping

MAGIC = b"FMXSTORE"
VERSION = 1
HEADER = struct.Struct("<8sHH16s32s")
"""magic, version, size of the wrapped key, name of the wrapping, public key."""
SEALED_SIZE = SEED_SIZE + TAG_SIZE
SUM_SIZE = 32
STORE_MAX = 4096
"""Bytes; a larger file is none."""
RESTORE = "restore it with `fastmix keys import` from a backup"


@dataclass(frozen=True)
class Sealed:
    """A store as it was read: nothing is decrypted yet."""

    path: Path
    wrapping: str
    public: bytes
    blob: bytes
    seed: bytes

    @property
    def header(self) -> bytes:
        """The bytes before the sealed seed."""
        return HEADER.pack(MAGIC, VERSION, len(self.blob), self.wrapping.encode(), self.public) + self.blob


def read_store(path: Path) -> Sealed:
    """Reads and checks all that can be checked without a secret; `KeyStoreError` names file, problem and remedy."""
    data = read_private(path, "key store", f"check the path, or make one with `fastmix keys init {path}`", STORE_MAX)
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise KeyStoreError(f"{path}: is no key store of fastmix, or its first bytes are damaged: check the path, or {RESTORE}")
    if len(data) < HEADER.size:
        raise KeyStoreError(f"{path}: is truncated: {len(data)} bytes, fewer than a key store's header; {RESTORE}")
    _, version, n, name, public = HEADER.unpack_from(data)
    if version != VERSION:
        raise KeyStoreError(
            f"{path}: has version {version}, and this fastmix reads version {VERSION}: "
            f"install the fastmix that wrote it, or {RESTORE}"
        )
    size = HEADER.size + n + SEALED_SIZE + SUM_SIZE
    if len(data) != size:
        problem = "is truncated" if len(data) < size else "is too long"
        raise KeyStoreError(f"{path}: {problem}: {len(data)} bytes instead of {size}; {RESTORE}")
    if hashlib.blake2b(data[:-SUM_SIZE], digest_size=SUM_SIZE).digest() != data[-SUM_SIZE:]:
        raise KeyStoreError(f"{path}: is damaged: its checksum differs; {RESTORE}")
    blob = data[HEADER.size : HEADER.size + n]
    return Sealed(path, name.rstrip(b"\0").decode("ascii", "replace"), public, blob, data[-SUM_SIZE - SEALED_SIZE : -SUM_SIZE])


def open_store(path: Path, unlock: Wrapping) -> Identity:
    """The identity of a store; `KeyStoreError` where file, passphrase, token or TPM are wrong, each by its name."""
    return unsealed(read_store(path), unlock)


def unsealed(sealed: Sealed, unlock: Wrapping) -> Identity:
    """The identity of a store that was read."""
    if sealed.wrapping != unlock.name:
        raise KeyStoreError(f"{sealed.path}: its key is kept by {sealed.wrapping!r}, not by {unlock.name!r}: unlock it with that")
    try:
        key = unlock.unwrap(sealed.blob)
    except KeyStoreError as error:
        raise KeyStoreError(f"{sealed.path}: {error}") from None
    seed = LockedBytes(SEED_SIZE)
    try:
        with key:
            ChaCha20Poly1305(key.view).decrypt_into(NONCE, sealed.seed, sealed.header, seed.view)
        identity = Identity(seed)
    except (InvalidTag, KeyStoreError):
        seed.wipe()
        raise KeyStoreError(f"{sealed.path}: was altered by somebody who repaired its checksum: {RESTORE}") from None
    if identity.public != sealed.public:
        identity.wipe()
        raise KeyStoreError(f"{sealed.path}: holds another identity than it names: {RESTORE}")
    return identity


def check_absent(path: Path) -> None:
    """`KeyStoreError` where something has that name, or where that cannot be seen."""
    try:
        is_there = path.is_symlink() or path.exists()
    except OSError as error:
        remedy = (
            f"user {os.geteuid()} may not look there: run as the owner"
            if isinstance(error, PermissionError)
            else "check the path"
        )
        raise KeyStoreError(f"{path}: cannot be made: {error.strerror}; {remedy}") from None
    if is_there:
        raise KeyStoreError(f"{path}: exists already, and a key store is never overwritten: name another path, or move it away")


def create_store(path: Path, identity: Identity, wrapping: Wrapping) -> None:
    """Writes a new store or backup, mode 0600, whole or not at all; a file that exists is never overwritten."""
    check_absent(path)
    _write(path, identity, wrapping, replace=False)


def rewrap_store(path: Path, identity: Identity, wrapping: Wrapping) -> None:
    """Replaces a store by one of the same identity under another wrapping, in one step; after an error the old one is there."""
    if read_store(path).public != identity.public:
        raise KeyStoreError(f"{path}: is the store of another identity: check the path")
    _write(path, identity, wrapping, replace=True)


def _write(path: Path, identity: Identity, wrapping: Wrapping, *, replace: bool) -> None:
    """Seals, opens what was sealed once as a trial, writes."""
    try:
        data = _sealed(identity, wrapping)
    except KeyStoreError as error:
        raise KeyStoreError(f"{path}: is not written: {error}") from None
    try:
        write_durably(path, data, replace=replace)
    except OSError as error:
        if isinstance(error, FileExistsError):
            check_absent(path)
        left = "the old one is as it was" if replace else "nothing was left there"
        raise KeyStoreError(f"{path}: cannot be written, {left}: {error.strerror}; make room, or check the directory") from None


def _sealed(identity: Identity, wrapping: Wrapping) -> bytes:
    """The bytes of a store. The wrapping must give its key back before anything depends on that."""
    with LockedBytes(KEY_SIZE).fill_random() as key:
        blob = wrapping.wrap(key)
        with wrapping.unwrap(blob) as again:
            if again.view != key.view:
                raise KeyStoreError(f"{wrapping.name} gave back another key than it was given: use another wrapping")
        header = HEADER.pack(MAGIC, VERSION, len(blob), wrapping.name.encode(), identity.public) + blob
        data = header + ChaCha20Poly1305(key.view).encrypt(NONCE, identity.seed.view, header)
    return data + hashlib.blake2b(data, digest_size=SUM_SIZE).digest()
