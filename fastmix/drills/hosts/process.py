"""Processes on hosts: started there, with a log in a file, and gone with the drill, however it ends."""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastmix.bench.under_test import signals_held
from fastmix.drills.hosts.lan import Host
from fastmix.errors import NetworkFailure
from fastmix.seam.lifeline import PR_SET_PDEATHSIG

_prctl = ctypes.CDLL(None).prctl
PIECE = 1 << 16


def start(host: Host, module: str, arguments: Sequence[str], log: Path, *, talks: bool = False) -> subprocess.Popen[bytes]:
    """A Python module as a process on a host, in a session of its own; its standard output is a pipe, its input too if it
    `talks`."""
    words = host.words(sys.executable, "-P", "-m", module, *arguments)
    with signals_held() as mask, log.open("ab") as errors:

        def prepare() -> None:
            _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

        return subprocess.Popen(
            words, stdin=subprocess.PIPE if talks else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            start_new_session=True, preexec_fn=prepare,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )  # fmt: skip


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to it and all of its session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()


class Talking:
    """A process that says JSON lines, and is told some."""

    def __init__(self, name: str, host: Host, module: str, log: Path) -> None:
        self.name, self.host, self._log = name, host, log
        self.process = start(host, module, [], log, talks=True)
        self._said = b""

    def tell(self, value: object) -> None:
        """One line; who is gone is noticed by `heard`."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(value).encode() + b"\n")
            self.process.stdin.flush()

    def fileno(self) -> int:
        """Readable when there is something to hear."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def heard(self) -> list[dict[str, Any]]:
        """All whole lines that are there now. `NetworkFailure` where the process has ended."""
        while select.select([self], [], [], 0)[0]:
            piece = os.read(self.fileno(), PIECE)
            if not piece:
                raise self.failure()
            self._said += piece
        *lines, self._said = self._said.split(b"\n")
        return [json.loads(line) for line in lines]

    def failure(self) -> NetworkFailure:
        """The error of a process that has ended, with the last words of its log."""
        words = self._log.read_text(errors="replace").strip().splitlines()[-1:]
        return NetworkFailure(f"{self.name} ended before its work was done" + "".join(f": {word}" for word in words))
