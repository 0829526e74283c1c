"""Builds the C kernels of ext/ and the Cython modules over them.

A C file's suffix names its instruction set, and the instruction set names its compiler flags: `x25519_avx512ifma.c` is compiled
with `-mavx512ifma`, `x25519_portable.c` and `unwrap.c` with none. Metadata is in pyproject.toml.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

COMMON_FLAGS = ["-O3", "-g0", "-std=c11", "-fvisibility=hidden", "-fno-strict-aliasing"]
COMMON_FLAGS += ["-Wall", "-Wextra", "-Wno-unused-parameter"]
AVX2_FLAGS = ["-mavx2", "-mfma", "-mbmi2"]  # ext/cpu.c asks the CPU for exactly these
AVX512F_FLAGS = [*AVX2_FLAGS, "-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq"]
ISA_FLAGS = {
    "portable": [],
    "avx2": AVX2_FLAGS,
    "avx512f": AVX512F_FLAGS,
    "avx512ifma": [*AVX512F_FLAGS, "-mavx512ifma"],
}
DIRECTIVES = {"language_level": "3", "boundscheck": False, "wraparound": False, "embedsignature": True}
ROOT = Path(__file__).parent
IS_X86 = platform.machine() in ("x86_64", "AMD64")
N_JOBS = os.cpu_count() or 1


def isa_of(source: str) -> str:
    """The instruction set that a C file's name ends in; files without one are portable."""
    suffix = Path(source).stem.rpartition("_")[2]
    return suffix if suffix in ISA_FLAGS else "portable"


def found(folder: str, pattern: str) -> list[str]:
    """The files of a folder, relative to the project and sorted."""
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob(pattern))


def c_sources() -> list[str]:
    """All C files of ext/, without other machines' instruction sets."""
    return [name for name in found("ext", "*.c") if IS_X86 or isa_of(name) == "portable"]


def modules() -> list[Extension]:
    """One extension for each .pyx under fastmix/. A changed header or kernel builds them anew."""
    depends = found("ext", "*.h") + c_sources()
    return [
        Extension(
            source.removesuffix(".pyx").replace("/", "."),
            [source],
            include_dirs=["ext/include"],
            depends=depends,
            extra_link_args=["-lm"],  # exp and log of the delay
        )
        for source in found("fastmix", "*.pyx")
    ]


def flags_by_file(compiler: object) -> None:
    """Wraps the compiler's step for one object, so that each C file gets the flags of its suffix."""
    compile_one = compiler._compile  # type: ignore[attr-defined]

    def compile_with_flags(obj, src, ext, cc_args, extra_postargs, pp_opts):  # type: ignore[no-untyped-def]
        flags = COMMON_FLAGS + (ISA_FLAGS[isa_of(src)] if src.startswith("ext") else [])
        compile_one(obj, src, ext, cc_args, list(extra_postargs or []) + flags, pp_opts)

    compiler._compile = compile_with_flags  # type: ignore[attr-defined]


def require_compiler() -> None:
    """One sentence instead of a page of errors where the C compiler, the C library's or Python's headers are missing."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if shutil.which(command[0]):
        probe = [*command, "-fsyntax-only", "-I", sysconfig.get_path("include"), "-x", "c", "-"]
        if subprocess.run(probe, input=b"#include <Python.h>\n", stderr=subprocess.DEVNULL).returncode == 0:
            return
        missing = "the headers of C and Python"
    else:
        missing = f"a C compiler ({command[0]})"
    sys.exit(
        f"fastmix cannot be built without {missing}: on Debian and Ubuntu `apt install gcc libc6-dev python3-dev` brings what is "
        "needed, on Fedora `dnf install gcc python3-devel`."
    )


class BuildKernels(build_clib):
    """The static library of ext/."""

    def build_libraries(self, libraries: list) -> None:
        """Compiles ext/*.c, as many at a time as there are cores, each with the flags of its suffix."""
        require_compiler()
        flags_by_file(self.compiler)
        for name, info in libraries:
            with ThreadPoolExecutor(N_JOBS) as pool:
                objects = list(pool.map(lambda source, info=info: self.compile_one(source, info), info["sources"]))
            archive = Path(self.compiler.library_filename(name, output_dir=self.build_clib))
            archive.unlink(missing_ok=True)  # `ar` would keep the members of files that are gone
            self.compiler.create_static_lib(objects, name, output_dir=self.build_clib)

    def compile_one(self, source: str, info: dict) -> str:
        """The object of one C file, compiled if the file or any header is newer."""
        (made,) = self.compiler.object_filenames([source], output_dir=self.build_temp)
        inputs = [source, __file__, *found("ext", "*.h")]
        if self.force or not os.path.exists(made) or max(map(os.path.getmtime, inputs)) > os.path.getmtime(made):
            self.compiler.compile([source], output_dir=self.build_temp, include_dirs=info["include_dirs"])
        return made


class BuildModules(build_ext):
    """The Cython modules."""

    def build_extensions(self) -> None:
        """Translates what changed, then compiles all modules, as many at a time as there are cores."""
        from Cython.Build import cythonize

        require_compiler()
        made = {ext.name: ext for ext in cythonize(self.extensions, compiler_directives=DIRECTIVES, nthreads=N_JOBS, quiet=True)}
        for ext in self.extensions:
            ext.sources, ext.depends = made[ext.name].sources, made[ext.name].depends
        self.parallel = self.parallel or N_JOBS
        flags_by_file(self.compiler)
        super().build_extensions()


class BuildPython(build_py):
    """The Python files, and the profiles of tuning/, which an installed package holds as fastmix/profiles/."""

    def run(self) -> None:
        """Copies them. An editable install reads the profiles where they are."""
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib) / "fastmix" / "profiles"
            folder.mkdir(parents=True, exist_ok=True)
            for name in found("tuning", "*.toml"):
                self.copy_file(name, str(folder / Path(name).name))


setup(
    ext_modules=modules(),
    libraries=[("fastmix_kernels", {"sources": c_sources(), "include_dirs": ["ext/include"]})],
    cmdclass={"build_py": BuildPython, "build_clib": BuildKernels, "build_ext": BuildModules},
)
