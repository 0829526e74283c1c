"""Other encodings of a packet's kx_public, which give the same secret and the same MAC: sent after the packet, and before it.

Whoever holds a packet can make fifteen siblings of it (`fastmix/reference/siblings.py`). Eight are not canonical and never pass.
Seven are: after the packet they are replays of it; before it, one passes in its place and dies at the next hop, which `strict_kx`
prevents. Points of low order, in headers that are right for their secret, which everyone knows, never pass.
"""

import os
import time
from collections import Counter
from dataclasses import replace

import numpy as np

from fastmix.drills.stage.flow import Flow
from fastmix.drills.stage.packets import Packets
from fastmix.drills.stage.report import Figures, Options, Outcome, Report
from fastmix.drills.stage.scene import Scene, Stage, repeated_while_void
from fastmix.errors import BatchTimeout
from fastmix.packet.geometry import KX_PUBLIC_SIZE, Action
from fastmix.reference.siblings import low_order_encodings, siblings_of
from fastmix.reference.sphinx_build import Hop, build_header

NAME = "siblings"
HELP = "Other encodings of a packet's kx_public, before it and after it, and points of low order: none passes."
FULL, SHORT = 1000, 20
"""Packets of which siblings are sent after them, and as many of which they are sent before."""
SIBLINGS = 15
AT_ONCE = 100
"""Packets whose siblings are sent together."""
STEP_S = 0.02
PATIENCE_S = 20.0


def run(options: Options) -> Report:
    """At a node with `strict_kx` and at one without it; passed if both have."""
    reports = {
        name: repeated_while_void(NAME, options, Scene(strict_kx=strict), perform)
        for name, strict in (("strict_kx", True), ("without_strict_kx", False))
    }
    strict, lax = reports.values()
    return replace(
        strict,
        passed=strict.passed and lax.passed,
        figures={f"{name}_{figure}": value for name, report in reports.items() for figure, value in report.figures.items()},
        conservation={**strict.conservation, "without_strict_kx": lax.conservation},
        checks={f"{name}: {check}": holds for name, report in reports.items() for check, holds in report.checks.items()},
        load={**strict.load, "without_strict_kx": lax.load},
        void_runs=strict.void_runs + lax.void_runs,
        seconds=strict.seconds + lax.seconds,
    )


def perform(stage: Stage) -> Outcome:
    """Siblings after, siblings before, low order."""
    n = stage.options.count(FULL, SHORT)
    (firsts, behind), (lasts, ahead) = with_siblings(stage, n), with_siblings(stage, n)
    low = low_order(stage, -(-n // AT_ONCE))
    with stage.flow() as flow:
        kinds = Kinds(stage, flow)
        for at in range(0, n, AT_ONCE):
            stage.options.progress(0.1 + 0.9 * at / n, f"siblings of {2 * n:,} packets")
            own, others = slice(at, at + AT_ONCE), slice(SIBLINGS * at, SIBLINGS * (at + AT_ONCE))
            kinds.send("packets_before_siblings", firsts[own], expected=True)
            kinds.send("siblings_after", behind[others])
            kinds.send("siblings_before", ahead[others])
            kinds.send("packets_after_siblings", lasts[own], expected=True)
        kinds.send("low_order", low)
        flow.finish()
    told: Figures = {"packets": 2 * n, "siblings": 2 * SIBLINGS * n, "low_order": len(low), "load_packets": flow.expected}
    told |= {f"{kind}_{what}": count for kind, counts in kinds.found.items() for what, count in sorted(counts.items())}
    return Outcome(told, checks_of(n, len(low), kinds.found, strict=stage.scene.strict_kx))


class Kinds:
    """What became of packets of each kind, beside a flow that goes on."""

    def __init__(self, stage: Stage, flow: Flow) -> None:
        self._stage, self._flow = stage, flow
        self.found: dict[str, Counter[str]] = {}

    def send(self, kind: str, packets: Packets, *, expected: bool = False) -> None:
        """Sends them at once; returns when all of them have passed or were dropped. Who passes and was not `expected` is unknown
        at the sink. `BatchTimeout` where some do neither."""
        counts, drops, unknown = self.found.setdefault(kind, Counter()), self._drops(), self._flow.unknown
        wave = self._flow.send(packets, expected=expected)
        give_up = time.monotonic() + PATIENCE_S
        while True:
            self._flow.run(STEP_S)
            passed = np.count_nonzero(wave.arrived_ns) if wave else self._flow.unknown - unknown
            now = self._drops() - drops + Counter(passed=int(passed))
            if now.total() >= len(packets):
                break
            if time.monotonic() > give_up:
                told = f"of {len(packets)} packets ({kind}) {now.total()} are accounted for"
                raise BatchTimeout(f"{told} after {PATIENCE_S:.0f} s: see {self._stage.node.log_path}")
        counts += now

    def _drops(self) -> Counter[str]:
        return Counter(self._stage.node.metrics().dropped)


def with_siblings(stage: Stage, n: int) -> tuple[Packets, Packets]:
    """n new packets, and the fifteen siblings of each."""
    packets = stage.packets.headers(stage.packets.slots_at(time.time_ns(), n))
    siblings = packets[np.arange(n).repeat(SIBLINGS)]
    found = b"".join(each for row in packets.headers for each in siblings_of(row[:KX_PUBLIC_SIZE].tobytes()))
    siblings.headers[:, :KX_PUBLIC_SIZE] = np.frombuffer(found, np.uint8).reshape(-1, KX_PUBLIC_SIZE)
    return packets, siblings


def low_order(stage: Stage, sets: int) -> Packets:
    """Every encoding of low order, so many times, each in a header whose MAC and actions are right for the secret zero."""
    points = low_order_encodings() * sets
    target = int(stage.neighbours.next_indices[0]).to_bytes(2, "little")
    last = int(Action.COVER).to_bytes(2, "little")
    headers = []
    for point in points:
        hops = Hop(point, bytes(32)), Hop(os.urandom(32), os.urandom(32))
        headers.append(bytes(build_header(hops, [target], last, os.urandom)))
    model = stage.packets.headers(stage.packets.slots_at(time.time_ns(), len(points)))
    return replace(model, headers=np.frombuffer(b"".join(headers), np.uint8).reshape(len(points), -1))


def checks_of(n: int, n_low: int, found: dict[str, Counter[str]], *, strict: bool) -> dict[str, bool]:
    """What has to hold. Without `strict_kx` a sibling of each packet passes before it: that is a figure."""
    refused = {"drop_kx_subgroup" if strict else "drop_replay": 7 * n, "drop_kx_non_canonical": 8 * n}
    low = {"drop_kx_low_order": 5 * n_low // 14, "drop_kx_non_canonical": 9 * n_low // 14}
    checks = {
        "every packet passes before its siblings": found["packets_before_siblings"] == {"passed": n},
        "no sibling passes after its packet": found["siblings_after"] == refused,
        "no point of low order passes": found["low_order"] == low,
    }
    if strict:
        checks["no sibling passes before its packet"] = found["siblings_before"] == refused
        checks["every packet passes after its siblings"] = found["packets_after_siblings"] == {"passed": n}
    return checks
