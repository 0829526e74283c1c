"""The C drivers, linked with the library of ext/ as setup.py builds it: the same files with the same flags."""

import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SOURCES = [HERE / name for name in ("subjects.c", "primitives.c", "packets.c")]


@pytest.fixture(scope="session")
def build_driver(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`build_driver("timed", "fm_delay_batch")`: the program of timed.c, which takes the named functions' calls itself."""
    folder = tmp_path_factory.mktemp("constant_time")
    setup = [sys.executable, "setup.py", "-q", "build_clib", "--build-clib", str(folder), "--build-temp", str(folder)]
    subprocess.run(setup, cwd=ROOT, check=True)
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    flags = ["-O2", "-g", "-std=c11", "-Wall", "-Wextra", "-Wno-unused-parameter", f"-I{ROOT}/ext", f"-I{ROOT}/ext/include"]

    def build(name: str, *taken: str) -> Path:
        inputs = [HERE / f"{name}.c", *SOURCES, folder / "libfastmix_kernels.a"]
        wraps = [f"-Wl,--wrap={function}" for function in taken]
        subprocess.run([*compiler, *flags, *wraps, *inputs, "-lm", "-o", folder / name], check=True)
        return folder / name

    return build
