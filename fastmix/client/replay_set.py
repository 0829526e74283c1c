"""Requests that a client has accepted, exactly: in memory, or also in a file, so that nothing recorded is taken after a restart.

The file is append-only: magic 8 ‖ Sphinx public key 32 ‖ random replay key 32, then 16 bytes for each tag
(docs/wire-format.md, section 3, step 5). It outlives the process; what the kernel has not written yet is lost with the power.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from fastmix.errors import ConfigError, CryptoError
from fastmix.files.private import lock, open_private
from fastmix.network import Network
from fastmix.packet.verdict import Verdict

REPLAY_KEPT = 1_000_000
"""Tags of requests that a client accepts under one Sphinx key; beyond it every request is `drop_replay_full`."""
TAG_SIZE = 16
KEY_SIZE = 32
MAGIC = b"fmcrpl1\n"
HEADER_SIZE = len(MAGIC) + 2 * KEY_SIZE


class ReplaySet:
    """Tags in memory. `key`: 32 random bytes under which the tags are made."""

    def __init__(self, key: bytes, kept: int = REPLAY_KEPT, tags: Iterable[bytes] = ()) -> None:
        self.key = key
        self._kept = kept
        self._tags = set(tags)

    def __len__(self) -> int:
        return len(self._tags)

    def accept(self, tags: list[bytes]) -> list[Verdict]:
        """One verdict a tag, `OK` for the new ones, which are on record when this returns."""
        new: set[bytes] = set()
        verdicts = []
        for tag in tags:
            if tag in self._tags or tag in new:
                verdicts.append(Verdict.DROP_REPLAY)
            elif len(self._tags) + len(new) >= self._kept:
                verdicts.append(Verdict.DROP_REPLAY_FULL)
            else:
                new.add(tag)
                verdicts.append(Verdict.OK)
        if new and not self._record(b"".join(new)):
            return [Verdict.DROP_REPLAY_FULL if verdict is Verdict.OK else verdict for verdict in verdicts]
        self._tags |= new
        return verdicts

    def _record(self, tags: bytes) -> bool:
        """Keeps tags beyond this process; False where that failed."""
        return True

    def close(self) -> None:
        """Ends the use of the set."""


class ReplayFile(ReplaySet):
    """A set that is in a file too. It holds the file for this client alone until `close`."""

    def __init__(self, path: Path, public: bytes, kept: int = REPLAY_KEPT) -> None:
        """Opens or makes the file of a client with that Sphinx public key (32 bytes).

        `ConfigError` where it cannot be used or another client holds it, `CryptoError` where it is damaged or of another key.
        """
        self._path = path
        self._fd = _open(path)
        try:
            data = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
            if len(data) < HEADER_SIZE:
                data = MAGIC + public + os.urandom(KEY_SIZE)
                self._replace(data)
            _check_header(path, data, public)
            self._size = len(data) - (len(data) - HEADER_SIZE) % TAG_SIZE
            os.ftruncate(self._fd, self._size)
        except OSError as error:
            os.close(self._fd)
            raise ConfigError(f"{path}: cannot use the replay file: {error.strerror}; free or mend the disk") from None
        except BaseException:
            os.close(self._fd)
            raise
        tags = (data[at : at + TAG_SIZE] for at in range(HEADER_SIZE, self._size, TAG_SIZE))
        super().__init__(data[HEADER_SIZE - KEY_SIZE : HEADER_SIZE], kept, tags)

    def _replace(self, data: bytes) -> None:
        """Begins the file; a header that was cut off had no tags behind it."""
        os.ftruncate(self._fd, 0)
        if os.pwrite(self._fd, data, 0) != len(data):
            raise OSError(0, "the disk is full")
        os.fsync(self._fd)

    def _record(self, tags: bytes) -> bool:
        try:
            whole = os.pwrite(self._fd, tags, self._size) == len(tags)
            if whole:
                self._size += len(tags)
            else:
                os.ftruncate(self._fd, self._size)
        except OSError:
            return False
        return whole

    def close(self) -> None:
        """Frees the file; nothing is accepted afterwards."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def replay_path(network: Network, peer_id: bytes) -> Path:
    """Where a client keeps the set of its Sphinx key: beside the secret of the link to its exit; 16 hex digits of id and key."""
    client = network.client(peer_id)
    secret = next(network.secret_path(link) for link in network.links_of(peer_id) if link.other(peer_id) == client.exit)
    return secret.with_name(f"client-{peer_id.hex()[:16]}-{client.sphinx_public.hex()[:16]}.replay")


def _open(path: Path) -> int:
    """A descriptor of the file, which is made with mode 0600 where it is missing and is this client's alone."""
    try:
        fd = open_private(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot open the replay file: {error.strerror}; make it a file that this user can write"
        ) from None
    if not lock(fd):
        os.close(fd)
        raise ConfigError(f"{path}: another client with this peer id is running: stop it first")
    return fd


def _check_header(path: Path, data: bytes, public: bytes) -> None:
    remedy = "restore it, or delete it and give the client a new Sphinx key: without it everything recorded is taken again"
    if data[: len(MAGIC)] != MAGIC:
        raise CryptoError(f"{path}: not a replay file, or damaged: {remedy}")
    if data[len(MAGIC) : len(MAGIC) + KEY_SIZE] != public:
        raise CryptoError(f"{path}: the replay file belongs to another Sphinx key: {remedy}")
