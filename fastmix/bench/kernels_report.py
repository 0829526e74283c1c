"""The result of `bench kernels` for people: text and HTML."""

from typing import Any

from fastmix.bench.html import heading, page, paragraph, table
from fastmix.bench.machine import short_name
from fastmix.bench.svg import bar_chart, line_chart

UNWRAP_HEAD = ("unwrap, batch 64", "cycles", "floor", "packets/core-s", "× libsodium")
STAGE_HEAD = ("stage", "wan", "jumbo")


def unwrap_rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row a kernel set and geometry, and one a baseline."""
    rows: list[tuple[str, ...]] = []
    for isa, block in result["isas"].items():
        for geometry, figures in block["unwrap"].items():
            floor, ratio = figures["floor_cycles"], figures["vs_libsodium"]
            rows.append((
                f"{isa}, {geometry}", f"{figures['cycles']:,}", f"{floor:,}" if floor else "–",
                f"{figures['packets_per_s']:,}", f"{ratio:.2f}" if ratio else "–",
            ))  # fmt: skip
    for name, figures in result["baseline"].items():
        for geometry in ("wan", "jumbo"):
            if geometry in figures:
                one = figures[geometry]
                cycles = f"{one['cycles']:,}" if "cycles" in one else "–"
                rows.append((f"{name} {figures['version']}, {geometry}", cycles, "–", f"{one['packets_per_s']:,}", ""))
    return rows


def stage_rows(block: dict[str, Any]) -> list[tuple[str, ...]]:
    """Cycles of the stages of one kernel set."""
    rows: list[tuple[str, ...]] = [("X25519, one operation", with_floor(block["x25519"]), "")]
    rows.append(("strict_kx, one check", f"{block['subgroup']['cycles']:,}", ""))
    rows.append(("strict_kx, beside the unwrap", *(f"{share:.1%}" for share in block["subgroup"]["unwrap_share"].values())))
    for name in ("chacha20", "blake2b", "poly1305"):
        rows.append((f"{name}, {block[name]['bytes']} bytes", with_floor(block[name]), ""))
    for act in ("open", "seal"):
        rows.append((f"link frame, {act}", *(f"{block['link'][geometry][act]:,}" for geometry in block["link"])))
    for hops in block["build"]["wan"]:
        rows.append(
            (
                f"build for {hops} {'hop' if hops == '1' else 'hops'}",
                *(f"{block['build'][geometry][hops]['cycles']:,}" for geometry in block["build"]),
            )
        )
    return rows


def with_floor(figures: dict[str, Any]) -> str:
    """Cycles, and the floor where it is known."""
    floor = figures["floor_cycles"]
    return f"{figures['cycles']:,}" + (f" (floor {floor:,})" if floor else "")


def remarks(result: dict[str, Any]) -> list[str]:
    """What is missing, and what was noisy."""
    said = [figures["absent"] for figures in result["baseline"].values() if "absent" in figures]
    return said + [f"Noisy: {reason}" for reason in result["noise"]]


def set_text(figures: dict[str, Any]) -> str:
    """Into how large a replay set; nothing where an older result does not tell."""
    return f" into a set of {figures['set_mb']:.0f} MB" if "set_mb" in figures else ""


def replay_text(figures: dict[str, Any]) -> str:
    """What an insert costs, beside what it may."""
    return (
        f"replay insert{set_text(figures)}: {figures['ns']:.1f} ns (bar {figures['bar_ns']}), {figures['core_share']:.2%} of a "
        f"core at {figures['at_per_s']:,} a second (bar 1 %)"
    )


def print_kernels(result: dict[str, Any]) -> None:
    """Tables on standard output."""
    from fastmix.bench.tables import print_rows

    print(f"{short_name(result['machine'])}; {result['core_ghz']:.2f} GHz")
    print_rows(UNWRAP_HEAD, unwrap_rows(result))
    for isa, block in result["isas"].items():
        print_rows((f"{isa}, core cycles", *STAGE_HEAD[1:]), stage_rows(block))
    print(f"shuffle: {result['shuffle_ns']:.1f} ns an element")
    print(replay_text(result["replay_insert"]))
    print(f"sphinx.build_requests: {built_text(result)} packets a core-second")
    for remark in remarks(result):
        print(remark)


def kernels_page(result: dict[str, Any]) -> str:
    """The HTML report."""
    parts = [paragraph(f"{short_name(result['machine'])}; {result['core_ghz']:.2f} GHz")]
    parts += [paragraph(remark, "noise") for remark in remarks(result)]
    for geometry in ("wan", "jumbo"):
        bars = [(isa, float(block["unwrap"][geometry]["cycles"])) for isa, block in result["isas"].items()]
        sodium = result["baseline"]["libsodium"].get(geometry)
        bars += [("libsodium, one at a time", float(sodium["cycles"]))] if sodium else []
        floor = result["unwrap"][geometry]["floor_cycles"]
        parts.append(heading(f"Unwrap, {geometry}: core cycles a packet"))
        parts.append(bar_chart(f"unwrap {geometry}", bars, "cycles", floor))
    lines = {
        f"{isa}, {geometry}": [(float(n), float(cycles)) for n, cycles in figures["by_batch"].items()]
        for isa, block in result["isas"].items()
        for geometry, figures in block["unwrap"].items()
    }
    parts += [heading("Unwrap by batch size"), line_chart("unwrap by batch", lines, "packets in a batch", "cycles a packet")]
    parts += [heading("All figures"), table(UNWRAP_HEAD, unwrap_rows(result))]
    for isa, block in result["isas"].items():
        parts.append(table((f"{isa}, core cycles", *STAGE_HEAD[1:]), stage_rows(block)))
    parts += [paragraph(f"Shuffle: {result['shuffle_ns']:.1f} ns an element."), paragraph(replay_text(result["replay_insert"]))]
    return page("fastmix bench kernels", parts)


def built_text(result: dict[str, Any]) -> str:
    """`wan 72,000 (1 hop), 24,000 (3 hops); jumbo …`."""
    rates = result["build_requests"].items()
    return "; ".join(f"{name} {by_hops['1']:,} (1 hop), {by_hops['3']:,} (3 hops)" for name, by_hops in rates)
