"""Which home a start takes. Its lock is held by the process that runs there, for its life, and by no child of it."""

import fcntl
import os
import socket
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastmix.control.ask import short_path
from fastmix.errors import ConfigError
from fastmix.files.private import open_private
from fastmix.home.places import HOMES_MAX, base, homes, make_home

LOCK, CONFIG = "home.lock", "node.toml"


@dataclass(frozen=True, slots=True)
class Taken:
    """A home, its lock's descriptor, and whether somebody has named it."""

    path: Path
    lock_fd: int
    is_named: bool

    @property
    def options(self) -> str:
        """What a command needs to find it again: `--home DIR`, or nothing."""
        from shlex import quote

        return f" --home {quote(str(self.path))}" if self.is_named else ""


def take_home(named: Path | None, environ: Mapping[str, str]) -> Taken:
    """The home that was named, or the first of this user's whose node does not run; made where there is none. `ConfigError` where
    its node runs, or where it cannot be had."""
    if named is not None:
        make_home(named)
        fd = take(named)
        if fd is None:
            raise ConfigError(f"{named}: the node with this home runs already: stop it, or name another directory")
        return Taken(named.absolute(), fd, True)
    directory = base(environ, os.geteuid())
    for home in homes(directory):
        make_home(home)
        fd = take(home)
        if fd is not None:
            return Taken(home, fd, False)
    raise ConfigError(f"{directory}: {HOMES_MAX} nodes run here already: name another directory with --home")


def take(home: Path) -> int | None:
    """The descriptor of its lock; None where its node runs, or is prepared by somebody else just now."""
    try:
        fd = open_private(home / LOCK, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise ConfigError(f"{home / LOCK}: cannot be opened: {error.strerror}: check its owner and mode") from None
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of the process: a forked data plane does not have it
    except OSError:
        os.close(fd)
        return None
    if _answers(home):
        os.close(fd)
        return None
    return fd


def state_dir_of(home: Path) -> Path | None:
    """The state directory that the configuration in a home names; None where there is none that can be read."""
    try:
        return home / str(tomllib.loads((home / CONFIG).read_text())["state_dir"])
    except (OSError, ValueError, KeyError):
        return None


def _answers(home: Path) -> bool:
    """Whether a node that was started with the file of this home listens there."""
    state_dir = state_dir_of(home)
    if state_dir is None:
        return False
    try:
        with socket.socket(socket.AF_UNIX) as sock, short_path(state_dir) as short:
            sock.connect(short)
    except OSError:
        return False
    return True
