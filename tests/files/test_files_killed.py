"""Files that are written whole: what a killed writer leaves is taken away, what a living one writes is not."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fastmix.files.durable import neighbour_of, sweep, write_durably
from fastmix.files.held import HeldFile

WRITER = """
import os, signal, sys
from pathlib import Path
from fastmix.files.durable import write_durably
from fastmix.files.held import HeldFile
how, path, dies = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "dies"
sync, link = os.fsync, os.link
def stop(*_):
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)
    print("here", flush=True)
    sys.stdin.readline()
def synced(fd):
    sync(fd)
    os.fsync = sync
    stop()
def linked(old, new):
    link(old, new)
    os.link = link
    stop()
if how == "linked":
    os.link = linked
else:
    os.fsync = synced
if how == "held":
    HeldFile(path, b"theirs").close()
else:
    write_durably(path, b"theirs", replace=how == "replaced")
"""
WAYS = ["replaced", "new", "linked", "held"]


def writer(how: str, path: Path, end: str) -> subprocess.Popen[str]:
    """A process that stops, or dies, when it has written the neighbour (`linked`: when that has got its name, too)."""
    environment, pipe = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, subprocess.PIPE
    command = [sys.executable, "-c", WRITER, how, str(path), end]
    return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path.parent))


@pytest.mark.parametrize("mine", ["durable", "held"])
@pytest.mark.parametrize("how", WAYS)
def test_what_a_killed_writer_leaves_is_taken_away(tmp_path: Path, how: str, mine: str) -> None:
    path = tmp_path / "file"
    with writer(how, path, "dies") as process:
        assert process.wait(60) == -signal.SIGKILL
    assert f".file.{process.pid}.new" in names(path)
    if mine == "durable":
        write_durably(path, b"mine")
    else:
        HeldFile(path, b"mine").close()
    assert names(path) == ["file"]
    assert path.read_bytes() == (b"theirs" if how == "linked" and mine == "held" else b"mine")


@pytest.mark.parametrize("how", ["replaced", "held"])
def test_what_a_living_writer_has_begun_stays(tmp_path: Path, how: str) -> None:
    path = tmp_path / "file"
    process = writer(how, path, "lives")
    assert process.stdout
    assert process.stdout.readline() == "here\n"
    write_durably(path, b"mine")
    assert names(path) == [f".file.{process.pid}.new", "file"]
    process.communicate("go\n", timeout=60)
    assert process.returncode == 0
    assert (names(path), path.read_bytes()) == (["file"], b"theirs" if how == "replaced" else b"mine")


def test_one_that_is_swept_before_it_is_locked_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, lock = tmp_path / "file", fcntl.flock

    def late(fd: int, how: int) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(fcntl, "flock", lock)
            sweep(path)
        monkeypatch.setattr(fcntl, "flock", lock)
        lock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    write_durably(path, b"mine")
    assert (names(path), path.read_bytes()) == (["file"], b"mine")


def test_other_files_stay(tmp_path: Path) -> None:
    path = tmp_path / "file"
    others = [".file.x.new", ".other.1.new", ".file.1.old", "file.1.new", ".file.b.1.new", ".file..new"]
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / ".file.2.new").mkdir()
    (tmp_path / ".file.3.new").symlink_to(".file.x.new")
    write_durably(path, b"mine")
    assert names(path) == sorted([*others, ".file.2.new", ".file.3.new", "file"])
    assert not neighbour_of(path).exists()
