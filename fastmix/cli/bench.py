"""`fastmix bench`: what this machine makes of the kernels, and of a whole node."""

from pathlib import Path

from fastmix.cli.output import print_json


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
    from fastmix.bench.html import check_writable, write_page
    from fastmix.bench.kernels import bench_kernels
    from fastmix.bench.kernels_report import kernels_page, print_kernels
    from fastmix.bench.progress import progress_bar

    check_writable(html)
    with progress_bar("kernels") as progress:
        result = bench_kernels(isa, quick=quick, progress=progress)
    if html:
        write_page(html, kernels_page(result))
    if json:
        print_json(result)
    else:
        print_kernels(result)
