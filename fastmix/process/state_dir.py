"""The directory of a node's state: whether a node could have it, and how it takes it."""

import logging
import os
import stat
from pathlib import Path

from fastmix.config import MixnodeConfig
from fastmix.errors import ConfigError, ResourceExhausted
from fastmix.files.private import check_private_directory, lock, open_private, why_unwritable

log = logging.getLogger(__name__)
NODE_LOCK, DATA_LOCK = "node.lock", "lock"
"""Held by the parent and by the data plane for their lives: a state directory is one node's."""
OWN, PASSED = 0o700, 0o711
"""What a state directory may permit at most; PASSED: where `[access]` names others, who reach the control socket in it."""


def check_state_dir(state_dir: Path) -> None:
    """`ConfigError` where a node could not have it; changes nothing, and does not ask whether one has it now."""
    if problem := why_unwritable(state_dir):
        raise ConfigError(f"state_dir {state_dir}: {problem}, or name another directory")
    if state_dir.is_dir():
        check_private_directory(state_dir)
        for path in (state_dir / NODE_LOCK, state_dir / DATA_LOCK):
            if os.path.lexists(path):
                os.close(open_private(path, os.O_RDONLY))


def take_state_dir(config: MixnodeConfig) -> int:
    """Makes it, and takes it for the life of this process, which keeps the descriptor. What more of it is open to others than the
    configuration wants is closed. `ConfigError` where a node could not have it or another one has it, `ResourceExhausted` where
    the disk refuses."""
    state_dir = config.state_dir
    check_state_dir(state_dir)
    try:
        state_dir.mkdir(mode=OWN, parents=True, exist_ok=True)
        check_private_directory(state_dir)
        fd = open_private(state_dir / NODE_LOCK, os.O_RDWR | os.O_CREAT)
        if not lock(fd):
            raise ConfigError(f"state_dir {state_dir} is in use by another node: stop that one, or name another directory")
        _close_to_others(state_dir, PASSED if config.access.names_any else OWN)
    except OSError as error:
        raise ResourceExhausted(f"state_dir {state_dir}: {error.strerror}: name a directory that this user can write") from None
    return fd


def _close_to_others(state_dir: Path, most: int) -> None:
    mode = stat.S_IMODE(state_dir.stat().st_mode)
    if mode & ~most:
        state_dir.chmod(mode & most)
        log.warning("state_dir %s had mode %04o, which let others in: it has %04o now", state_dir, mode, mode & most)
