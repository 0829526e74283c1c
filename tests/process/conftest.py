"""What the tests of real processes share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from real_node import RealNode, Zygote, real_node


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """One a test process."""
    started = Zygote()
    yield started
    started.close()


@pytest.fixture
def start(zygote: Zygote, tmp_path: Path) -> Iterator[Callable[..., RealNode]]:
    """`start(**options)`: a real node that receives already."""
    with ExitStack() as stack:

        def started(**options: Any) -> RealNode:
            return stack.enter_context(real_node(tmp_path, zygote, **options))

        yield started
