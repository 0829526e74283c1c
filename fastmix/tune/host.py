"""The machine's settings as files below a root directory, which is `/`, or a copy of it in a test."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from fastmix.errors import ConfigError

INTERFACES = "sys/class/net"
CPU_NAME = re.compile(r"cpu([0-9]+)")


@dataclass(frozen=True, slots=True)
class Host:
    """A machine. `only`: the network interfaces to look at; by default those with a device: neither loopback nor virtual ones."""

    root: Path = Path("/")
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = self._interface_names()
        for name in self.only:
            if name not in known:
                raise ConfigError(f"--interface {name}: there is none of that name here: known are {', '.join(known) or 'none'}")

    def read(self, name: str) -> str:
        """The text of a file below the root, without space around it. `OSError` where it cannot be read."""
        return (self.root / name).read_text().strip()

    def write(self, name: str, text: str) -> None:
        """Writes to a file that exists, in one call as the kernel wants it. `OSError` says what the kernel thinks of it."""
        fd = os.open(self.root / name, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def can_write(self, name: str) -> bool:
        """Whether root can write a file: some are read-only for everybody, on a read-only mount, or another namespace's."""
        path = self.root / name
        if not path.stat().st_mode & 0o222 or os.statvfs(path).f_flag & os.ST_RDONLY:
            return False
        return os.geteuid() != 0 or os.access(path, os.W_OK)

    def names(self, folder: str) -> list[str]:
        """What is in a directory, sorted; nothing where there is none."""
        try:
            return sorted(os.listdir(self.root / folder))
        except OSError:
            return []

    @property
    def interfaces(self) -> list[str]:
        """The network interfaces that profiles speak of."""
        if self.only:
            return list(self.only)
        return [name for name in self._interface_names() if (self.root / INTERFACES / name / "device").exists()]

    @property
    def cpus(self) -> list[int]:
        """The numbers of the CPUs that the machine has."""
        found = (CPU_NAME.fullmatch(name) for name in self.names("sys/devices/system/cpu"))
        return sorted(int(match[1]) for match in found if match)

    def _interface_names(self) -> list[str]:
        return [name for name in self.names(INTERFACES) if (self.root / INTERFACES / name).is_dir()]
