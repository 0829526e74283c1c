"""The fixture `compare`, the path to tests/support, and the lines that end a run."""

import sys
from pathlib import Path

import pytest
from measure import BATCH, LINES, ROUNDS, Compare, quietest
from pytest_benchmark.fixture import BenchmarkFixture

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))


@pytest.fixture
def compare(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Compare:
    """Records rates and ratio of two ways to handle BATCH packets."""

    def measure(batched, single):  # type: ignore[no-untyped-def]
        ours, theirs = quietest(batched, single)
        info = {"fastmix_per_core_s": BATCH / ours, "one_at_a_time_per_core_s": BATCH / theirs, "ratio": theirs / ours}
        benchmark.extra_info.update(info)
        benchmark.pedantic(batched, rounds=ROUNDS)
        LINES.append(f"{request.node.name}: {BATCH / ours:,.0f} against {BATCH / theirs:,.0f}, {theirs / ours:.2f} times")

    return measure


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The machine, the method and the rates, as text; `--benchmark-json=FILE` writes them with all rounds."""
    from cpuinfo import get_cpu_info

    from fastmix.kernels.isa import active

    cpu = get_cpu_info()
    machine = f"{cpu.get('brand_raw', 'unknown CPU')}, Python {cpu['python_version']}, kernels {active().name}"
    method = f"batches of {BATCH}, quietest of {ROUNDS} rounds in turns, CPU time of one process"
    terminalreporter.section("stages, and packets per core-second: fastmix against one at a time")
    for line in (machine, method, *LINES):
        terminalreporter.write_line(line)
