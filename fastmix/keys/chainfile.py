"""The chain of mix keys on disk: a state that is always whole, and of which a stolen disk shows no past.

A file has one chain, and those that will follow it: each gives the slots from its own first on, until the next one's.

Two files. The *state* is sealed under a wrapping key that is used once, and replaced as a whole. The *wrapping keys* have a file
with two places, which are overwritten where they lie. Advancing, in this order, each step synced: a new wrapping key in the place
that is free; the new state under it; random bytes over the old wrapping key, so that copies of the old state are worth nothing.
Whatever step is the last one, the state on disk has its key. What flash memory, journals of data or snapshots of a file system
retain of an overwritten key is beyond this: a TPM (`places`) or a `tmpfs` (`chain = "memory"`) is not.

State: magic (16), version u32, how many chains follow the first u32, generation u64, then of each chain `Chain.seal`'s 72 bytes,
which authenticate those 32. The generation's last bit says which place has the key; all numbers are little endian.
"""

import errno
import os
import stat
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from fastmix.errors import ConfigError, CryptoError, KeyStoreError, ResourceExhausted
from fastmix.files.durable import sync_directory, write_durably
from fastmix.files.private import lock, open_private
from fastmix.keys._chain import SEALED_SIZE, Chain, LockedBytes

MAGIC = b"fastmix chain\0\0\0"
VERSION = 1
_HEAD = struct.Struct("<16sIIQ")
STATE_SIZE = _HEAD.size + SEALED_SIZE
"""Of a single chain."""
CHAINS_MAX = 8
PLACE_STRIDE = 4096
"""Places lie so far apart that no torn write hits both."""
PLACES_SIZE = 2 * PLACE_STRIDE
KEY_SIZE = 32


class KeyPlaces(Protocol):
    """Two places (0, 1) for 32 secret bytes, where an overwritten key is gone: a file here, or an NV index of a TPM."""

    def read(self, place: int, into: LockedBytes) -> None:
        """The key that lies there. `OSError` where it cannot be read."""

    def write(self, place: int, key: LockedBytes) -> None:
        """Overwrites it, durable when this returns. `OSError` leaves the other place as it is."""

    def close(self) -> None:
        """Frees what holds them."""


