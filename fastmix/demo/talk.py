"""How the demo's helpers talk with it: one JSON object a line, on standard input and output."""

import asyncio
import json
import sys
from typing import Any

LINE_MAX = 1 << 24


async def standard_input() -> asyncio.StreamReader:
    """Standard input as a stream."""
    reader = asyncio.StreamReader(limit=LINE_MAX)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def hear(lines: asyncio.StreamReader) -> dict[str, Any]:
    """The next line; `EOFError` where the demo is gone."""
    line = await lines.readline()
    if not line:
        raise EOFError
    said: dict[str, Any] = json.loads(line)
    return said


def say(value: object) -> None:
    """Writes one line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
