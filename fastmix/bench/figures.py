"""The measured figures of README.md and docs/performance.md, as Markdown: none of them is typed by hand."""

from collections.abc import Sequence
from typing import Any

from fastmix.bench.machine import short_name
from fastmix.bench.node_report import TABLE_HEAD, megabytes, milliseconds, throughput_rows, times

Result = dict[str, Any]
NODES = ("node-wan", "node-jumbo", "node-wan-train", "node-jumbo-train")
"""Names of the results of nodes in a directory, without `.json`."""
LATE = "the generator's lateness counts"


def table_text(result: Result) -> str:
    """The throughput table, and the machine."""
    rates = ", ".join(f"{rate:,} ({geometry})" for geometry, rate in result["baseline"].items() if rate)
    told = f"libsodium from C, one packet at a time, in the same run: {rates} unwraps a CPU-second." if rates else ""
    noisy = sum(bool(row["noise"]) for row in result["rows"])
    if "latency_is" in result:
        told += f" Latency is {result['latency_is']}."
    if noisy:
        told += f" \\* The machine was not quiet ({noisy} of {len(result['rows'])} rows); why, the result says."
    return markdown(TABLE_HEAD, throughput_rows(result)) + f"\nMeasured on {short_name(result['machine'])}. {told}\n"


def performance_text(results: dict[str, Result]) -> str:
    """The tables of docs/performance.md: nodes, their stages, kernels, latency, memory."""
    nodes = [results[name] for name in NODES]
    parts = (
        f"Measured on {short_name(results['node-wan']['machine'])}.\n",
        "One worker, `gso` (`fastmix bench node`); latency at 70 % of capacity; overload: what passes of twice the capacity:\n",
        markdown(NODE_HEAD, [node_row(node) for node in nodes]),
        "Where the time of such a node goes, ns of a core for each message:\n",
        markdown(("", *map(name_of, nodes)), stage_rows(nodes)),
        kernels_text(results["kernels"]),
        latency_text(results["latency"]),
        memory_text(results["memory"]),
    )
    return "\n".join(parts)


NODE_HEAD = ("", "messages/s", "messages / node-CPU-s", "L", "× L", "p50 / p99 / p99.9", "overload", "noise")


def name_of(node: Result) -> str:
    """`wan, plain`."""
    return f"`{node['geometry']}`, {node['traffic']}"


def node_row(node: Result) -> tuple[str, ...]:
    """Of one `bench node`."""
    return (
        name_of(node), f"{node['messages_per_s']:,}", f"{node['messages_per_node_cpu_s']:,}",
        f"{node['baseline'][node['geometry']]:,}", f"{node['vs_libsodium']:.2f}",
        milliseconds(node["latency_ms"]), f"{node['overload']['goodput_share']:.0%}",
        "; ".join(node["noise"]) or "–",
    )  # fmt: skip


def stage_rows(nodes: Sequence[Result]) -> list[tuple[str, ...]]:
    """A row for each stage."""
    return [(stage, *(f"{node['stages_ns'][stage]:,.0f}" for node in nodes)) for stage in nodes[0]["stages_ns"]]


def kernels_text(result: Result) -> str:
    """Cycles of each instruction set, fastest first."""
    isas = list(result["isas"].values())[::-1]
    rows = [("X25519", *(f"{isa['x25519']['cycles']:,}" for isa in isas))]
    for geometry in ("wan", "jumbo"):
        rows.append((f"unwrap, `{geometry}`", *(f"{isa['unwrap'][geometry]['cycles']:,}" for isa in isas)))
        rows.append((f"unwrap, `{geometry}`, × L", *(times(isa["unwrap"][geometry]["vs_libsodium"]) for isa in isas)))
        for hops in ("1", "3"):
            built = [f"{isa['build'][geometry][hops]['packets_per_s']:,} /s" for isa in isas]
            rows.append((f"built, `{geometry}`, {hops} hop{'s' * (hops != '1')}", *built))
    head = f"Kernels (`fastmix bench kernels --isa all`), core cycles at {result['core_ghz']:.2f} GHz, batch 64"
    beside = f"shuffle {result['shuffle_ns']:.1f} ns an element"
    noise = f"; not quiet: {'; '.join(result['noise'])}" if result["noise"] else ""
    return f"{head}; {beside}{noise}:\n\n" + markdown(("", *(isa["isa"] for isa in isas)), rows)


def latency_text(result: Result) -> str:
    """What `bench latency` told."""
    told = [f"{share_of(point)}: {milliseconds(point['latency_ms'])}" for point in result["points"]]
    what = f"`{result['profile']}`, {result['workers']} workers, `{result['geometry']}`, {result['traffic']}"
    return f"Latency p50 / p99 / p99.9 by share of the capacity ({what}; {LATE}): " + "; ".join(told) + ".\n"


def share_of(point: Result) -> str:
    """`70 % (92,000/s)`."""
    share, rate = point["share_of_capacity"], f"{point['offered_per_s']:,.0f}/s"
    return f"{share:.0%} ({rate})" if share else rate


def memory_text(result: Result) -> str:
    """What `bench memory` told."""
    full = result["full"]
    return (
        f"{result['pooled']:,} messages pooled: {megabytes(full['memory_mb'])} of the whole node, its replay sets of "
        f"{megabytes(full['replay_mb'])} aside (`fastmix bench memory`).\n"
    )


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"
