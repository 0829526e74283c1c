"""`fastmix bench`: what this machine makes of the kernels, and of a whole node."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastmix.cli.bench_options import LoadedNodeOptions, NodeOptions, ReportOptions
from fastmix.cli.output import print_json

if TYPE_CHECKING:
    from fastmix.bench.node import Request
    from fastmix.bench.progress import Progress


NODE, LOADED_NODE, REPORT = NodeOptions(), LoadedNodeOptions(), ReportOptions()
"""Nothing said."""


def kernels(*, isa: str | None = None, report: ReportOptions = REPORT, quick: bool = False) -> None:
    """Cycles a packet of every stage, and of libsodium one packet at a time on the same core in the same run.

    Parameters
    ----------
    isa
        Kernels to measure: portable, avx2, avx512f, avx512ifma, or all. By default those that a node would use.
    quick
        A second instead of a quarter of a minute, and less sure.
    """
    from fastmix.bench.kernels import bench_kernels
    from fastmix.bench.kernels_report import kernels_page, print_kernels

    measure("kernels", lambda tell: bench_kernels(isa, quick=quick, progress=tell), (kernels_page, print_kernels), report)


def node(*, options: LoadedNodeOptions = LOADED_NODE, report: ReportOptions = REPORT, quick: bool = False) -> None:
    """One node between a load of 64 links and 20 next hops: capacity, latency by rate, stages, twice too much.

    Parameters
    ----------
    quick
        Shorter runs, and less sure.
    """
    use_kernels_of(options.profile)
    from fastmix.bench.node import bench_node
    from fastmix.bench.node_report import html_page, print_result

    request = request_of(options, options.traffic)
    measure("node", lambda tell: bench_node(request, quick=quick, progress=tell), (html_page, print_result), report)


def table(*, report: ReportOptions = REPORT, quick: bool = False) -> None:
    """The throughput table: single thread, multi-threaded and optimized, both geometries, plain traffic and trains.

    Takes eight minutes. `python -m fastmix.bench.readme DIRECTORY` writes README's table from its JSON.

    Parameters
    ----------
    quick
        Shorter runs, and less sure.
    """
    from fastmix.bench.node_report import html_page, print_result
    from fastmix.bench.table import bench_table

    measure("table", lambda tell: bench_table(quick=quick, progress=tell), (html_page, print_result), report)


def latency(*, options: LoadedNodeOptions = LOADED_NODE, report: ReportOptions = REPORT, quick: bool = False) -> None:
    """What a node adds at zero mixing delay: at 70 % of its capacity, and at 50,000 packets a second if it carries 70,000.

    Parameters
    ----------
    quick
        Shorter and fewer runs.
    """
    use_kernels_of(options.profile)
    from fastmix.bench.latency import bench_latency
    from fastmix.bench.node_report import html_page, print_result

    request = request_of(options, options.traffic)
    measure("latency", lambda tell: bench_latency(request, quick=quick, progress=tell), (html_page, print_result), report)


def memory(*, options: NodeOptions = NODE, report: ReportOptions = REPORT) -> None:
    """What a node's processes hold while 10,000 messages wait in its pool."""
    use_kernels_of(options.profile)
    from fastmix.bench.memory import bench_memory
    from fastmix.bench.node_report import html_page, print_result

    request = request_of(options)
    measure("memory", lambda tell: bench_memory(request, progress=tell), (html_page, print_result), report)


def use_kernels_of(profile: str | None) -> None:
    """Those that the profile names, for the node and for what is measured alone. Before anything imports the kernels."""
    from fastmix.process.environment import use_kernels
    from fastmix.profile import load_profile

    if profile:
        use_kernels(str(load_profile(profile).node.get("isa", "auto")))


def request_of(options: NodeOptions, traffic: str = "plain") -> "Request":
    """What is to be measured."""
    from fastmix.bench.node import Request
    from fastmix.bench.under_test import Settings

    request = Request(Settings(options.geometry, options.workers, options.io, options.profile), traffic)
    request.check()
    return request


def measure(
    title: str,
    bench: "Callable[[Progress], dict[str, Any]]",
    reports: tuple[Callable[[dict[str, Any]], str], Callable[[dict[str, Any]], None]],
    report: ReportOptions,
) -> None:
    """Measures with a progress bar, then writes the HTML of the first of the reports and prints the second."""
    from fastmix.bench.progress import progress_bar
    from fastmix.files.written import check_place, write_text

    check_place("--html", report.html)
    with progress_bar(title) as progress:
        result = bench(progress)
    if report.html:
        write_text("--html", report.html, reports[0](result))
    if report.json:
        print_json(result)
    else:
        reports[1](result)