class FilePlaces:
    """Places in a file of this user's alone, which one process holds at a time."""

    def __init__(self, path: Path, wait_s: float = 0.0) -> None:
        """Takes the file, made where there is none.

        `ConfigError` where another process has it after `wait_s`, `KeyStoreError` where others could read it,
        `ResourceExhausted` where the disk refuses it.
        """
        self.path = path
        try:
            self._fd = _open_own(path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise _refused(path, error) from None
        if not lock(self._fd, wait_s):
            os.close(self._fd)
            raise ConfigError(f"{path}: another process has this chain of keys: stop that node, or name another directory")
        try:
            if os.fstat(self._fd).st_size != PLACES_SIZE:
                self._lay_out()
        except OSError as error:
            os.close(self._fd)
            raise _refused(path, error) from None

    def read(self, place: int, into: LockedBytes) -> None:
        """The 32 bytes of a place."""
        os.preadv(self._fd, [into.view], place * PLACE_STRIDE)

    def write(self, place: int, key: LockedBytes) -> None:
        """Overwrites a place where it lies, and syncs it."""
        if os.pwrite(self._fd, key.view, place * PLACE_STRIDE) != KEY_SIZE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(self._fd)

    def close(self) -> None:
        """Frees the file for another process."""
        os.close(self._fd)

    def _lay_out(self) -> None:
        """A new file, or one whose making was cut off; of one that was damaged no key is of use."""
        os.ftruncate(self._fd, 0)
        if os.pwrite(self._fd, bytes(PLACES_SIZE), 0) != PLACES_SIZE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(self._fd)
        sync_directory(self.path.parent)


class ChainFile:
    """Chains whose state is on disk before a secret of them is used. Made by `create` or `open`; `close` wipes the memory."""

    def __init__(self, path: Path, places: KeyPlaces, chains: Sequence[Chain], generation: int) -> None:
        """Use `create` or `open`."""
        self.path = path
        self._places = places
        self._chains = list(chains)
        self._generation = generation

    @classmethod
    def create(cls, path: Path, first_slot: int, places: KeyPlaces | None = None, wait_s: float = 0.0) -> Self:
        """A fresh chain from `first_slot` on, durable; it takes the place of one that is there, damaged or not.

        Raises as `FilePlaces`, and `ResourceExhausted` where the disk or the limit on locked memory refuses: an old one stays.
        """
        places = places or FilePlaces(places_path(path), wait_s)
        try:
            file = cls(path, places, (), _generation_at(path))
            file.start_over(first_slot)
        except BaseException:
            places.close()
            raise
        return file

    @classmethod
    def open(cls, path: Path, places: KeyPlaces | None = None, wait_s: float = 0.0) -> Self | None:
        """The chain that is there, or None where there is none.

        `KeyStoreError` where it is damaged, of another length, of a newer version, or its wrapping key is gone; else as `create`.
        """
        state = _read_state(path)
        if state is None:
            return None
        if places is None:
            _check_places(places_path(path))
            places = FilePlaces(places_path(path), wait_s)
        try:
            generation, chains = _unsealed(path, _read_state(path) or state, places.read)
            _write_random(places, ~generation & 1)  # where the last advance was cut off, the old key is still there
        except OSError as error:
            places.close()
            raise _refused(path, error) from None
        except BaseException:
            places.close()
            raise
        return cls(path, places, chains, generation)

    @staticmethod
    def look(path: Path, places: KeyPlaces | None = None) -> None:
        """Whether `open` would work, without taking or changing anything; raises as that. Of a chain that is in use meanwhile the
        wrapping key may go between two looks: the state is another one then, and is looked at anew."""
        state = _read_state(path)
        while state is not None:
            try:
                for chain in _unsealed(path, state, _reader(places_path(path)) if places is None else places.read)[1]:
                    chain.wipe()
                return
            except OSError as error:
                raise _refused(path, error) from None
            except KeyStoreError:
                before, state = state, _read_state(path)
                if state == before:
                    raise

    @property
    def id(self) -> bytes:
        """16 bytes, public, that no other chain has: of the chain whose secret is next."""
        return self._chains[0].id

    @property
    def slot(self) -> int:
        """The slot whose secret is next."""
        return self._chains[0].slot

    @property
    def starts(self) -> list[tuple[int, bytes]]:
        """(first slot that it gives yet, id) of each chain, in order."""
        return [(chain.slot, chain.id) for chain in self._chains]

    def publics(self, n: int) -> npt.NDArray[np.uint8]:
        """The X25519 publics of the next n slots, u8[n, 32]."""
        end = self.slot + n
        ends = [min(chain.slot, end) for chain in self._chains[1:]] + [end]
        parts = [chain.publics(max(0, upto - chain.slot)) for chain, upto in zip(self._chains, ends, strict=True)]
        return np.concatenate(parts)

    def take(self, into: LockedBytes | memoryview, filled: Callable[[], object] = bool) -> None:
        """Writes the secret of `slot` into the 32 bytes, calls `filled`, and then advances past it, durably.

        The secret must not be used before this returns. After an error, such as `ResourceExhausted` where the disk refuses, the
        bytes are zeros, and the same secret can be asked for again.
        """
        if memoryview(into).nbytes != KEY_SIZE:
            raise ValueError(f"into has {memoryview(into).nbytes} bytes, not {KEY_SIZE}")
        ahead = self._chains[0].copy()
        try:
            ahead.take(into)
            filled()
            self._replace_by([ahead, *self._chains[1:]])
        except BaseException:
            ahead.wipe()
            memoryview(into).cast("B")[:] = bytes(KEY_SIZE)
            raise

    def skip_to(self, slot: int) -> None:
        """Gives up, durably, the secrets of all slots before this one. `ValueError` backwards; `ResourceExhausted` as `take`."""
        at = max((at for at, chain in enumerate(self._chains) if chain.slot <= slot), default=0)
        ahead = self._chains[at].copy()
        try:
            ahead.skip_to(slot)
            self._replace_by([ahead, *self._chains[at + 1 :]])
        except BaseException:
            ahead.wipe()
            raise

    def renew(self, first_slot: int) -> None:
        """From `first_slot` on keys are those of a fresh chain, durably; slots before it keep theirs. `ValueError` backwards, or
        where there would be more than `CHAINS_MAX` chains; `ResourceExhausted` as `take`."""
        if first_slot < self.slot:
            raise ValueError(f"first_slot = {first_slot}: this chain is at {self.slot} already, and no slot gets a second key")
        stay = [chain for chain in self._chains if chain.slot < first_slot]
        if len(stay) == CHAINS_MAX:
            raise ValueError(f"first_slot = {first_slot}: {CHAINS_MAX} chains are waiting already, as many as there may be")
        self._begin_with(stay, first_slot)

    def start_over(self, first_slot: int) -> None:
        """A fresh chain, durably, in place of all that is there, from a slot on that may have had a key: for keys that are burnt.
        `ResourceExhausted` as `take`."""
        self._begin_with([], first_slot)

    def close(self) -> None:
        """Wipes the chains in memory and frees the files."""
        for chain in self._chains:
            chain.wipe()
        self._places.close()

    def _begin_with(self, stay: list[Chain], first_slot: int) -> None:
        fresh = Chain.fresh(first_slot)
        try:
            self._replace_by([*stay, fresh])
        except BaseException:
            fresh.wipe()
            raise

    def _replace_by(self, chains: list[Chain]) -> None:
        """Makes these the state on disk, without those that have come to the next one's beginning, and wipes what is gone. An
        error leaves a state on disk that is whole: the old one, or this."""
        stay = [chain for at, chain in enumerate(chains) if all(chain.slot < later.slot for later in chains[at + 1 :])]
        generation = self._generation + 1
        head = _HEAD.pack(MAGIC, VERSION, len(stay) - 1, generation)
        try:
            with LockedBytes(KEY_SIZE) as key:
                self._places.write(generation & 1, key.fill_random())
                sealed = (chain.seal(key, _nonce(generation, at), head) for at, chain in enumerate(stay))
                write_durably(self.path, head + b"".join(sealed))
            self._generation = generation
            _write_random(self._places, ~generation & 1)
        except OSError as error:
            self._generation = _generation_at(self.path)  # renamed, though perhaps not synced
            raise _refused(self.path, error) from None
        gone = [chain for chain in (*self._chains, *chains) if chain not in stay]
        self._chains = stay
        for chain in gone:
            chain.wipe()


def places_path(path: Path) -> Path:
    """The file of the wrapping keys of a state."""
    return path.with_name(f"{path.name}.wrap")


def chain_path(chain: str, keys_dir: Path, state_dir: Path) -> Path:
    """Where the state lies: with `chain = "disk"` or "tpm" beside the keys, so that it survives a reboot; with "memory" in
    `state_dir`.

    That is a tmpfs: the chain outlives processes, but is never on disk. `ConfigError` for another word.
    """
    places = {"disk": keys_dir, "tpm": keys_dir, "memory": state_dir}
    if chain not in places:
        raise ConfigError(f'chain = {chain!r} is not known: use "disk", "memory" or "tpm"')
    return places[chain] / "mix-keys.chain"


def _nonce(generation: int, at: int) -> bytes:
    """Of the chain at this place: each key is used for one state only."""
    return generation.to_bytes(8, "little") + at.to_bytes(4, "little")


def _write_random(places: KeyPlaces, place: int) -> None:
    """Overwrites a key by bytes that nobody knows."""
    with LockedBytes(KEY_SIZE) as noise:
        places.write(place, noise.fill_random())


def _refused(path: Path, error: OSError) -> ResourceExhausted:
    return ResourceExhausted(
        f"{path}: the chain of mix keys cannot be stored: {error.strerror}; what was there is still valid: "
        "free space on that file system, or check the directory"
    )


def _open_own(path: Path, flags: int) -> int:
    """A descriptor of this user's own file, which nobody else can read; `KeyStoreError` where it is not such a one."""
    try:
        fd = open_private(path, flags)
    except ConfigError as error:
        raise KeyStoreError(str(error)) from None
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    if mode & 0o077:
        os.close(fd)
        raise KeyStoreError(f"{path}: has mode {mode:04o}, so others can read keys in it: chmod 600 {path}")
    return fd


def _read_state(path: Path) -> bytes | None:
    """The bytes of the state file, one more than it may have at most."""
    try:
        fd = _open_own(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refused(path, error) from None
    with os.fdopen(fd, "rb") as file:
        return file.read(_state_size(CHAINS_MAX) + 1)


def _generation_at(path: Path) -> int:
    """That of the state on disk, so far as one can be seen."""
    with suppress(OSError, KeyStoreError, ResourceExhausted):
        state = _read_state(path)
        if state is not None and len(state) >= STATE_SIZE:
            return int(_HEAD.unpack_from(state)[3]) & (1 << 63) - 1
    return 0


def _check_places(path: Path) -> None:
    """`KeyStoreError` where the wrapping keys of a state cannot be there."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise KeyStoreError(
            f"{path}: is missing, and without it {path.stem} cannot be opened: {_anew(path.with_suffix(''))}"
        ) from None
    if size != PLACES_SIZE:
        raise KeyStoreError(f"{path}: has {size} bytes, not {PLACES_SIZE}: it is damaged; {_anew(path.with_suffix(''))}")


def _reader(path: Path) -> Callable[[int, LockedBytes], None]:
    """Reads keys of a file of places, whoever has it."""
    _check_places(path)

    def read(place: int, into: LockedBytes) -> None:
        with os.fdopen(_open_own(path, os.O_RDONLY), "rb") as file:
            os.preadv(file.fileno(), [into.view], place * PLACE_STRIDE)

    return read


def _anew(path: Path) -> str:
    """The remedy for a state of which no key is of use."""
    return f"move {path} and {places_path(path).name} away, and the next start begins a new chain"


def _unsealed(path: Path, state: bytes, read_key: Callable[[int, LockedBytes], None]) -> tuple[int, list[Chain]]:
    """Generation and chains of a state; `KeyStoreError` says what is wrong with it."""
    if state[: len(MAGIC)] != MAGIC[: len(state)]:
        raise KeyStoreError(f"{path}: is not the chain of a node's mix keys, or damaged at its beginning: {_anew(path)}")
    if len(state) >= _HEAD.size and (version := _HEAD.unpack_from(state)[1]) > VERSION:
        raise KeyStoreError(f"{path}: has version {version}, this fastmix reads {VERSION}: use a newer one, or {_anew(path)}")
    further, generation = _HEAD.unpack_from(state)[2:] if len(state) >= _HEAD.size else (0, 0)
    if len(state) != (size := _state_size(1 + min(further, CHAINS_MAX))):
        found = f"{len(state)}" if len(state) < size else "more"
        raise KeyStoreError(f"{path}: has {found} bytes, not {size}: it is damaged; {_anew(path)}")
    head, sealed = state[: _HEAD.size], state[_HEAD.size :]
    with LockedBytes(KEY_SIZE) as key:
        read_key(generation & 1, key)
        try:
            parts = (sealed[at * SEALED_SIZE : (at + 1) * SEALED_SIZE] for at in range(1 + further))
            return generation, [Chain.open(part, key, _nonce(generation, at), head) for at, part in enumerate(parts)]
        except CryptoError:
            raise KeyStoreError(f"{path}: is damaged, or older than its wrapping key: {_anew(path)}") from None


def _state_size(chains: int) -> int:
    """Bytes of a state of so many chains."""
    return _HEAD.size + chains * SEALED_SIZE
