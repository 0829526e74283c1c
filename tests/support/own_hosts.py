"""Tests that need network namespaces: as root in this process, otherwise as root of a user namespace, in one of their own."""

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastmix.drills.hosts.namespace import BY_USER, Namespace
from fastmix.errors import ConfigError

NESTED = "FASTMIX_TESTS_NESTED"


def may_have_namespaces() -> bool:
    """Whether this process can make them."""
    try:
        Namespace().close()
    except ConfigError:
        return False
    return True


def on_own_hosts(test: Callable[..., None]) -> Callable[..., None]:
    """Runs a test where it can have namespaces; a container without that right has none of them, and nothing to be tested."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        if may_have_namespaces() or NESTED in os.environ:
            test(*arguments, **named)
            return
        node = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
        words = BY_USER.split()
        if subprocess.run([*words, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            words += [sys.executable, "-m", "pytest", "-n", "0", "-m", "long or not long", node]
            done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | {NESTED: "1"})
            assert done.returncode == 0, done.stdout

    return run


def users_of(inodes: set[int]) -> list[str]:
    """Who is in these namespaces or holds a file of one; and their places in the file system."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            links = [place / "ns" / "net", *place.glob("fd/*")]
        except OSError:  # gone meanwhile
            continue
        for link in links:
            try:
                if link.stat().st_ino in inodes and str(link.readlink()).startswith("net:"):
                    found.append(str(link))
            except OSError:
                continue
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return found + [line for line in mounts if any(f"net:[{inode}]" in line for inode in inodes)]


def namespaces_of(pids: set[int]) -> set[int]:
    """The network namespaces that these processes are in, but for this process's own."""
    found = set()
    for pid in pids:
        try:
            found.add(os.stat(f"/proc/{pid}/ns/net").st_ino)
        except OSError:
            continue
    return found - {os.stat("/proc/self/ns/net").st_ino}
