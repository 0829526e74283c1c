"""Temporary directories go with whoever made them, by whatever end."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastmix.errors import ResourceExhausted
from fastmix.files import temporary
from fastmix.files.temporary import FleetingDirectory

HOLDER = """
from fastmix.files.temporary import FleetingDirectory
with FleetingDirectory("fastmix-bench-", 1 << 20) as path:
    (path / "secret").write_bytes(bytes(32))
    print(path, flush=True)
    input()
"""


def test_it_is_private_and_goes_at_the_end() -> None:
    with FleetingDirectory("fastmix-test-", 1 << 20) as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        (path / "secret").touch()
    assert not path.exists()
    with pytest.raises(ZeroDivisionError), FleetingDirectory("fastmix-test-", 1 << 20) as path:
        raise ZeroDivisionError
    assert not path.exists()


def test_it_goes_with_a_holder_that_is_killed() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    with holder:
        assert holder.stdout is not None
        path = Path(holder.stdout.readline().decode().strip())
        assert (path / "secret").exists()
        holder.kill()
    give_up = time.monotonic() + 20
    while path.exists():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_place_without_room_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "SHARED_MEMORY", tmp_path / "absent")
    monkeypatch.setattr(temporary.tempfile, "tempdir", str(tmp_path))
    with FleetingDirectory("fastmix-test-", 1 << 10) as path:
        assert path.parent == tmp_path
    with (
        pytest.raises(ResourceExhausted, match="set TMPDIR to a directory with room"),
        FleetingDirectory("fastmix-test-", 1 << 62),
    ):
        pass
    assert not list(tmp_path.iterdir())
