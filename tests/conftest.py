"""What all tests share: the path to tests/support and the published vectors."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS / "support"))
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it, and so would all children


def pytest_configure(config: pytest.Config) -> None:
    """Hundreds of processes start here. Where nothing may be compiled into the source tree, each would compile all that it
    imports again: then pytest's own cache has it once for all."""
    if os.environ.get("PYTHONDONTWRITEBYTECODE") and hasattr(config, "cache"):
        sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(config.cache.mkdir("bytecode"))
        sys.dont_write_bytecode = False
        del os.environ["PYTHONDONTWRITEBYTECODE"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Tests of processes mostly wait, for one another, for disks, for slots of seconds: more of them at once than cores."""
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None
    return len(os.sched_getaffinity(0)) + 2


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What could not be tried."""
    if os.geteuid():
        terminalreporter.write_line("not root: `fastmix tune` changed the settings of a made-up host only")


LONG_FIRST = ("demo/", "drills/", "process/", "test_node.py", "peer/", "test_readme.py", "bench/", "cli/", "network/", "keys/")
"""Where the longest tests are: begun first, so that at the end no process of pytest-xdist waits long for the others."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first; else in the order of the files."""
    ranks = {name: rank for rank, name in enumerate(LONG_FIRST)}

    def rank(item: pytest.Item) -> int:
        name = item.path.relative_to(TESTS).as_posix() if item.path.is_relative_to(TESTS) else ""
        return next((ranks[first] for first in LONG_FIRST if name.startswith(first)), len(ranks))

    items.sort(key=rank)


def fsync_at_once(fd: int) -> None:
    """`os.fsync` without the disk."""
    os.fstat(fd)


@pytest.fixture(scope="session", autouse=True)
def _no_disk_is_waited_for() -> Iterator[None]:
    """No test cuts the power, and thousands of files that are written durably would wait 10 ms each. So it is in the processes of
    pytest only, not in those that they start, and not in tests/files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync_at_once)
        yield


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Any]:
    """`vectors("wycheproof/x25519_test.json")`: the parsed file of tests/vectors; text where it is not JSON."""

    def load(name: str) -> Any:
        text = (TESTS / "vectors" / name).read_text()
        return json.loads(text) if name.endswith(".json") else text

    return load
