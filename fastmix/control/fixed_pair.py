"""The pair of a key without an end: a fixed network's, whose key is a file. Made when the key is used for the first time.

The key outlives reboots, so its replay set has to: beside the secret a marker says, for each key, the id of the set that it has
been used with. Without that set the key is not used again. A kill -9 of everything keeps the set; a power cut may forget the
packets of the last half minute, which the kernel had not written yet.
"""

import os
from pathlib import Path

import numpy as np

from fastmix.errors import ConfigError, CryptoError, ResourceExhausted
from fastmix.files.durable import write_durably
from fastmix.files.private import open_private
from fastmix.seam.layout import FIXED_SLOT
from fastmix.seam.pair import (
    ID_SIZE,
    Pair,
    PairName,
    capacity_of,
    create_pair,
    fixed_id,
    known_secret,
    open_pair,
    pair_path,
    pair_size,
)

REMEDY = (
    "make a new key with `fastmix keys new` and put its public key into the network file of all nodes, "
    "or restore the state_dir together with this file"
)


def fixed_name(public: bytes) -> PairName:
    """Whose pair it is."""
    return PairName(fixed_id(public), FIXED_SLOT, public)


def marker_of(secret_file: Path) -> Path:
    """The marker beside a secret: a line for each of its keys, the name of the key's pair and the id of its replay set."""
    return secret_file.with_name(f"{secret_file.name}.replay")


def misfit(path: Path, capacity: int) -> tuple[str, str] | None:
    """Problem and remedy where that file was made for another capacity; None where it fits, or is not to be seen."""
    old = capacity_of(path)
    if old is None or path.stat().st_size == pair_size(capacity):
        return None
    return (
        f"replay_capacity {capacity} does not fit {path}, which was made for {old}",
        f"write replay_capacity = {old} into the node's configuration, which lies over any profile, or give the node a new key",
    )


def check_fit(path: Path, capacity: int) -> None:
    """`ConfigError` where that file was made for another capacity."""
    if problem := misfit(path, capacity):
        raise ConfigError(": ".join(problem))


def prepare_fixed_pair(state_dir: Path, secret: bytes, public: bytes, capacity: int, marker: Path) -> bytes:
    """Makes the pair of a key, or finds it; its id.

    Raises `CryptoError` where the key has been used with a set that is not there, `ResourceExhausted` where the file system
    has no room, `ConfigError` where the file is not one of this capacity or not private.
    """
    path = pair_path(state_dir, fixed_id(public))
    known = read_marker(marker)
    if not path.exists() and path.name not in known:
        pair = create_pair(state_dir, fixed_name(public), capacity, known_secret(secret))
    else:
        pair = _find(path, capacity, secret, public, marker)
    _mark(path, marker, known, pair.set_id.hex())
    return fixed_id(public)


def _find(path: Path, capacity: int, secret: bytes, public: bytes, marker: Path) -> Pair:
    try:
        pair = open_pair(path)
    except (FileNotFoundError, CryptoError):
        raise lost(path, marker) from None
    if pair.public != public or not np.array_equal(pair.secret, np.frombuffer(secret, np.uint8)):
        raise lost(path, marker)
    check_fit(path, capacity)
    return pair


def read_marker(marker: Path) -> dict[str, str]:
    """Name of a pair -> id of its replay set. `CryptoError` where the marker is damaged."""
    try:
        fd = open_private(marker, os.O_RDONLY)
    except FileNotFoundError:
        return {}
    with os.fdopen(fd, "rb") as file:
        words = [line.split() for line in file.read().decode("latin-1").splitlines()]
    if not words or any(len(pair) != 2 or len(pair[1]) != 2 * ID_SIZE for pair in words):
        raise CryptoError(f"{marker}: is damaged, so it is unknown which packets this key has had: {REMEDY}")
    return dict(words)


def lost(path: Path, marker: Path) -> CryptoError:
    """Packets recorded before would be let in again."""
    return CryptoError(f"{path}: the replay set of a key that is in use ({marker}) is missing or another one: {REMEDY}")


def _mark(path: Path, marker: Path, known: dict[str, str], found: str) -> None:
    """The set is durable already: from now on the key is not used without it."""
    if known.get(path.name) == found:
        return
    if path.name in known:
        raise lost(path, marker)
    text = "".join(f"{name} {id_}\n" for name, id_ in (known | {path.name: found}).items())
    try:
        write_durably(marker, text.encode())
    except OSError as error:
        raise ResourceExhausted(
            f"{marker}: cannot be written ({error.strerror}): put the secret_file into a directory that this user can write"
        ) from None
