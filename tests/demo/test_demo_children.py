"""A process of the demo that ends while the demo begins to hear it."""

import asyncio
from pathlib import Path

import pytest

from fastmix.demo.children import Child


@pytest.mark.parametrize("turns", range(5))
async def test_a_process_that_is_killed_while_its_pipe_is_connected(tmp_path: Path, turns: int) -> None:
    """After whatever turn of the loop: nobody touches a pipe that is closed already."""
    loop, problems = asyncio.get_running_loop(), list[str]()
    loop.set_exception_handler(lambda _, context: problems.append(str(context)))
    child = Child("listener", "asyncio", [], tmp_path / "log", talks=True)
    hearing = asyncio.ensure_future(child.hear())
    for _ in range(turns):
        await asyncio.sleep(0)
    hearing.cancel()
    child.kill()
    await asyncio.gather(hearing, return_exceptions=True)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not problems
