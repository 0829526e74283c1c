"""Two copies of every packet, to two workers at the same time: exactly one of each goes on.

Both copies have the same header, and so the same replay tag. Each is sealed for a link of its own, and both leave together. Which
worker gets a frame is up to its masked counter, which nobody can choose: the second copy is sealed again until its counter leads
to the other worker.
"""

import numpy as np

from fastmix.bench.neighbours import UPSTREAMS, Neighbours, lay_out
from fastmix.drills.stage.flow import BURST
from fastmix.drills.stage.report import Options, Outcome, Report
from fastmix.drills.stage.scene import Scene, Stage, repeated_while_void
from fastmix.sphinx.arrays import Bytes
from fastmix.udp.endpoint import workers_of

NAME = "duplicates"
HELP = "Two copies of every packet, to two workers at once: exactly one of each is forwarded."
FULL, SHORT = 1_000_000, 20_000
"""Pairs."""
WORKERS = 2
STEP_S = 0.2


def run(options: Options) -> Report:
    """A million pairs, or 20,000."""
    return repeated_while_void(NAME, options, Scene(workers=WORKERS), perform)


def perform(stage: Stage) -> Outcome:
    """Sends, and counts what came of it. Half of the load are copies."""
    pairs, before = stage.options.count(FULL, SHORT), stage.settle()
    by_worker_before = stage.node.received_by_worker()
    apart = Apart(stage.neighbours)
    with stage.flow(stage.load_per_s / 2, copies=2, seal=apart) as flow:
        while flow.expected < pairs:
            stage.options.progress(0.1 + 0.9 * flow.expected / pairs, f"{flow.expected:,} of {pairs:,} pairs")
            flow.run(STEP_S)
        flow.finish()
    after = stage.settle()
    by_worker = [n - earlier for n, earlier in zip(stage.node.received_by_worker(), by_worker_before, strict=True)]
    forwarded, received = after.forwarded - before.forwarded, after.received - before.received
    drops = {reason: n - before.dropped[reason] for reason, n in after.dropped.items() if n > before.dropped[reason]}
    return Outcome(
        figures={
            "pairs": flow.expected, "sealed_again": apart.again, "received": received, "received_by_worker": by_worker,
            "forwarded": forwarded, "refused_as_replays": drops.get("drop_replay", 0), "arrived_once": flow.arrived,
            "arrived_twice": flow.doubled, "never_arrived": flow.lost, "bursts_late": flow.late, **flow.told(),
        },
        checks={
            "both copies of every pair came to the node": received == flow.sent == 2 * flow.expected,
            "each worker received one copy of every pair": by_worker == [flow.expected] * WORKERS,
            "exactly one of each was forwarded": forwarded == flow.expected,
            "the other one was refused as a replay": drops == {"drop_replay": flow.expected},
            "every packet arrived": flow.arrived == flow.expected and flow.lost == 0,
            "no packet arrived twice": flow.doubled == flow.unknown == flow.bad == 0,
        },
    )  # fmt: skip


class Apart:
    """Seals pairs of bursts, the packets of one and their copies, so that each copy comes to another worker than its packet."""

    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours
        self.again = 0

    def __call__(self, frames: Bytes, headers: Bytes, key_slots: Bytes) -> None:
        """Lays out and seals u8[n, F], in bursts of one link each, the links in turn."""
        lay_out(frames, headers, key_slots)
        self._neighbours.seal(frames, BURST)
        for first in range(0, len(frames), 2 * BURST):
            second = slice(first + BURST, first + 2 * BURST)
            upstream = self._neighbours.upstreams[second.start // BURST % UPSTREAMS]
            taken = workers_of(frames[first : second.start], WORKERS)
            while len(rows := np.flatnonzero(workers_of(frames[second], WORKERS) == taken)):
                copies = frames[second][rows]
                lay_out(copies, headers[second][rows], key_slots[second][rows])
                upstream.seal(copies)
                frames[second][rows] = copies
                self.again += len(rows)
