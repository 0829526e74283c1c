"""`fastmix drill`: what an operator can have done to a node, before somebody else does it."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from fastmix.cli.output import print_json, print_table

if TYPE_CHECKING:
    from fastmix.drills.stage.report import Report


def list_(*, json: bool = False) -> None:
    """List the drills.

    Parameters
    ----------
    json
        Print one JSON object.
    """
    from fastmix.drills.stage.registry import drills

    found = {drill.name: drill.help for drill in drills().values()}
    if json:
        print_json(found)
    else:
        print_table(found.items(), wrap=True)


def run(
    name: str,
    /,
    *,
    short: bool = False,
    rounds: Annotated[int | None, Parameter(validator=Number(gte=1, lte=10_000_000))] = None,
    rate: Annotated[float | None, Parameter(validator=Number(gte=100, lte=1_000_000))] = None,
    seed: Annotated[int | None, Parameter(validator=Number(gte=0, lt=1 << 64))] = None,
    force: bool = False,
    json: bool = False,
) -> int:
    """Run a drill: a private network under load, the named thing done to it, and what was measured.

    The network is on loopback, in a directory of its own that goes with it. Exit code 0 only if the drill passed.

    Parameters
    ----------
    name
        A drill of `fastmix drill list`.
    short
        The form of a few seconds.
    rounds
        Repeat what the drill repeats so many times.
    rate
        Load in packets a second, instead of half of the capacity, which then is not measured.
    seed
        Makes what the drill draws repeatable; never keys, routes or shuffle.
    force
        Run even if a node runs on this machine.
    json
        Print one JSON object.
    """
    import os

    from fastmix.bench.progress import progress_bar
    from fastmix.drills.stage.alone import check_alone
    from fastmix.drills.stage.registry import drill_named
    from fastmix.drills.stage.report import Options

    drill = drill_named(name)
    if not force:
        check_alone()
    drawn = int.from_bytes(os.urandom(6), "little") if seed is None else seed
    with progress_bar(name, wait_s=0.0) as progress:
        report = drill.run(Options(short, rounds, rate, drawn, progress))
    if json:
        print_json(report.to_dict())
    else:
        print_report(report)
    return int(not report.passed)


def print_report(report: "Report") -> None:
    """For a person."""
    from fastmix.bench.machine import short_name

    load = report.load
    share = f", {load['share']:.0%} of the capacity of {load['capacity_per_s']:,}" if load["share"] else ""
    conditions = {
        "version": report.version,
        "machine": short_name(report.machine),
        "form": f"{report.form}; seed {report.seed}",
        "load": f"{load['per_s']:,} packets/s{share}; sent {load['sent_per_s']:,}",
        "mean delay": report.mean_delay,
        "graces": ", ".join(f"{name} {value}" for name, value in report.graces.items()),
    }
    figures = {key.replace("_", " "): figure_text(value) for key, value in report.figures.items()}
    print_table([*conditions.items(), *figures.items(), ("account", report.conservation["account"])])
    print()
    for check, holds in report.checks.items():
        print(f"{'yes' if holds else 'NO '}  {check}")
    void = f", after {report.void_runs} void runs" if report.void_runs else ""
    print(f"\n{report.name}: {'passed' if report.passed else 'FAILED'} in {report.seconds:.0f} s{void}")


def figure_text(value: object) -> object:
    """A figure for a person: `1,000`; `drop_mac 3, drop_replay 1`, or `none`."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {figure_text(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "; ".join(str(figure_text(one)) for one in value)
    return f"{value:,}" if isinstance(value, int) else value
