"""Where homes are, and the memory that a node's keys and replay sets get.

A home lies on a disk: the identity must outlive a boot. Keys of slots must not, so the state directory lies in a tmpfs: of root
in /run, of another user in /run/user/UID, which systemd makes for who is logged in and takes away with the last session, else in
/dev/shm.
"""

import os
import pwd
from collections.abc import Iterator, Mapping
from pathlib import Path

from fastmix.errors import ConfigError
from fastmix.files.private import check_private_directory, why_unwritable
from fastmix.files.temporary import SHARED_MEMORY
from fastmix.process.swap import TMPFS, mount_of

NODE = "node"
HOMES_MAX = 64
"""Nodes of one user that run at a time without anybody naming their homes."""
RUN = Path("/run")
ON_DISK = "state"
"""The state directory in a home, where there is no memory for it."""


def base(environ: Mapping[str, str], uid: int) -> Path:
    """The directory of a user's homes: `$XDG_DATA_HOME/fastmix`, root's else /var/lib/fastmix, others' in their home directory.
    `ConfigError` where there is none."""
    data = environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(data):
        return Path(data, "fastmix")
    if uid == 0:
        return Path("/var/lib/fastmix")
    home = environ.get("HOME", "")
    if not os.path.isabs(home):
        try:
            home = pwd.getpwuid(uid).pw_dir
        except KeyError:
            raise ConfigError(f"user {uid} has no home directory: name one for the node with --home") from None
    return Path(home, ".local", "share", "fastmix")


def homes(base_directory: Path) -> Iterator[Path]:
    """node, node-2, node-3 …"""
    yield base_directory / NODE
    for n in range(2, HOMES_MAX + 1):
        yield base_directory / f"{NODE}-{n}"


def make_home(home: Path) -> None:
    """Makes it, of this user alone. `ConfigError` where it cannot be made, or is another's, or others can write to it."""
    if problem := why_unwritable(home):
        raise ConfigError(f"{home}: cannot be the home of a node: {problem}, or name another directory")
    try:
        home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{home}: cannot be made: {error.strerror}: name another directory") from None
    check_private_directory(home)


def state_directory(home: Path, name: str, uid: int, *, allow_disk: bool) -> Path:
    """Where the state of a node with that home and that name will be. `allow_disk`: without memory for it, in the home.
    `ConfigError` where there is none."""
    places = memory_places(uid)
    for place in places:
        if why_unwritable(place) is None and mount_of(place)[0] in TMPFS:
            return place / name
    if allow_disk:
        return home / ON_DISK
    looked = " and ".join(map(str, places))
    raise ConfigError(
        f"keys that are over must not be on a disk, and {looked} cannot be used as memory (tmpfs, writable for user {uid}): "
        "mount a tmpfs at /dev/shm, or, for a try, add --allow-swap"
    )


def memory_places(uid: int) -> list[Path]:
    """Directories for state directories, the best first."""
    return [RUN / "fastmix" if uid == 0 else RUN / "user" / str(uid) / "fastmix", SHARED_MEMORY / f"fastmix-{uid}"]


def make_memory(state_dir: Path, uid: int) -> None:
    """Makes the directory above, which in /dev/shm anybody may have made before. `ConfigError` where somebody has."""
    if state_dir.parent not in memory_places(uid):
        return
    try:
        state_dir.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{state_dir.parent}: cannot be made: {error.strerror}: name another state_dir") from None
    if state_dir.parent.is_symlink():
        raise ConfigError(f"{state_dir.parent}: is a symbolic link, which could lead anywhere: remove it")
    check_private_directory(state_dir.parent)
