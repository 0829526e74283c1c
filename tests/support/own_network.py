"""Runs commands in a network namespace of their own, where settings are safe to change: `python own_network.py < steps.json`.

A step is {"run": [...], "answer": text or null}, {"write": [path, text]}, {"read": path} or {"mode": path};
answered by a list of results. Without the right to a namespace (only root has it, and not in every container) the answer is null.
"""

import ctypes
import json
import os
import pty
import stat
import sys
import tempfile
from pathlib import Path

import fastmix.cli.app
import fastmix.cli.tune  # noqa: F401  imported once, for all forks
from fastmix.cli.main import main

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
MS_PRIVATE_ALL = 1 << 18 | 1 << 14


def enter() -> bool:
    """New namespaces for this process and its children, with the /sys of the new network."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() or libc.unshare(CLONE_NEWNS | CLONE_NEWNET):  # even in a user namespace only real root may write to /sys
        return False
    if all(libc.mount(b"none", mounted, None, MS_PRIVATE_ALL, None) for mounted in (b"/", b"/sys")):  # a chroot's / is no mount
        return False
    return libc.mount(b"none", b"/sys", b"sysfs", 0, None) == 0


def run(words: list[str], answer: str | None) -> list[object]:
    """[exit code, stdout, stderr] of a command of fastmix, in a fork of this process; `answer` is typed at a terminal."""
    keyboard, terminal = pty.openpty()
    nothing = os.open(os.devnull, os.O_RDONLY)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        if answer is not None:
            os.write(keyboard, answer.encode())
        pid = os.fork()
        if pid == 0:
            for fd, number in ((nothing if answer is None else terminal, 0), (out.fileno(), 1), (err.fileno(), 2)):
                os.dup2(fd, number)
            code = main(words)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        for fd in (keyboard, terminal, nothing):
            os.close(fd)
        out.seek(0)
        err.seek(0)
        return [code, out.read(), err.read()]


def step(one: dict) -> object:
    if "run" in one:
        return run(one["run"], one.get("answer"))
    if "write" in one:
        path, text = one["write"]
        Path(path).write_text(text)
        return None
    if "mode" in one:
        return stat.S_IMODE(os.stat(one["mode"]).st_mode)
    return Path(one["read"]).read_text().strip()


if __name__ == "__main__":
    steps = json.load(sys.stdin)
    print(json.dumps([step(one) for one in steps] if enter() else None))
