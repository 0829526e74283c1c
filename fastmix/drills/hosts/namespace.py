"""A network namespace without a name: an open file keeps it, so it ends with the process, however that ends, and its last member.

Nothing of it is mounted or stored, and so nothing is left to be cleaned up. Namespaces belong to threads in Linux (setns(2)):
what has to be done inside one is done by a thread that lives for that only; the process itself never leaves its own.
"""

import ctypes
import errno
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from fastmix.errors import ConfigError, NetworkFailure

CLONE_NEWNET = 0x40000000
"""Of linux/sched.h."""
OWN = "/proc/thread-self/ns/net"
TOOLS = {"ip": "iproute2", "nsenter": "util-linux"}
"""Commands that are needed, and the packages that bring them."""
BY_USER = "unshare -Ur"
"""Before a command: who is not root is root there, where the kernel lets users be."""
_libc = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


class Namespace:
    """One network namespace, with `lo` and nothing else at first."""

    def __init__(self) -> None:
        """`ConfigError` where this process may make none, with the remedy."""
        self._fd = in_thread(_make)

    @property
    def path(self) -> str:
        """A file that stands for it, as long as this process lives."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    @property
    def inode(self) -> int:
        """By which the kernel tells it from all others."""
        return os.stat(self._fd).st_ino

    def within(self, work: Callable[[], T]) -> T:
        """What `work` returns, done inside, in a thread of its own. A socket that it opens stays inside for life."""

        def enter_and_work() -> T:
            if _libc.setns(self._fd, CLONE_NEWNET):
                raise NetworkFailure(f"a network namespace cannot be entered: {os.strerror(ctypes.get_errno())}")
            return work()

        return in_thread(enter_and_work)

    def words(self) -> list[str]:
        """What stands before a command that is to run inside: it keeps the process id, and so whatever was set for its parent's
        death."""
        return ["nsenter", f"--net={self.path}", "--"]

    def ip(self, lines: Iterable[str]) -> None:
        """Runs commands of `ip` inside, all by one process. `NetworkFailure` with its words for the first one that fails."""
        text = "\n".join(lines)
        done = subprocess.run([*self.words(), "ip", "-batch", "-"], input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NetworkFailure(f"a network between namespaces cannot be made: {' '.join(done.stderr.split())}")

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket inside."""
        return self.within(lambda: socket.socket(family, kind, protocol))

    def set(self, path: str, value: str) -> None:
        """Writes a setting of /proc/sys/net, that of the namespace. `NetworkFailure` where it may not be written."""
        try:
            self.within(lambda: Path("/proc/sys/net", path).write_text(value))
        except OSError as error:
            raise NetworkFailure(f"net.{path.replace('/', '.')} cannot be set in a namespace: {error.strerror}") from None

    def close(self) -> None:
        """The last use by this process; what runs inside keeps it until it ends."""
        os.close(self._fd)


def in_thread(work: Callable[[], T]) -> T:
    """What `work` returns, or raises, in a thread that ends with it."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _make() -> int:
    """A new namespace for this thread; the file that keeps it."""
    if _libc.unshare(CLONE_NEWNET):
        raise refusal(ctypes.get_errno())
    return os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)


def refusal(number: int) -> ConfigError:
    """Why there can be no namespace, and what helps."""
    if number == errno.EPERM:
        remedy = f"run the command as root, or with `{BY_USER}` before it where users may have namespaces of their own"
        return ConfigError(f"this user may make no network namespace: {remedy}; a container needs CAP_SYS_ADMIN")
    if number == errno.ENOSPC:
        return ConfigError("there are as many network namespaces as the kernel allows: raise user.max_net_namespaces")
    if number in (errno.EINVAL, errno.ENOSYS):
        return ConfigError("this kernel has no network namespaces (CONFIG_NET_NS): use another one")
    return ConfigError(f"no network namespace can be made: {os.strerror(number)}")


def check_possible() -> None:
    """`ConfigError` where namespaces are not possible here, or a command for them is missing, with the remedy."""
    import shutil

    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise ConfigError(f"the command `{tool}` is not there, which makes networks between namespaces: install {package}")
    Namespace().close()
