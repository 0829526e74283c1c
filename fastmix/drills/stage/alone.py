"""A drill takes the machine's cores and disturbs whoever measures or works there: it begins only where no node runs."""

import os
from pathlib import Path

from fastmix.errors import ConfigError

PROC = Path("/proc")
MODULES = (b"fastmix.control", b"fastmix.process")
"""What a node executes itself as, however it was started."""


def nodes_running(proc: Path = PROC) -> list[int]:
    """Processes of nodes that run on this machine, as far as this user may see them."""
    found = []
    for entry in proc.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            except OSError:  # gone meanwhile
                continue
            if is_node(words):
                found.append(int(entry.name))
    return sorted(found)


def is_node(words: list[bytes]) -> bool:
    """Whether a command line is that of a node: `fastmix run`, or one of its own modules."""
    for at, word in enumerate(words[:-1]):
        if word == b"-m" and words[at + 1] in MODULES:
            return True
        by_name = word.rpartition(b"/")[2] == b"fastmix" and (at == 0 or words[at - 1] == b"-m" or b"python" in words[0])
        if by_name and words[at + 1] == b"run":
            return True
    return False


def check_alone() -> None:
    """`ConfigError` where a node runs."""
    if found := nodes_running():
        raise ConfigError(
            f"a node runs on this machine (process {found[0]}), and a drill would take its cores: stop it, drill another "
            "machine, or say --force"
        )
