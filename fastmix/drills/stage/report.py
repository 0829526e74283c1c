"""What a drill is asked for, and what it answers."""

import random
from dataclasses import dataclass, field
from typing import Any

from fastmix.bench.progress import Progress, silent

Figures = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """`rounds`: of whatever the drill repeats; None: as many as its form has. `rate`: packets a second instead of half of the
    capacity, which then is not measured. `seed`: of what is drawn; keys, shuffle and routes are never seeded."""

    short: bool = False
    rounds: int | None = None
    rate: float | None = None
    seed: int = 0
    progress: Progress = silent

    def random(self) -> random.Random:
        """A generator that this seed begins."""
        return random.Random(self.seed)

    def count(self, full: int, short: int) -> int:
        """How many rounds."""
        return self.rounds or (short if self.short else full)

    @property
    def form(self) -> str:
        """For the report: `full`, `short`, with the rounds where they are given."""
        form = "short" if self.short else "full"
        return f"{form}, {self.rounds} rounds" if self.rounds else form


@dataclass(frozen=True)
class Outcome:
    """What one performance has come to. `checks`: what has to hold, in words, and whether it does."""

    figures: Figures
    checks: dict[str, bool]


@dataclass(frozen=True)
class Report:
    """What a drill found. `load`, `mean_delay`, `graces` and `form` say under which conditions, `machine` on which CPU, with how
    many cores and which versions; `seconds` how long it took."""

    name: str
    passed: bool
    figures: Figures
    conservation: dict[str, Any]
    checks: dict[str, bool] = field(default_factory=dict)
    load: dict[str, Any] = field(default_factory=dict)
    mean_delay: str = ""
    graces: dict[str, str] = field(default_factory=dict)
    void_runs: int = 0
    form: str = ""
    seed: int = 0
    seconds: float = 0.0
    version: str = ""
    machine: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "name": self.name, "passed": self.passed, "figures": self.figures, "conservation": self.conservation,
            "checks": self.checks, "load": self.load, "mean_delay": self.mean_delay, "graces": self.graces,
            "void_runs": self.void_runs, "form": self.form, "seed": self.seed, "seconds": round(self.seconds, 1),
            "version": self.version, "machine": self.machine,
        }  # fmt: skip
