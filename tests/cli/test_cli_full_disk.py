"""Files that do not fit: the kernel's limit of a file's size stands for a disk without room, and nothing of them stays."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOM = 20
"""Bytes of a file that still fit: fewer than any file here has."""


def full(*words: object) -> str:
    """What a command says that ends with code 2 because a file does not fit. Python must not cache what it compiles: it would
    leave the first bytes for everybody."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "fastmix", *map(str, words)], capture_output=True, text=True, timeout=120, env=environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, resource.RLIM_INFINITY)),
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done
    return done.stderr


def test_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    for _ in range(2):  # the first try does not block the second
        told = full("keys", "new", path)
        assert told.startswith(f"fastmix: {path}: cannot write the secret file: File too large; make room on that disk")
        assert not list(tmp_path.iterdir())


def test_a_network(tmp_path: Path) -> None:
    told = full("network", "new", tmp_path / "net")
    assert told.startswith(f"fastmix: no network was made: {tmp_path / 'net'}: cannot be written: File too large; make room")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "words"), [("--html", ["bench", "kernels", "--quick"]), ("--write", ["tune", "auto"])])
def test_a_report(tmp_path: Path, name: str, words: list[str]) -> None:
    path = tmp_path / "report.toml"
    told = full(*words, name, path)
    assert told.startswith(f"fastmix: {name} {path}: cannot be written: File too large; make room there")
    assert not list(tmp_path.iterdir())
