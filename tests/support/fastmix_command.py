"""`fastmix …` in a process of its own at the price of a fork: one process has imported what most commands need, and forks each.

For tests of what a command says and does. What the start of Python itself is part of (imports, closed output, Ctrl-C while it
starts) is tested with `python -m fastmix`. Run as a program it serves: reads one JSON line a command from standard input,
`{"words": [...], "cwd": ..., "environment": {...}, "out": path, "err": path, "seconds": ...}`, and answers with its exit code.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

USED_BY_MANY = (
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "cryptography.hazmat.primitives.asymmetric.x25519",
    "cryptography.hazmat.primitives.kdf.argon2",
    "fastmix.cli.app",
    "fastmix.cli.doctor",
    "fastmix.cli.keys_node",
    "fastmix.cli.keys_store",
    "fastmix.cli.network",
    "fastmix.cli.run",
    "fastmix.cli.status",
    "fastmix.cli.tune",
    "fastmix.config",
    "fastmix.network",
    "fastmix.profile",
    "fastmix.tune.check",
    "numpy",
    "rich",
)
"""Nothing of these chooses kernels: the environment of each command may name others."""


class Commands:
    """The process that forks."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, bufsize=1
        )
        atexit.register(self.close)

    def ask(self, **request: Any) -> int:
        """Runs one command; its exit code, negative where a signal ended it."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        return int(json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        """Ends it."""
        self.process.communicate()


commands = cache(Commands)
"""One a test process."""


def fastmix(*words: object, cwd: Path | None = None, seconds: int = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `fastmix WORDS` says, without a terminal and with nothing to read; after so many seconds it is ended by SIGALRM.
    `environment` lies over that of the tests."""
    given = [str(word) for word in words]
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        place = {"cwd": str(cwd or Path.cwd()), "out": str(out), "err": str(err)}
        code = commands().ask(words=given, environment=os.environ | environment, seconds=seconds, **place)
        return subprocess.CompletedProcess(["fastmix", *given], code, out.read_text(), err.read_text())


def run(request: dict[str, Any]) -> NoReturn:
    """The forked process."""
    from fastmix.cli.main import main

    code = 1
    try:
        os.setsid()
        signal.alarm(request["seconds"])
        for fd, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), fd)
        os.closerange(3, 64)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv = ["fastmix", *request["words"]]
        code = main(request["words"])
        sys.stdout.flush()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        atexit._run_exitfuncs()
        os._exit(code)


def serve() -> None:
    """Until standard input ends."""
    import importlib

    from fastmix.kernels.isa import active

    asked, answer = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in USED_BY_MANY:
        importlib.import_module(name)
    assert not active.cache_info().currsize, "a module that is imported here has chosen the kernels"
    for line in asked:
        child = os.fork()
        if child == 0:
            run(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answer, flush=True)


if __name__ == "__main__":
    serve()
