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


@pytest.fixture
def planned(zygote: Zygote, tmp_path: Path) -> RealNode:
    """A node that nobody has started."""
    return RealNode(tmp_path, zygote)


@pytest.fixture
def pooled_node(start: Callable[..., RealNode]) -> Callable[..., RealNode]:
    """`pooled_node()`: a node with packets that wait."""

    def pooled(n: int = 100, mean_delay_ns: int = 300_000_000) -> RealNode:
        node = start(mean_delay_ns=mean_delay_ns)
        node.send(n)
        node.settle(n)
        return node

    return pooled
