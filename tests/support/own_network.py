"""Runs commands in a network namespace of their own, where settings are safe to change: `python own_network.py < steps.json`.

A step is {"run": [...], "answer": text or null}, {"write": [path, text]} or {"read": path}; answered by a list of results.
Without the right to a namespace (a container may not give it) the answer is null.
"""

import ctypes
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
MS_PRIVATE_ALL = 1 << 18 | 1 << 14


def enter() -> bool:
    """New namespaces for this process and its children, with the /sys of the new network."""
    libc = ctypes.CDLL(None, use_errno=True)
    user = os.geteuid()
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET | (CLONE_NEWUSER if user else 0)):
        return False
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    if libc.mount(b"none", b"/", None, MS_PRIVATE_ALL, None):
        return False
    return libc.mount(b"none", b"/sys", b"sysfs", 0, None) == 0


def run(words: list[str], answer: str | None) -> list[object]:
    """[exit code, stdout, stderr]; `answer` is typed at a terminal."""
    if answer is None:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    else:
        keyboard, terminal = pty.openpty()
        os.write(keyboard, answer.encode())
        done = subprocess.run(words, stdin=terminal, capture_output=True, text=True)
        os.close(keyboard)
        os.close(terminal)
    return [done.returncode, done.stdout, done.stderr]


def step(one: dict) -> object:
    if "run" in one:
        return run(one["run"], one.get("answer"))
    if "write" in one:
        path, text = one["write"]
        Path(path).write_text(text)
        return None
    return Path(one["read"]).read_text().strip()


if __name__ == "__main__":
    steps = json.load(sys.stdin)
    print(json.dumps([step(one) for one in steps] if enter() else None))
