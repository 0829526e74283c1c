"""Builds the C kernels of ext/ and the Cython modules over them.

A C file's suffix names its instruction set, and the instruction set names its compiler flags: `x25519_avx512ifma.c` is compiled with
`-mavx512ifma`, `x25519_portable.c` and `unwrap.c` with none. Metadata is in pyproject.toml.
"""

import os
import platform
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext

COMMON_FLAGS = ["-O3", "-g0", "-std=c11", "-fvisibility=hidden", "-fno-strict-aliasing", "-Wall", "-Wextra", "-Wno-unused-parameter"]
ISA_FLAGS = {
    "portable": [],
    "avx2": ["-mavx2"],
    "avx512f": ["-mavx2", "-mavx512f", "-mavx512vl"],
    "avx512ifma": ["-mavx2", "-mavx512f", "-mavx512vl", "-mavx512ifma"],
}
ROOT = Path(__file__).parent
IS_X86 = platform.machine() in ("x86_64", "AMD64")


def isa_of(source: str) -> str:
    """The instruction set that a C file's name ends in; files without one are portable."""
    suffix = Path(source).stem.rpartition("_")[2]
    return suffix if suffix in ISA_FLAGS else "portable"


def c_sources() -> list[str]:
    """All C files of ext/, without other machines' instruction sets, relative to the project."""
    files = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "ext").glob("*.c"))
    return [name for name in files if IS_X86 or isa_of(name) == "portable"]


def flags_by_file(compiler: object) -> None:
    """Wraps the compiler's step for one object, so that each C file gets the flags of its suffix."""
    compile_one = compiler._compile  # type: ignore[attr-defined]

    def compile_with_flags(obj, src, ext, cc_args, extra_postargs, pp_opts):  # type: ignore[no-untyped-def]
        flags = COMMON_FLAGS + (ISA_FLAGS[isa_of(src)] if src.startswith("ext") else [])
        compile_one(obj, src, ext, cc_args, list(extra_postargs or []) + flags, pp_opts)

    compiler._compile = compile_with_flags  # type: ignore[attr-defined]


def require_compiler() -> None:
    """One sentence instead of a page of errors where no C compiler is."""
    wanted = (os.environ.get("CC") or "cc").split()[0]
    if not any(shutil.which(name) for name in (wanted, "cc", "gcc", "clang")):
        sys.exit(
            "fastmix needs a C compiler to build and found none: install one first "
            "(Debian, Ubuntu: apt install gcc libc6-dev python3-dev; Fedora: dnf install gcc python3-devel)."
        )


class BuildKernels(build_clib):
    """The static library of ext/."""

    def build_libraries(self, libraries: list) -> None:
        """Compiles ext/*.c with the flags of each suffix."""
        require_compiler()
        flags_by_file(self.compiler)
        super().build_libraries(libraries)


class BuildModules(build_ext):
    """The Cython modules."""

    def build_extensions(self) -> None:
        """Builds all modules, two or more at a time."""
        require_compiler()
        self.parallel = self.parallel or os.cpu_count()
        flags_by_file(self.compiler)
        super().build_extensions()


def modules() -> list[Extension]:
    """One extension for each .pyx under fastmix/."""
    from Cython.Build import cythonize

    headers = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "ext" / "include").glob("*.h"))
    found = [
        Extension(
            path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."),
            [path.relative_to(ROOT).as_posix()],
            include_dirs=["ext/include"],
            depends=headers + c_sources(),
        )
        for path in sorted((ROOT / "fastmix").rglob("*.pyx"))
    ]
    directives = {"language_level": "3", "boundscheck": False, "wraparound": False, "embedsignature": True}
    return cythonize(found, compiler_directives=directives, nthreads=0, quiet=True)


setup(
    ext_modules=modules(),
    libraries=[("fastmix_kernels", {"sources": c_sources(), "include_dirs": ["ext/include"]})],
    cmdclass={"build_clib": BuildKernels, "build_ext": BuildModules},
)
