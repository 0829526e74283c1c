"""What tests of drills share: a small load, for other tests run beside them."""

import pytest

from fastmix.bench import cores, under_test
from fastmix.drills.stage.report import Options


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Options:
    """The short form under a load that a busy machine carries."""
    monkeypatch.setattr(cores, "PRIORITY", 0)
    monkeypatch.setattr(under_test, "PRIORITY", 0)
    return Options(short=True, rate=1_000, seed=5)
