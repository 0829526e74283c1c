"""`fastmix bench`: what this machine makes of the kernels, and of a whole node."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastmix.cli.output import print_json

if TYPE_CHECKING:
    from fastmix.bench.node import Request
    from fastmix.bench.progress import Progress


def kernels(*, isa: str | None = None, json: bool = False, html: Path | None = None, quick: bool = False) -> None:
    """Cycles a packet of every stage, and of libsodium one packet at a time on the same core in the same run.

    Parameters
    ----------
    isa
        Kernels to measure: portable, avx2, avx512f, avx512ifma, or all. By default those that a node would use.
    json
        Print one JSON object and nothing else.
    html
        Write a report with plots into this file.
    quick
        A second instead of a quarter of a minute, and less sure.
    """
    from fastmix.bench.kernels import bench_kernels
    from fastmix.bench.kernels_report import kernels_page, print_kernels

    measure("kernels", lambda tell: bench_kernels(isa, quick=quick, progress=tell), (kernels_page, print_kernels), html, json)


def node(
    *,
    geometry: str = "wan",
    traffic: str = "plain",
    workers: int | None = None,
    io: str | None = None,
    profile: str | None = None,
    json: bool = False,
    html: Path | None = None,
    quick: bool = False,
) -> None:
    """One node between a load of 64 links and 20 next hops: capacity, latency by rate, stages, twice too much.

    Parameters
    ----------
    geometry
        Packet sizes: wan or jumbo.
    traffic
        How packets come: plain (each by itself) or train (16 of a link in one segmented send).
    workers
        Worker threads. By default what the profile says, or 1.
    io
        The node's I/O: auto, mmsg, gso or socket. By default what the profile says.
    profile
        A profile for the node, as of `fastmix run --profile`.
    json
        Print one JSON object and nothing else.
    html
        Write a report with plots into this file.
    quick
        Shorter runs, and less sure.
    """
    use_kernels_of(profile)
    from fastmix.bench.node import bench_node
    from fastmix.bench.node_report import html_page, print_result

    request = request_of(geometry, traffic, workers, io, profile)
    measure("node", lambda tell: bench_node(request, quick=quick, progress=tell), (html_page, print_result), html, json)


def table(*, json: bool = False, html: Path | None = None, quick: bool = False) -> None:
    """The throughput table: single thread, multi-threaded and optimized, both geometries, plain traffic and trains.

    Takes six minutes. `python -m fastmix.bench.readme FILE` writes README's table from its JSON.

    Parameters
    ----------
    json
        Print one JSON object and nothing else.
    html
        Write a report with plots into this file.
    quick
        Shorter runs, and less sure.
    """
    from fastmix.bench.node_report import html_page, print_result
    from fastmix.bench.table import bench_table

    measure("table", lambda tell: bench_table(quick=quick, progress=tell), (html_page, print_result), html, json)


def latency(
    *,
    geometry: str = "wan",
    traffic: str = "plain",
    workers: int | None = None,
    io: str | None = None,
    profile: str | None = None,
    json: bool = False,
    html: Path | None = None,
    quick: bool = False,
) -> None:
    """What a node adds at zero mixing delay: at 70 % of its capacity, and at 50,000 packets a second if it carries 70,000.

    Parameters
    ----------
    geometry
        Packet sizes: wan or jumbo.
    traffic
        How packets come: plain (each by itself) or train (16 of a link in one segmented send).
    workers
        Worker threads. By default what the profile says, or 1.
    io
        The node's I/O: auto, mmsg, gso or socket. By default what the profile says.
    profile
        A profile for the node, as of `fastmix run --profile`.
    json
        Print one JSON object and nothing else.
    html
        Write a report with plots into this file.
    quick
        Shorter and fewer runs.
    """
    use_kernels_of(profile)
    from fastmix.bench.latency import bench_latency
    from fastmix.bench.node_report import html_page, print_result

    request = request_of(geometry, traffic, workers, io, profile)
    measure("latency", lambda tell: bench_latency(request, quick=quick, progress=tell), (html_page, print_result), html, json)


def memory(
    *,
    geometry: str = "wan",
    workers: int | None = None,
    io: str | None = None,
    profile: str | None = None,
    json: bool = False,
    html: Path | None = None,
) -> None:
    """What a node's processes hold while 10,000 messages wait in its pool.

    Parameters
    ----------
    geometry
        Packet sizes: wan or jumbo.
    workers
        Worker threads. By default what the profile says, or 1.
    io
        The node's I/O: auto, mmsg, gso or socket. By default what the profile says.
    profile
        A profile for the node, as of `fastmix run --profile`.
    json
        Print one JSON object and nothing else.
    html
        Write a report with plots into this file.
    """
    use_kernels_of(profile)
    from fastmix.bench.memory import bench_memory
    from fastmix.bench.node_report import html_page, print_result

    request = request_of(geometry, "plain", workers, io, profile)
    measure("memory", lambda tell: bench_memory(request, progress=tell), (html_page, print_result), html, json)


def use_kernels_of(profile: str | None) -> None:
    """Those that the profile names, for the node and for what is measured alone. Before anything imports the kernels."""
    from fastmix.process.environment import use_kernels
    from fastmix.profile import load_profile

    if profile:
        use_kernels(str(load_profile(profile).node.get("isa", "auto")))


def request_of(geometry: str, traffic: str, workers: int | None, io: str | None, profile: str | None) -> "Request":
    """What is to be measured; `ConfigError` for a word that there is not."""
    from fastmix.bench.node import Request
    from fastmix.bench.under_test import Settings

    request = Request(Settings(geometry, workers, io, profile), traffic)
    request.check()
    return request


def measure(
    title: str,
    bench: "Callable[[Progress], dict[str, Any]]",
    reports: tuple[Callable[[dict[str, Any]], str], Callable[[dict[str, Any]], None]],
    html: Path | None,
    json: bool,
) -> None:
    """Measures with a progress bar, then writes the HTML of the first report and prints the second."""
    from fastmix.bench.html import check_writable, write_page
    from fastmix.bench.progress import progress_bar

    check_writable(html)
    with progress_bar(title) as progress:
        result = bench(progress)
    if html:
        write_page(html, reports[0](result))
    if json:
        print_json(result)
    else:
        reports[1](result)
