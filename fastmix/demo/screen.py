"""What a person sees of the demo: a live view while it runs, tables at its end."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fastmix.demo.options import DemoOptions
from fastmix.demo.results import Results, dropped_of

if TYPE_CHECKING:
    from fastmix.demo.course import Course, Screen

ROAD = "client 0 → layer 1 (nodes 0, 1) → layer 2 (2, 3) → layer 3 (4, 5) → client 1, and back through SURBs"
POOL_SHOWN = 200
"""Packets at which a pool's bar ends."""
ORDERLESS = 0.1
"""Rank correlations up to this are chance, in a run of some thousand packets."""
WIDTH_LEAST = 118
"""Columns of output that is not a terminal."""


class Silent:
    """For `--json`: nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def show(self, course: "Course") -> None:
        """Nothing."""


class Lines:
    """For a log: a line a stage, and one every few seconds."""

    EVERY_S = 5.0

    def __init__(self) -> None:
        self._shown = time.monotonic()

    def note(self, text: str) -> None:
        """A line."""
        print(f"fastmix demo: {text}", flush=True)

    def show(self, course: "Course") -> None:
        """How many messages have arrived."""
        if time.monotonic() - self._shown >= self.EVERY_S:
            self._shown = time.monotonic()
            ledger = course.results.ledger
            self.note(f"{ledger.delivered} of {len(course.load)} messages delivered")


class View:
    """For a terminal: progress, rates and pools, redrawn in place."""

    def __init__(self, live: Live) -> None:
        self._live, self._stage = live, ""
        self._before: dict[int, tuple[float, int]] = {}

    def note(self, text: str) -> None:
        """The stage's name above the view."""
        self._stage = text
        self._live.update(self._head(), refresh=True)

    def show(self, course: "Course") -> None:
        """Messages, and each node's rate and pool."""
        ledger, total = course.results.ledger, len(course.load)
        bar = Table.grid(padding=(0, 1))
        bar.add_row("delivered", ProgressBar(total, ledger.delivered, width=50), f"{ledger.delivered} of {total}")
        replied = int(course.told[0].get("replied", 0))
        bar.add_row("answered", ProgressBar(total, replied, width=50), f"{replied} of {total}")
        nodes = Table(box=box.SIMPLE)
        for name in ("node", "layer", "packets/s", "forwarded", "pool"):
            nodes.add_column(name, justify="right")
        nodes.add_column("", min_width=POOL_SHOWN // 4)
        for number, metrics in course.metrics.items():
            layer = course.site.network.node(number).layer
            rate, pooled = self._rate(number, metrics["forwarded"]), metrics["pooled"]
            bar_of_pool = "▪" * (min(pooled, POOL_SHOWN) // 4)
            nodes.add_row(str(number), str(layer), f"{rate:.0f}", str(metrics["forwarded"]), str(pooled), bar_of_pool)
        self._live.update(Group(self._head(), bar, nodes), refresh=True)

    def _head(self) -> Text:
        return Text.assemble(("fastmix demo  ", "bold"), self._stage)

    def _rate(self, number: int, forwarded: int) -> float:
        now = time.monotonic()
        then, before = self._before.get(number, (now, forwarded))
        self._before[number] = now, forwarded
        return (forwarded - before) / (now - then) if now > then else 0.0


@contextmanager
def make_screen(options: DemoOptions) -> "Iterator[Screen]":
    """The right one for where standard output goes."""
    if options.json:
        yield Silent()
    elif sys.stdout.isatty():
        with Live(console=Console(), auto_refresh=False, transient=True) as live:
            yield View(live)
    else:
        yield Lines()


def print_results(results: Results) -> None:
    """The tables at the end."""
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH_LEAST)
    for part in (messages_table(results), packets_table(results), wire_table(results)):
        console.print(part)
    console.print(verdict(results))


def rows(title: str, pairs: list[tuple[str, str]]) -> Table:
    """A table of names and values."""
    table = Table(title=title, box=box.SIMPLE_HEAD, show_header=False, title_justify="left", title_style="bold")
    for pair in pairs:
        table.add_row(*pair)
    return table


def messages_table(results: Results) -> Table:
    """What the users got."""
    said, ledger = results.to_dict(), results.ledger
    latency = said["latency_ms"]
    pairs = [
        ("road", ROAD),
        ("sent, delivered unchanged", f"{ledger.sent}, {ledger.delivered}"),
        ("answered through SURBs", str(results.replied)),
        ("lost, changed, retransmitted", f"{said['lost']}, {said['mismatched']}, {said['retransmitted']}"),
        ("latency of a message", ", ".join(f"{name} {value} ms" for name, value in latency.items())),
        ("throughput", f"{said['messages_per_s']} messages/s, {said['mb_per_s']} MB/s, over {results.sending_s:.1f} s"),
        ("start, whole run", f"{results.started_s:.1f} s, {results.total_s:.1f} s"),
    ]
    if results.file is not None:
        same = "the same as that of the original" if results.file["verified"] else "NOT that of the original"
        pairs.append((f"SHA-256 of {results.file['name']} as received", f"{results.file['sha256']}, {same}"))
    return rows("What the clients got", pairs)


def packets_table(results: Results) -> Table:
    """Where every packet went: one row a node and client."""
    table = Table(title="Where every packet went", box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for name in ("", "received", "made", "forwarded", "delivered", "cover absorbed", "pooled", "dropped", "kernel drops", "law"):
        table.add_column(name, justify="left" if name in ("", "dropped") else "right")
    differences = results.differences()
    parties = [(f"node {n}", c, c["forwarded"], c["pooled"] + c["in_stage"], differences[n]) for n, c in results.nodes.items()]
    for name, counters, forwarded, pooled, difference in parties:
        table.add_row(*row(name, counters, forwarded, str(pooled), difference))
    for number, counters in results.clients.items():
        table.add_row(*row(f"client {number}", counters, counters["sent"], "–", int(counters["difference"])))
    table.caption = (
        "received + made = forwarded + delivered + absorbed + pooled + dropped, for each: exact, or the difference.\n"
        + sum_line(results)
    )
    table.caption_justify = "left"
    return table


def row(name: str, counters: dict[str, Any], forwarded: int, pooled: str, difference: int) -> list[str]:
    """One row of the packets' table."""
    dropped = ", ".join(f"{reason} {n}" for reason, n in sorted(dropped_of(counters).items())) or "0"
    numbers = [counters["received"], counters["originated"], forwarded, counters["delivered"], counters["absorbed_cover"]]
    return [name, *map(str, numbers), pooled, dropped, str(counters["kernel_drop_events"]), str(difference or "exact")]


def sum_line(results: Results) -> str:
    """The sum over the network."""
    total = results.network_sum()
    return (
        f"Over the network: forwarded {total['forwarded']} = received {total['received']} + dropped by the kernel "
        f"{total['kernel_drop_events']}: {total['difference']}."
    )


def wire_table(results: Results) -> Table:
    """What somebody on the wire saw."""
    wire = results.wire
    order = wire["order"]
    how = "capture of the loopback interface" if wire["by"] == "capture" else "relays on the wire before three nodes"
    lost = f" ({wire['lost']} passed unseen)" if wire["lost"] else ""
    sizes = ", ".join(map(str, wire["sizes"]))
    return rows(
        f"What a wire observer saw ({how})",
        [
            ("datagrams", f"{wire['seen']}{lost}"),
            ("sizes", f"{sizes} bytes: {'one for all, whatever they carry' if len(wire['sizes']) == 1 else 'more than one'}"),
            (
                f"order at node {order['node']}",
                f"rank correlation of arrival and departure {order['rank_correlation']:+.3f} "
                "(0 = by lot, 1 = first in, first out), "
                f"of packets that were in the node together: {meaning(order['rank_correlation'])}",
            ),
            (
                "how that is known",
                f"{order['packets']} packets followed through node {order['node']} with keys that no observer has, "
                f"about {order['mean_set']:.0f} in it at a time",
            ),
        ],
    )


def meaning(correlation: float) -> str:
    """A rank correlation in words."""
    if abs(correlation) < ORDERLESS:
        return "the first to come is as likely the last to leave"
    return "some order is left, by the strategy, or because packets queued before a busy node took them in"


def verdict(results: Results) -> Text:
    """The last line."""
    if results.good():
        return Text("Every message arrived unchanged, and every packet is accounted for.", style="bold green")
    lost = results.ledger.sent - results.ledger.delivered
    return Text(
        f"NOT GOOD: {lost} messages lost, {results.mismatched} changed, conservation {results.conservation()}.", style="bold red"
    )
