"""The results of `bench node`, `table`, `latency` and `memory` for people: text and HTML."""

from collections.abc import Sequence
from typing import Any

from fastmix.bench.html import heading, page, paragraph, table
from fastmix.bench.machine import short_name
from fastmix.bench.svg import bar_chart, line_chart
from fastmix.bench.tables import print_rows

Rows = list[tuple[str, ...]]
Section = tuple[str, Sequence[str], Rows]
"""Title, column names, rows."""
TABLE_HEAD = (
    "", "messages/s", "latency p50 / p99 / p99.9", "CPU", "messages / node-CPU-s", "× libsodium", "loss", "memory, RSS"
)  # fmt: skip


def sections_of(result: dict[str, Any]) -> list[Section]:
    """The tables of any result."""
    return SECTIONS[result["bench"]](result)


def remarks(result: dict[str, Any]) -> list[str]:
    """What to know of the figures: the machine, and what was noisy."""
    said = [f"{short_name(result['machine'])}; measured in {result['seconds']} s"]
    baseline = result.get("baseline", {})
    if baseline.get("wan"):
        rates = ", ".join(f"{rate:,} ({geometry})" for geometry, rate in baseline.items())
        said.append(f"libsodium from C, one packet at a time, same machine, same run: {rates} unwraps a CPU-second")
    if "not told" in str([rows for _, _, rows in sections_of(result)]):
        said.append("The kernel tells the memory of a node only to root or CAP_SYS_PTRACE")
    noisy = [f"{row['configuration']}, {row['geometry']}, {row['traffic']}" for row in result.get("rows", []) if row["noise"]]
    noisy = noisy or [str(reason) for reason in result.get("noise", [])]
    return said + ([f"Noisy: {'; '.join(noisy)}"] if noisy else [])


def print_result(result: dict[str, Any]) -> None:
    """Tables on standard output."""
    for title, head, rows in sections_of(result):
        print_rows(head, rows, title)
    for remark in remarks(result):
        print(remark)


def html_page(result: dict[str, Any]) -> str:
    """The HTML report."""
    parts = [paragraph(remark, "noise" if remark.startswith("Noisy") else "") for remark in remarks(result)]
    for title, head, rows in sections_of(result):
        parts += [heading(title), table(head, rows)]
    for title, plot in plots_of(result):
        parts += [heading(title), plot]
    return page(f"fastmix bench {result['bench']}", parts)


def milliseconds(latency: dict[str, float]) -> str:
    """`1.8 / 7.7 / 9.6 ms`."""
    return f"{latency['p50']:.1f} / {latency['p99']:.1f} / {latency['p999']:.1f} ms"


def megabytes(value: float | None) -> str:
    """`117 MB`, or that the kernel does not tell this user."""
    return "not told" if value is None else f"{value:.0f} MB"


def times(value: float | None) -> str:
    """`5.8`, or a dash."""
    return "–" if value is None else f"{value:.1f}"


def throughput_rows(result: dict[str, Any]) -> Rows:
    """The document's table: its figures first, ours under them; * where the machine was not quiet."""
    rows: Rows = []
    told: set[str] = set()
    for row in result["rows"]:
        name, document = row["configuration"], row["document"]
        if name not in told:
            told.add(name)
            rows.append(
                (f"{name}, as promised", document["messages_per_s"], document["latency"], document["cpu"], "", "", "", "")
            )
        base = result["baseline"].get(row["geometry"])
        rows.append((
            f"{row['workers']} worker{'s' if row['workers'] > 1 else ''}, {row['geometry']}, {row['traffic']}"
            + " *" * bool(row["noise"]),
            f"{row['messages_per_s']:,}", milliseconds(row["latency_ms"]), f"{row['cpu_percent']:.0f} %",
            f"{row['messages_per_node_cpu_s']:,}", times(row["messages_per_node_cpu_s"] / base if base else None),
            f"{row['loss']:.3%}", f"{megabytes(row['memory_mb'])}, {megabytes(row['rss_mb'])}",
        ))  # fmt: skip
    return rows


def table_sections(result: dict[str, Any]) -> list[Section]:
    """The throughput table."""
    return [("Throughput, latency at 70 % of it, CPU (100 % = one core)", TABLE_HEAD, throughput_rows(result))]


