"""The form of the code: sizes, docstrings, names, places on the road."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GENERATED = re.compile(r"/(?:\.(?!ci/)[^/]+|build|dist|__pycache__|[^/]+\.egg-info)/|^/fastmix/.*\.c$")
LINES_MAX = {".py": 400, ".pyx": 400, ".pyi": 400, ".pxd": 400, ".c": 600, ".h": 600, ".sh": 400}
FUNCTION_MAX = 70
WIDTH_MAX = 130
TEXT = {".md", ".toml", ".in", ".json", ".txt", "", *LINES_MAX}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def files(folder: str = ".") -> list[Path]:
    """The project's own files under a folder: no build results, no translated Cython."""
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix in TEXT)
    return sorted(path for path in found if not GENERATED.search("/" + name_of(path)))


def code(folder: str = ".") -> list[Path]:
    return [path for path in files(folder) if path.suffix in LINES_MAX]


def python_functions(text: str) -> Iterator[tuple[str, int]]:
    """(name, lines) of each function of a Python file, without decorators."""
    for item in ast.walk(ast.parse(text)):
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            yield item.name, (item.end_lineno or item.lineno) - item.lineno + 1


def c_functions(text: str) -> Iterator[tuple[str, int]]:
    """(name, lines) of each C function: from its brace to the brace that closes it in the first column."""
    lines = text.splitlines()
    for end, line in enumerate(lines):
        if line != "}":
            continue
        start = next(i for i in range(end - 1, -1, -1) if lines[i] and not lines[i][0].isspace() and lines[i][0] not in "#/}")
        yield lines[start], end - start + 1


def cython_functions(text: str) -> Iterator[tuple[str, int]]:
    """(name, lines) of each function of a Cython file, by indentation."""
    lines = text.splitlines()
    for start, line in enumerate(lines):
        if not re.match(r"\s*(?:def|cpdef|cdef)\b[^=]*\(", line) or re.match(r"\s*cdef\s+(?:extern|class)\b", line):
            continue
        indent = len(line) - len(line.lstrip())
        end = last = start
        while end + 1 < len(lines):
            end += 1
            text_of = lines[end]
            if text_of.strip() and len(text_of) - len(text_of.lstrip()) <= indent and not text_of.lstrip().startswith(")"):
                break
            last = end if text_of.strip() else last
        yield line.strip(), last - start + 1


CYTHON_PUBLIC = r"^(?: {4})?(?:cdef class|class|def|cpdef)\b[^(\n:]*?\b([A-Za-z]\w*)"
FUNCTIONS = {".py": python_functions, ".pyx": cython_functions, ".c": c_functions, ".h": c_functions}


@pytest.mark.parametrize("path", code(), ids=name_of)
def test_sizes(path: Path) -> None:
    text = path.read_text()
    lines = text.splitlines()
    assert len(lines) <= LINES_MAX[path.suffix], f"{name_of(path)} has {len(lines)} lines, at most {LINES_MAX[path.suffix]}"
    wide = [i for i, line in enumerate(lines, 1) if len(line) > WIDTH_MAX]
    assert not wide, f"{name_of(path)}: lines wider than {WIDTH_MAX}: {wide}"
    long = [f"{name}: {n}" for name, n in FUNCTIONS.get(path.suffix, lambda _: ())(text) if n > FUNCTION_MAX]
    assert not long, f"{name_of(path)}: functions of more than {FUNCTION_MAX} lines: {long}"


@pytest.mark.parametrize("path", [path for path in code("fastmix") if path.suffix in (".py", ".pyx")], ids=name_of)
def test_docstrings(path: Path) -> None:
    """Modules, public classes and functions say what they are. (ruff asks the same of Python files; here Cython is held too.)"""
    text = path.read_text()
    if path.suffix != ".pyx":
        assert ast.get_docstring(ast.parse(text)), f"{name_of(path)} has no docstring"
        return
    head = "\n".join(line for line in text.splitlines() if not line.startswith("#")).lstrip()
    assert head.startswith('"""'), f"{name_of(path)} has no docstring"
    defined = re.finditer(CYTHON_PUBLIC + r"\s*(?:\([^)]*\))?[^:\n]*:\n\s*(\S+)", text, re.MULTILINE)
    bare = [name for name, first in (match.groups() for match in defined) if not first.startswith(('"""', 'r"""'))]
    assert not bare, f"{name_of(path)}: without docstring: {bare}"


@pytest.mark.parametrize("path", [*code("fastmix/kernels"), *code("fastmix/dataplane")], ids=name_of)
def test_place_on_the_road(path: Path) -> None:
    if path.suffix in (".py", ".pyx") and path.name != "__init__.py":
        told = re.search(r"\bRoad: .*\*\*here\*\*", path.read_text(), re.MULTILINE)
        assert told, f"{name_of(path)} does not say its place on the road: a line `Road: … → **here** → …`"


@pytest.mark.parametrize("path", [path for path in code("fastmix") if path.suffix == ".pyx"], ids=name_of)
def test_typed_face_of_cython(path: Path) -> None:
    """Each Cython module has a .pyi, and both name the same public things."""
    face = path.with_suffix(".pyi")
    assert face.exists(), f"{name_of(face)} is missing"
    public = set(re.findall(CYTHON_PUBLIC.replace("(?: {4})?", ""), path.read_text(), re.MULTILINE))
    typed = {item.name for item in ast.parse(face.read_text()).body if isinstance(item, ast.FunctionDef | ast.ClassDef)}
    assert public == typed, f"{name_of(path)} and its .pyi differ in {sorted(public ^ typed)}"


@pytest.mark.parametrize("path", [path for path in code("fastmix") if path.suffix == ".py"], ids=name_of)
def test_names(path: Path) -> None:
    """Names say what a thing is; none is called after its being a thing."""
    defined = {
        item.name
        for item in ast.walk(ast.parse(path.read_text()))
        if isinstance(item, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    vague = {name for name in defined if re.search(r"Manager|Handler|Utils?\b|Helper|^process_data|^do_", name)}
    assert not vague, f"{name_of(path)}: {sorted(vague)}"


def test_public_names_work() -> None:
    import fastmix

    for name in getattr(fastmix, "__all__", ()):
        assert getattr(fastmix, name).__doc__ or name.startswith("__"), f"fastmix.{name} has no docstring"


@pytest.mark.parametrize("path", [path for path in files() if "vectors" not in path.parts], ids=name_of)
def test_nothing_is_left_over(path: Path) -> None:
    """No note to oneself, no skipped test, no path of the machine on which a line was written."""
    words = ["TO" + "DO", "FIX" + "ME", "pytest." + "skip", "mark." + "skip", "import" + "orskip", "x" + "fail", "../" + "shared"]
    text = path.read_text()
    found = [word for word in words if word in text] + re.findall(r"(?<![\w.*])/(?:work|home|root)/\S*", text)
    assert not found, f"{name_of(path)}: {found}"
