"""Arrows point down: which part of fastmix may import which other part."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EVERYTHING = frozenset({"*"})
MAY_IMPORT: dict[str, frozenset[str]] = {
    "packet": frozenset(),
    "errors": frozenset(),
    "status": frozenset(),
    "files": frozenset({"errors"}),
    "profile": frozenset({"files", "errors"}),
    "config": frozenset({"keys", "profile", "files", "packet", "errors"}),
    "reference": frozenset({"packet"}),
    "kernels": frozenset({"packet"}),
    "sphinx": frozenset({"kernels", "packet"}),
    "network": frozenset({"networkfile", "files", "packet", "errors"}),
    "network_of": frozenset({"config", "keys", "network", "files", "packet"}),
    "networkfile": frozenset({"network", "files", "packet", "errors"}),
    "keys": frozenset({"kernels", "packet", "files", "errors"}),
    "directory": frozenset({"keys", "network", "files", "packet", "errors"}),
    "peers": frozenset({"tls", "directory", "links", "network", "keys", "files", "packet", "errors"}),
    "tls": frozenset({"directory", "keys", "files", "packet", "errors"}),
    "links": frozenset({"keys", "kernels", "packet", "network", "files", "errors"}),
    "mixing": frozenset({"packet", "errors"}),
    "seam": frozenset({"status", "files", "packet", "errors"}),
    "dataplane": frozenset({"keys", "kernels", "mixing", "seam", "files", "packet", "errors"}),
    "udp": frozenset({"seam", "files", "packet", "errors"}),
    "control": frozenset(
        {
            "sphinx",
            "peers",
            "tls",
            "directory",
            "descriptor",
            "keys",
            "seam",
            "links",
            "network",
            "packet",
            "config",
            "status",
            "files",
            "errors",
        }
    ),
    "descriptor": frozenset({"keys", "files", "errors"}),
    "client": frozenset(
        {"peers", "tls", "directory", "keys", "descriptor", "sphinx", "links", "network", "packet", "files", "errors", "udp"}
    ),
    "tune": frozenset(
        {"bench", "kernels", "sphinx", "udp", "seam", "profile", "config", "network", "network_of", "files", "packet", "errors"}
    ),
    "process": EVERYTHING,
    "node": frozenset({"keys", "process", "control", "network", "network_of", "config", "status", "errors", "mixing"}),
    "home": frozenset({"process", "control", "plan", "tls", "directory", "config", "keys", "seam", "files", "errors"}),
    "plan": frozenset({"keys", "network", "files", "packet"}),
    "testing": EVERYTHING,
    "cli": EVERYTHING,
    "demo": EVERYTHING,
    "bench": EVERYTHING,
    "drills": EVERYTHING,
    "__main__": EVERYTHING,
    "__init__": EVERYTHING,
}
"""Part of fastmix: the parts that it may import, besides itself. ARCHITECTURE.md says why."""

FILES = sorted(path for suffix in ("*.py", "*.pyx") for path in (ROOT / "fastmix").rglob(suffix))
PYX_IMPORT = re.compile(r"^\s*(?:from\s+(fastmix[\w.]*)\s+c?import\s+([\w, ]+)|c?import\s+(fastmix[\w.]*))", re.MULTILINE)


def part_of(dotted: str) -> str:
    """`packet` of `fastmix.packet.geometry`; `__init__` of `fastmix` itself."""
    return [*dotted.split("."), "__init__"][1]


def is_part(name: str) -> bool:
    return (ROOT / "fastmix" / name).is_dir() or (ROOT / "fastmix" / f"{name}.py").is_file()


def parts_named(module: str, names: list[str]) -> set[str]:
    """The parts that `from module import names` touches."""
    if module == "fastmix":
        return {name if is_part(name) else "__init__" for name in names}
    return {part_of(module)} if module.startswith("fastmix.") else set()


def imports_of(path: Path) -> set[str]:
    """The parts of fastmix that a file names in any import, also inside functions."""
    text = path.read_text()
    if path.suffix == ".pyx":
        found = [(first or plain, names.split(", ")) for first, names, plain in PYX_IMPORT.findall(text)]
        return set().union(*(parts_named(module, names) for module, names in found))
    imported: set[str] = set()
    for item in ast.walk(ast.parse(text)):
        if isinstance(item, ast.Import):
            imported |= {part_of(alias.name) for alias in item.names if alias.name.split(".")[0] == "fastmix"}
        elif isinstance(item, ast.ImportFrom):
            assert item.level == 0, f"{path}: relative imports hide the layer; write fastmix.…"
            imported |= parts_named(item.module or "", [alias.name for alias in item.names])
    return imported


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_down(path: Path) -> None:
    part = path.relative_to(ROOT / "fastmix").parts[0].removesuffix(".py").removesuffix(".pyx")
    assert part in MAY_IMPORT, f"fastmix/{part} has no layer yet: give it a line in MAY_IMPORT"
    allowed = MAY_IMPORT[part]
    wrong = imports_of(path) - {part} - allowed if "*" not in allowed else set()
    assert not wrong, f"{part} must not import {', '.join(sorted(wrong))}"


def test_the_two_planes_never_meet() -> None:
    assert not MAY_IMPORT["control"] & {"dataplane", "udp", "kernels", "mixing"}
    assert not MAY_IMPORT["dataplane"] & {"control", "udp", "links"}


def test_the_data_plane_knows_slots_and_no_keys() -> None:
    text = "".join(path.read_text() for path in FILES if "dataplane" in path.parts)
    assert set(re.findall(r"fastmix\.keys[\w.]*", text)) <= {"fastmix.keys.slots"}
    assert imports_of(ROOT / "fastmix" / "keys" / "__init__.py") == set()
    assert imports_of(ROOT / "fastmix" / "keys" / "slots.py") <= {"errors", "files"}


def test_the_walk_sees_imports_in_functions_and_in_cython(tmp_path: Path) -> None:
    python = tmp_path / "a.py"
    python.write_text("def f():\n    from fastmix.kernels.isa import active\nimport fastmix.udp\nfrom fastmix import errors")
    cython = tmp_path / "a.pyx"
    cython.write_text("from fastmix.kernels.isa import active\nfrom fastmix cimport errors\ncimport numpy\n")
    assert imports_of(python) == {"kernels", "udp", "errors"}
    assert imports_of(cython) == {"kernels", "errors"}
