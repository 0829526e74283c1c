"""The measured figures of README.md and docs/performance.md, as Markdown: none of them is typed by hand."""

from collections.abc import Sequence
from typing import Any

from fastmix.bench.bars import BARS, MEMORIES, NODES
from fastmix.bench.kernels_report import built_text, set_text, with_floor
from fastmix.bench.machine import short_name
from fastmix.bench.node_report import TABLE_HEAD, megabytes, milliseconds, throughput_rows, times

Result = dict[str, Any]
LATE = "the generator's lateness counts"


def table_text(result: Result) -> str:
    """The throughput table, and the machine."""
    rates = ", ".join(f"{rate:,} ({geometry})" for geometry, rate in result["baseline"].items() if rate)
    told = f"libsodium from C, one packet at a time, in the same run: {rates} unwraps a CPU-second." if rates else ""
    noisy = sum(bool(row["noise"]) for row in result["rows"])
    told += f" Latency is {result['latency_is']}."
    if result["baseline_noise"]:
        told += f" {'; '.join(result['baseline_noise'])}."
    if noisy:
        told += f" \\* The machine was not quiet ({noisy} of {len(result['rows'])} rows); why, the result says."
    return markdown(TABLE_HEAD, throughput_rows(result)) + f"\nMeasured on {short_name(result['machine'])}. {told}\n"


def performance_text(results: dict[str, Result]) -> str:
    """The tables of docs/performance.md: goals, nodes, their stages, kernels, latency, memory."""
    nodes = [results[name] for name in NODES]
    parts = (
        f"Measured on {short_name(results['node-wan']['machine'])}.\n",
        markdown(("goal", "wanted", "reached", "enough"), [bar.row(results) for bar in BARS]),
        "One worker (`fastmix bench node`); L is that of its own run; latency at 70 % of the capacity; overload: what passes of "
        "twice the capacity, as a share of the capacity, and its p50 / p99 / p99.9:\n",
        markdown(NODE_HEAD, [node_row(node) for node in nodes]),
        "CPU time of a message in such a node, ns. The kernels' as they take alone, at batch 64; the rest is what remains of the "
        "whole:\n",
        markdown(("", *map(name_of, nodes)), stage_rows(nodes)),
        kernels_text(results["kernels"]),
        latency_text(results["latency"]),
        "\n".join(memory_text(results[name]) for name in MEMORIES),
    )
    return "\n".join(parts)


NODE_HEAD = ("", "core", "messages/s", "messages / node-CPU-s", "L", "× L", "p50 / p99 / p99.9", "overload", "noise")


def name_of(node: Result) -> str:
    """`wan, plain`."""
    return f"`{node['geometry']}`, {node['traffic']}"


def node_row(node: Result) -> tuple[str, ...]:
    """Of one `bench node`."""
    overload = node["overload"]
    return (
        f"{name_of(node)}, `{node['io_used']}`", f"{node['core_ghz']:.1f} GHz", f"{node['messages_per_s']:,}",
        f"{node['messages_per_node_cpu_s']:,}", f"{node['baseline'][node['geometry']]:,}", f"{node['vs_libsodium']:.2f}",
        milliseconds(node["latency_ms"]), f"{overload['goodput_share']:.0%}; {milliseconds(overload['latency_ms'])}",
        "; ".join([*node["noise"], *(f"overload: {each}" for each in overload["noise"])]) or "–",
    )  # fmt: skip


def stage_rows(nodes: Sequence[Result]) -> list[tuple[str, ...]]:
    """A row for each stage."""
    return [(stage, *(f"{node['stages_ns'][stage]:,.0f}" for node in nodes)) for stage in nodes[0]["stages_ns"]]


def kernels_text(result: Result) -> str:
    """Cycles of each instruction set, fastest first."""
    isas = list(result["isas"].values())[::-1]

    rows: list[tuple[str, ...]] = [("X25519", *(with_floor(isa["x25519"]) for isa in isas))]
    for geometry in ("wan", "jumbo"):
        unwraps = [isa["unwrap"][geometry] for isa in isas]
        rows.append((f"unwrap, `{geometry}`", *map(with_floor, unwraps)))
        rows.append(("its clock, GHz", *(f"{each['ghz']:.2f}" for each in unwraps)))
        rows.append(("× L, by time", *(times(each["vs_libsodium"]) for each in unwraps)))
    for name in ("chacha20", "blake2b", "poly1305"):
        rows.append((f"{name}, {isas[0][name]['bytes']:,} bytes", *(with_floor(isa[name]) for isa in isas)))
    checks = [isa["subgroup"] for isa in isas]
    rows.append(("`strict_kx`, one check", *(f"{check['cycles']:,}" for check in checks)))
    shares = (check["unwrap_share"].values() for check in checks)
    rows.append(("of an unwrap, `wan` / `jumbo`", *(" / ".join(f"{share:.1%}" for share in both) for both in shares)))
    sodium = result["baseline"]["libsodium"]
    noise = f" Not quiet: {'; '.join(result['noise'])}." if result["noise"] else ""
    rates = f"{sodium['wan']['packets_per_s']:,} and {sodium['jumbo']['packets_per_s']:,}/s"
    replay = result["replay_insert"]
    return (
        "Kernels (`fastmix bench kernels --isa all`), core cycles, batch 64, in brackets the counted floor. L: "
        f"{rates} at {sodium['wan']['ghz']:.2f} GHz.{noise}\n\n"
        + markdown(("", *(isa["isa"] for isa in isas)), rows)
        + f"\n`sphinx.build_requests`: {built_text(result)} packets a core-second. "
        f"Shuffle: {result['shuffle_ns']:.1f} ns an element. Replay insert{set_text(replay)}: {replay['ns']:.0f} ns.\n"
    )


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
    profile = f", `{result['profile']}`" if result["profile"] else ""
    return (
        f"{result['pooled']:,} messages pooled, `{result['geometry']}`{profile}: {megabytes(full['memory_mb'])} of the whole "
        f"node, its replay sets of {megabytes(full['replay_mb'])} aside.\n"
    )


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"
