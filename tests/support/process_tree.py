"""Who a process has started."""

from pathlib import Path


def descendants(pid: int) -> set[int]:
    """Children and theirs."""
    try:
        own = {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except OSError:
        return set()
    return own.union(*map(descendants, own))


def command_of(pid: int) -> bytes:
    """Of a process; empty where it is gone, or nobody has asked yet how it ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
