"""Building from source: what is in the archive, what a machine without a compiler is told, what an import costs."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LEFT_OUT = shutil.ignore_patterns(".venv", ".git", ".*_cache", ".hypothesis", "build", "dist", "__pycache__", "*.so", "*.egg-*")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project without build results, as it would be checked out."""
    shutil.copytree(ROOT, tmp_path / "copy", ignore=LEFT_OUT)
    for path in (tmp_path / "copy" / "fastmix").rglob("*.c"):
        path.unlink()
    return tmp_path / "copy"


def run(copy: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python setup.py WORDS` in the copy."""
    variables = {name: value for name, value in os.environ.items() if name != "CC"} | environment
    return subprocess.run([sys.executable, "setup.py", "-q", *words], cwd=copy, env=variables, capture_output=True, text=True)


@pytest.mark.parametrize("command", ["build_clib", "build_ext"])
def test_without_a_compiler_one_sentence_says_what_to_install(copy: Path, command: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run(copy, command, PATH=str(tmp_path / "empty"))
    assert done.returncode == 1
    assert re.fullmatch(r"fastmix cannot be built without a C compiler \(\S+\): on Debian .* gcc .*\.\n", done.stderr)


def test_without_headers_one_sentence_says_what_to_install(copy: Path) -> None:
    done = run(copy, "build_ext", CC=f"{shutil.which('cc')} -nostdinc")
    assert done.returncode == 1
    assert re.fullmatch(r"fastmix cannot be built without the headers of C and Python: .*python3-dev.*\.\n", done.stderr)


def test_the_source_archive_holds_every_file(copy: Path) -> None:
    done = run(copy, "sdist")
    assert done.returncode == 0, done.stderr
    (archive,) = (copy / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as content:
        packed = {name.partition("/")[2] for name in content.getnames()}
    results = ("build/", "dist/", "fastmix.egg-info/")
    wanted = {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()}
    missing = {name for name in wanted if not name.startswith(results)} - packed - {".gitignore"}
    assert not missing, f"MANIFEST.in leaves out {sorted(missing)}"


def modules_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has imported after some code."""
    text = f"import sys\n{code}\nprint(*sorted(sys.modules), sep='\\n', file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines())


def test_the_packet_library_does_not_import_numba() -> None:
    assert not {"numba", "llvmlite", "pydantic", "uvloop"} & modules_after("import fastmix.sphinx")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"], ["demo", "--help"]], ids=" ".join)
def test_help_does_not_import_numba(words: list[str]) -> None:
    code = f"from fastmix.cli.main import main\nassert main({words}) == 0"
    assert not {"numba", "llvmlite"} & modules_after(code)
