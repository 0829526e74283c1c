"""Tests that need network namespaces: as root in this process, otherwise as root of a user namespace, in one of their own."""

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from fastmix.drills.hosts.namespace import BY_USER, check_possible
from fastmix.errors import ConfigError


def may_have_namespaces() -> bool:
    """Whether this process can make them."""
    try:
        check_possible()
    except ConfigError:
        return False
    return True


def on_own_hosts(test: Callable[..., None]) -> Callable[..., None]:
    """Runs a test where it can have namespaces; a container without that right has none of them, and nothing to be tested."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        if may_have_namespaces():
            test(*arguments, **named)
            return
        node = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
        words = BY_USER.split()
        if subprocess.run([*words, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            words += [sys.executable, "-m", "pytest", "-n", "0", node]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout

    return run
