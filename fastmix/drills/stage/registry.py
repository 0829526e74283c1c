"""The drills that there are: every module of the folder above."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastmix.drills.stage.report import Options, Report
from fastmix.errors import ConfigError

FOLDER = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Drill:
    """One of them."""

    name: str
    help: str
    run: Callable[[Options], Report]


def drills() -> dict[str, Drill]:
    """All, by name."""
    files = sorted(path.stem for path in FOLDER.glob("*.py") if path.name != "__init__.py")
    modules = [importlib.import_module(f"fastmix.drills.{stem}") for stem in files]
    return {module.NAME: Drill(module.NAME, module.HELP, module.run) for module in modules}


def drill_named(name: str) -> Drill:
    """`ConfigError` where there is none of that name."""
    found = drills()
    if name not in found:
        raise ConfigError(f"there is no drill {name!r}: use one of {', '.join(found)}")
    return found[name]
