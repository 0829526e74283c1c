"""`fastmix drill run memory-search`, its short form, and the search itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastmix.drills import memory_search
from fastmix.drills.stage.report import Options
from fastmix.drills.stage.searched import CHUNK, Found, Masked, core_limits, search
from fastmix.errors import ConfigError

HOLDER = """
import mmap, sys
area = mmap.mmap(-1, 1 << 16)
if sys.argv[1] == "kept":
    area.madvise(mmap.MADV_DONTDUMP)
for at, byte in enumerate(sys.stdin.buffer.read(24)):
    area[40000 + at] = byte ^ 0x55
print("ready", flush=True)
sys.stdin.buffer.read()
"""
"""Holds what it is told, but for a mask, in memory that core files have, or not."""


def test_nothing_is_found_after_the_end(options: Options) -> None:
    report = memory_search.run(options)
    figures = json.loads(json.dumps(report.to_dict()))["figures"]
    assert report.passed, report
    assert figures["found_alive_in_processes"] >= 1
    assert figures["found_alive_in_files"] >= 1
    assert [figures[name] for name in figures if name.startswith("found_after")] == [0, 0, 0]
    assert figures["looked_after_s"] >= 1
    assert figures["searched_mb"] > 50


def found_in(pids: list[int], directory: Path, secret: bytes) -> Found:
    found = Found()
    for _ in search(pids, directory, Masked(bytearray(secret)), found):
        pass
    return found


@pytest.mark.parametrize("kept", ["kept", "plain"])
def test_the_search_finds_what_is_there(kept: str, tmp_path: Path) -> None:
    secret = os.urandom(24)
    with subprocess.Popen([sys.executable, "-c", HOLDER, kept], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin
        assert holder.stdout
        holder.stdin.write(bytes(byte ^ 0x55 for byte in secret))
        holder.stdin.flush()
        assert holder.stdout.readline() == b"ready\n"
        found = found_in([holder.pid], tmp_path, secret)
        assert found.memory == [holder.pid]
        assert not found_in([holder.pid], tmp_path, os.urandom(24)).memory
        assert found.core == ([] if kept == "kept" else [holder.pid])
        assert found_in([], tmp_path, secret).searched == 0


def test_files_are_searched_across_pieces(tmp_path: Path) -> None:
    secret = os.urandom(24)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log").write_bytes(bytes(CHUNK - 7) + secret + bytes(100))
    (tmp_path / "end").write_bytes(bytes(2 * CHUNK - 24) + secret)
    (tmp_path / "other").write_bytes(bytes(CHUNK) + secret[:-1])
    found = found_in([], tmp_path, secret)
    assert found.files == ["log", "end"]
    assert not found.memory


def test_masks_are_wiped() -> None:
    given = bytearray(b"0123456789")
    masked = Masked(given)
    assert given == bytes(10)
    with masked.bare() as needle:
        assert needle == b"0123456789"
    assert needle == bytes(10)
    assert b"0123456789" not in repr(vars(masked)).encode()


def test_who_may_leave_a_core_file() -> None:
    script = "import resource, sys; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as limited:
        assert limited.stdout
        limited.stdout.readline()
        assert core_limits([limited.pid, 0]) == []


def test_without_the_right_to_look_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(ConfigError, match="run it as root"):
        found_in([os.getpid()], tmp_path, bytes(range(24)))
