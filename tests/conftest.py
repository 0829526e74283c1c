"""What all tests share: the path to tests/support and the published vectors."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS / "support"))
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it, and so would all children


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What could not be tried."""
    if os.geteuid():
        terminalreporter.write_line("not root: `fastmix tune` changed the settings of a made-up host only")


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Any]:
    """`vectors("wycheproof/x25519_test.json")`: the parsed file of tests/vectors; text where it is not JSON."""

    def load(name: str) -> Any:
        text = (TESTS / "vectors" / name).read_text()
        return json.loads(text) if name.endswith(".json") else text

    return load
