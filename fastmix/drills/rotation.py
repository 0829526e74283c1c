"""Keys of two seconds change again and again under load: no packet is lost, none is refused."""

import math
import time

from fastmix.drills.stage.report import Options, Outcome, Report
from fastmix.drills.stage.scene import ROTATING, Stage, repeated_while_void

NAME = "rotation"
HELP = "Keys of 2 s slots change 200 times under load: no packet is lost or refused."
FULL, SHORT = 200, 3


def run(options: Options) -> Report:
    """200 rotations, or 3."""
    return repeated_while_void(NAME, options, ROTATING, perform)


def perform(stage: Stage) -> Outcome:
    """Sends until so many slots have begun, then counts."""
    rotations, slot_s = stage.options.count(FULL, SHORT), ROTATING.slot.total_seconds()
    before = stage.settle()
    with stage.flow() as flow:
        flow.run(0.05)
        first = math.floor(time.time() / slot_s)
        while (passed := time.time() / slot_s - first) < rotations + 1:
            stage.options.progress(0.05 + 0.95 * passed / (rotations + 1), f"rotation {int(passed)} of {rotations}")
            flow.run(0.25)
        begun = math.floor(time.time() / slot_s) - first
        flow.finish()
    after = stage.settle()
    refused = {reason: n - before.dropped.get(reason, 0) for reason, n in after.dropped.items()}
    return Outcome(
        figures={
            "rotations": begun, "packets": flow.expected, "lost": flow.lost, "refused": sum(refused.values()),
            "refused_by_reason": {reason: n for reason, n in refused.items() if n}, "doubled": flow.doubled,
            **flow.told(),
        },
        checks={
            "as many slots began as were asked for": begun >= rotations,
            "no packet was lost": flow.lost == 0,
            "no packet was refused": not any(refused.values()),
            "none came twice or from elsewhere": flow.doubled == flow.unknown == flow.bad == 0,
            "sent, received, forwarded and arrived are one number": flow.sent
            == after.received - before.received == after.forwarded - before.forwarded == flow.received,
        },
    )  # fmt: skip
