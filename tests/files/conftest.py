"""What tests of files share: the disk itself."""

import os
import posix

import pytest


@pytest.fixture(autouse=True)
def _the_disk_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", posix.fsync)
