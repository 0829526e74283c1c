"""What a client that joins keeps: its identity, its Sphinx key of a day with the replay set of that key, and its exit.

In a directory of its own (mode 0700), which one client uses at a time; or in memory, then the next start is somebody else.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fastmix.client.replay_set import ReplayFile, ReplaySet
from fastmix.errors import ConfigError
from fastmix.files.durable import write_durably
from fastmix.files.private import check_private_directory, lock, open_private
from fastmix.files.secret import read_secret, write_secret
from fastmix.keys._chain import LockedBytes
from fastmix.keys.hierarchy import Identity
from fastmix.network import NODE_ID_PREFIX

KEY_LIFE_NS = 24 * 3600 * 10**9
"""An address names a Sphinx key for a day."""
GRACE_NS = 3600 * 10**9
"""What was built for it before is taken for so long after: a SURB lives an hour."""
SPHINX = "sphinx-"


@dataclass(frozen=True, slots=True)
class SphinxKey:
    """An X25519 key pair, when it was made (Unix time), and what was accepted under it."""

    secret: bytes = field(repr=False)
    made_ns: int
    replay_set: ReplaySet = field(repr=False)

    @property
    def public(self) -> bytes:
        """32 bytes."""
        return public_of(self.secret)

    @property
    def ends_ns(self) -> int:
        """When the next one takes its place."""
        return self.made_ns + KEY_LIFE_NS


class ClientState:
    """A client's belongings. `keys`: the Sphinx key of now, and before it the one that still has its grace, if any."""

    def __init__(self, directory: Path | None, now_ns: int, urandom: Callable[[int], bytes] = os.urandom) -> None:
        """Reads the directory, or begins it. `ConfigError` where it cannot be used, or another client uses it."""
        self.directory, self._urandom, self._lock = directory, urandom, -1
        self.keys: list[SphinxKey] = []
        self.exit = b""
        if directory is not None:
            self._open(directory)
        try:
            self.identity = self._read_identity()
            self._read_keys(now_ns)
        except BaseException:
            self.close()
            raise

    def _open(self, directory: Path) -> None:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_private_directory(directory)
            self._lock = open_private(directory / "lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise ConfigError(
                f"{directory}: cannot keep a client's state there: {error.strerror}; name another directory"
            ) from None
        if not lock(self._lock):
            os.close(self._lock)
            raise ConfigError(f"{directory}: another client uses this directory: stop it, or name another directory with --state")
        try:
            self.exit = bytes.fromhex((directory / "exit").read_text().strip())
        except (OSError, ValueError):
            self.exit = b""

    def _read_identity(self) -> Identity:
        path = None if self.directory is None else self.directory / "identity"
        if path is not None and path.exists():
            seed = read_secret(path)
        else:
            seed = self._urandom(32)
            if path is not None:
                write_secret(path, seed)
        locked = LockedBytes(32)
        locked.view[:] = seed
        identity = Identity(locked)
        if identity.public.startswith(NODE_ID_PREFIX):
            raise ConfigError(f"a client's identity cannot begin with {NODE_ID_PREFIX.decode()!r}: remove {path}, for a new one")
        return identity

    def _read_keys(self, now_ns: int) -> None:
        """Those that are still good; takes the others away. Makes one where there is none of today."""
        found = [] if self.directory is None else sorted(self.directory.glob(f"{SPHINX}*[0-9]"))
        for path in found:
            made_ns = int(path.name.removeprefix(SPHINX)) * 10**9
            if made_ns <= now_ns < made_ns + KEY_LIFE_NS + GRACE_NS:
                secret = read_secret(path)
                self.keys.insert(0, SphinxKey(secret, made_ns, self._replay_set(path, public_of(secret))))
            else:
                _remove(path)
        if not self.keys or self.keys[0].ends_ns <= now_ns:
            self.renew(now_ns)

    def renew(self, now_ns: int) -> SphinxKey:
        """A new key, which is the first of `keys` now; the one before stays for its grace."""
        secret = self._urandom(32)
        made_ns = now_ns - now_ns % 10**9
        path = None if self.directory is None else self.directory / f"{SPHINX}{made_ns // 10**9}"
        if path is not None:
            write_secret(path, secret)
        self.keys.insert(0, SphinxKey(secret, made_ns, self._replay_set(path, public_of(secret))))
        del self.keys[2:]
        return self.keys[0]

    def forget(self, now_ns: int) -> bool:
        """Takes the key before away once its grace is over; whether it was."""
        if len(self.keys) < 2 or now_ns < self.keys[1].ends_ns + GRACE_NS:
            return False
        old = self.keys.pop()
        if self.directory is not None:
            _remove(self.directory / f"{SPHINX}{old.made_ns // 10**9}")
        return True

    def _replay_set(self, path: Path | None, public: bytes) -> ReplaySet:
        return ReplaySet(self._urandom(32)) if path is None else ReplayFile(path.with_name(path.name + ".replay"), public)

    def keep_exit(self, identity: bytes) -> None:
        """The node that answers to this client from now on; the next start begins with it."""
        self.exit = identity
        if self.directory is not None:
            self._write("exit", identity.hex().encode() + b"\n")

    def keep_proof(self, proof: bytes) -> str:
        """Where a proof of equivocation lies now; empty where nothing is kept."""
        if self.directory is None:
            return ""
        return str(self._write("equivocation.proof", proof))

    def _write(self, name: str, data: bytes) -> Path:
        assert self.directory is not None
        path = self.directory / name
        try:
            write_durably(path, data)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}; free or mend the disk") from None
        return path

    def close(self) -> None:
        """Ends the use of keys and directory."""
        for key in self.keys:
            key.replay_set.close()
        if hasattr(self, "identity"):
            self.identity.wipe()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def public_of(secret: bytes) -> bytes:
    """The X25519 public key of a secret, 32 bytes."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".replay").unlink(missing_ok=True)
