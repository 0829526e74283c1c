"""The record of what `fastmix tune apply` has changed: the values that were there before, for `revert`.

JSON, mode 0600: {"format": 1, "boot_id": ..., "profile": ..., "changes": [{"setting", "place", "old", "new"}, ...]}. Kernel
settings do not outlive a boot, so a record of another boot says nothing any more.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastmix.errors import ConfigError, FastmixError
from fastmix.files.durable import sync_directory, write_durably
from fastmix.files.private import lock, open_private
from fastmix.tune.host import Host
from fastmix.tune.settings import setting_named

FORMAT = 1
PLACE = re.compile(r"(?!\.)[\w.@:-]{0,32}")
"""A CPU or an interface: never a way out of a directory."""
BOOT_ID = "proc/sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class Change:
    """One value that was written, and the one it replaced."""

    setting: str
    place: str
    old: str
    new: str

    @property
    def name(self) -> str:
        """Setting and place."""
        return f"{self.place} {self.setting}".strip()


@dataclass(frozen=True, slots=True)
class Record:
    """All changes since the last revert, in the order in which they were made."""

    boot_id: str
    profile: str
    changes: tuple[Change, ...]


def boot_id(host: Host) -> str:
    """The number of this boot; empty where the kernel tells none."""
    try:
        return host.read(BOOT_ID)
    except OSError:
        return ""


def load_record(path: Path) -> Record | None:
    """The record; None where there is none. `ConfigError` where it is broken or another's file."""
    if not os.path.lexists(path):
        return None
    try:
        with os.fdopen(open_private(path, os.O_RDONLY)) as file:
            return _checked(json.load(file))
    except OSError as error:
        raise ConfigError(f"{path}: the record cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, ConfigError) as error:
        if isinstance(error, ConfigError) and str(error).startswith(str(path)):
            raise
        raise ConfigError(
            f"{path}: is not a record of `fastmix tune apply` ({error}): nothing was changed. Restore the file, or remove it and "
            "set the old values by hand, or by a reboot"
        ) from None


def save_record(path: Path, record: Record) -> None:
    """Writes it whole, mode 0600. `ConfigError` where it cannot be written."""
    text = json.dumps({"format": FORMAT, **asdict(record)}, indent=1)
    try:
        write_durably(path, text.encode() + b"\n")
    except OSError as error:
        raise ConfigError(f"{path}: the record of old values cannot be written: {error.strerror or error}") from None


def remove_record(path: Path) -> None:
    """For good, also after a power cut."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


@contextmanager
def sole_use(path: Path) -> Iterator[None]:
    """Nobody else changes this record meanwhile; its directory is made where it is missing."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{path}: its directory cannot be used: {error.strerror or error}: name another with --state") from None
    try:
        if not lock(fd):
            raise FastmixError(f"another `fastmix tune` is at work with {path}: let it end first")
        yield
    finally:
        os.close(fd)


def _checked(told: dict[str, Any]) -> Record:
    if told["format"] != FORMAT:
        raise ValueError(f"its format is {told['format']!r}, not {FORMAT}")
    changes = tuple(Change(**one) for one in told["changes"])
    for change in changes:
        if not all(isinstance(value, str) for value in asdict(change).values()):
            raise ValueError("a value is not a text")
        if not PLACE.fullmatch(change.place):
            raise ValueError(f"{change.place!r} is no place")
        setting_named(change.setting)
    if not all(isinstance(told[name], str) for name in ("boot_id", "profile")):
        raise ValueError("boot_id or profile is not a text")
    return Record(told["boot_id"], told["profile"], changes)
