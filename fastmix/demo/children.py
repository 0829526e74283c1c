"""The demo's processes: started so that none outlives the demo, and ended together with their own children."""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastmix.errors import NetworkFailure
from fastmix.seam.lifeline import PR_SET_PDEATHSIG

LINE_MAX = 1 << 24
"""Bytes of the longest line that a process may say."""
_prctl = ctypes.CDLL(None).prctl


def _die_with_parent() -> None:
    """Runs in the child before it becomes another program."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Child:
    """One Python process in a session of its own, with its log in a file. Ctrl-C at the terminal does not reach it."""

    def __init__(self, name: str, module: str, arguments: Sequence[str], log: Path, *, talks: bool = False) -> None:
        """`talks`: JSON lines on standard input and output."""
        self.name, self._log = name, log
        self._lines: asyncio.StreamReader | None = None
        self._pipe: asyncio.ReadTransport | None = None
        pipe = subprocess.PIPE if talks else subprocess.DEVNULL
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *arguments],
                stdin=pipe,
                stdout=pipe,
                stderr=errors,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def tell(self, value: object) -> None:
        """Writes one line; a process that is gone is noticed elsewhere."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(value).encode() + b"\n")
            self.process.stdin.flush()

    async def hear(self) -> dict[str, Any]:
        """The next line; `NetworkFailure` where the process has ended."""
        if self._lines is None:
            self._lines = asyncio.StreamReader(limit=LINE_MAX)
            reader = self._lines
            loop = asyncio.get_running_loop()
            self._pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), self.process.stdout)
        line = await self._lines.readline()
        if not line:
            await self.ended(5.0)
            raise self.failure("ended before its work was done")
        said: dict[str, Any] = json.loads(line)
        return said

    async def ended(self, patience: float) -> int | None:
        """Waits so many seconds for the end; the exit code, or None."""
        end = asyncio.get_running_loop().time() + patience
        while self.process.poll() is None and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)
        return self.process.returncode

    def check(self) -> None:
        """`NetworkFailure` where the process has ended."""
        if self.process.poll() is not None:
            raise self.failure("ended before its work was done")

    def failure(self, what: str) -> NetworkFailure:
        """The error of this process, with the last words of its log."""
        code = self.process.poll()
        how = "" if code is None else f" ({signal.Signals(-code).name if code < 0 else f'code {code}'})"
        words = self._log.read_text(errors="replace").strip().splitlines()[-1:] if self._log.exists() else []
        return NetworkFailure(f"{self.name} {what}{how}" + "".join(f": {word}" for word in words))

    def kill(self) -> None:
        """Ends the process and its children at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        heard = self.process.stdout if self._lines is None else self._pipe  # a loop that was interrupted in between closes it
        for pipe in (self.process.stdin, heard):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
