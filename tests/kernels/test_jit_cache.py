"""The JIT cache of a user who can write neither beside the source nor at home."""

import os
import stat
import subprocess
import sys
from pathlib import Path

from fastmix.kernels import jit

PROGRAM = "import os; from fastmix.dataplane import warming; warming.warm(); print(os.environ.get('NUMBA_CACHE_DIR', ''))"


def test_a_user_without_a_place(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(jit.tempfile, "tempdir", None)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(jit, "writable", lambda _directory: False)
    jit.choose_cache()
    place = Path(os.environ["NUMBA_CACHE_DIR"])
    assert place.parent == tmp_path
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    place.chmod(0o777)
    assert Path(jit.private_cache()) != place, "cached code that others could have written is not used"


def test_kernels_compile_into_the_place_that_is_named(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / "cache")), done.stderr
    assert list((tmp_path / "cache").rglob("*.nbc"))


def test_the_nearest_directory_that_exists_decides(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(jit.os, "access", lambda path, _mode: path != tmp_path)
    assert not jit.writable(tmp_path / "not" / "yet")
    (tmp_path / "not").mkdir()
    assert jit.writable(tmp_path / "not" / "yet")