def node_sections(result: dict[str, Any]) -> list[Section]:
    """Capacity, latency by rate, overload, stages."""
    overload = result["overload"]
    summary: Rows = [
        ("capacity, messages/s", f"{result['messages_per_s']:,}"),
        ("messages / node-CPU-s", f"{result['messages_per_node_cpu_s']:,}"),
        ("× libsodium, one at a time", times(result["vs_libsodium"])),
        ("CPU at capacity", f"{result['cpu_percent']:.0f} %"),
        ("loss at capacity", f"{result['loss']:.3%}"),
        ("latency p50 / p99 / p99.9 at 70 %", milliseconds(result["latency_ms"])),
        ("memory, RSS", f"{megabytes(result['memory_mb'])}, {megabytes(result['rss_mb'])}"),
        (f"offered {overload['offered_share']:.0f} × capacity: goodput", f"{overload['goodput_share']:.1%} of capacity"),
        ("its latency p50 / p99 / p99.9", milliseconds(overload["latency_ms"])),
        ("dropped by the node, by the kernel", f"{sum(result['dropped'].values()):,}, {result['kernel_drop_events']:,}"),
    ]
    points = [
        (f"{run['offered_per_s']:,.0f}", f"{run['cpu_percent']:.0f} %", f"{run['loss']:.3%}",
         *(f"{run['latency_ms'][name]:.2f}" for name in ("p50", "p90", "p99", "p999")))
        for run in result["points"]
    ]  # fmt: skip
    stages: Rows = [(name, f"{ns:,.0f}") for name, ns in result["stages_ns"].items()]
    return [
        (name_of(result), ("", ""), summary),
        ("Latency by rate, ms", ("packets/s", "CPU", "loss", "p50", "p90", "p99", "p99.9"), points),
        ("Where the CPU time of a message goes", ("stage", "ns"), stages),
    ]


def name_of(result: dict[str, Any]) -> str:
    """The configuration in words."""
    words = [f"{result['workers']} worker{'s' if result['workers'] > 1 else ''}", result["geometry"], result["traffic"]]
    words += [f"{key} {result[key]}" for key in ("io", "profile") if result.get(key)]
    return ", ".join(words)


def latency_sections(result: dict[str, Any]) -> list[Section]:
    """One row a rate: of the quietest runs the slowest."""
    rows = [
        (f"{point['offered_per_s']:,}", f"{point['share_of_capacity']:.0%}",
         *(f"{point['latency_ms'][name]:.2f}" for name in ("p50", "p90", "p99", "p999", "max")))
        for point in result["points"]
    ]  # fmt: skip
    head = ("packets/s", "of capacity", "p50", "p90", "p99", "p99.9", "max")
    return [(f"Latency in ms, {name_of(result)}: the slowest of the quietest 3 of 5 runs", head, rows)]


def memory_sections(result: dict[str, Any]) -> list[Section]:
    """Empty and full."""
    rows = [
        (name, *(megabytes(result[key][what]) for what in ("memory_mb", "replay_mb", "rss_mb")))
        for name, key in (("no message", "empty"), (f"{result['pooled']:,} messages", "full"))
    ]  # fmt: skip
    head = ("in the pool", "Pss_Anon + Pss_Shmem", "replay set", "RSS")
    return [(f"Memory of {result['processes']} processes, {name_of(result)}", head, rows)]


SECTIONS = {"table": table_sections, "node": node_sections, "latency": latency_sections, "memory": memory_sections}


def plots_of(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Titles and SVG of a result's plots."""
    kind = result["bench"]
    if kind == "table":
        names = [f"{row['configuration']}, {row['geometry']}, {row['traffic']}" for row in result["rows"]]
        return [
            (title, bar_chart(title, [(name, float(row[key])) for name, row in zip(names, result["rows"], strict=True)], unit))
            for title, key, unit in (
                ("Messages a second", "messages_per_s", ""), ("Messages a node-CPU-second", "messages_per_node_cpu_s", "")
            )
        ]  # fmt: skip
    if kind == "memory":
        bars = [(name, float(result[key]["memory_mb"] or 0)) for name, key in (("empty", "empty"), ("full", "full"))]
        return [("Memory", bar_chart("memory", bars, "MB", result["limit_mb"]))]
    lines = {
        name: sorted((point["offered_per_s"] / 1000, point["latency_ms"][name]) for point in result["points"])
        for name in ("p50", "p90", "p99")
    }
    return [("Latency by rate", line_chart("latency by rate", lines, "thousand packets a second", "ms"))]
