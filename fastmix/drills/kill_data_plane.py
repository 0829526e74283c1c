"""kill -9 of the data plane under load, at any moment of its work: the next one goes on, and takes no packet a second time.

Keys of two seconds change meanwhile, so that kills come at any phase of a rotation. A packet that waited for the next data plane
may come after its key's end, and is refused then: such packets are counted, and none but these may be.
"""

import math
import time
from dataclasses import dataclass, field
from random import Random

from fastmix.drills.stage.flow import Flow
from fastmix.drills.stage.kills import (
    CALM_S,
    forwarding_again_s,
    kill_data_plane,
    lost_and_over,
    over,
    receive_calls,
    sent_before,
    told_s,
)
from fastmix.drills.stage.report import Options, Outcome, Report
from fastmix.drills.stage.scene import ROTATING, Stage, repeated_while_void
from fastmix.status import Metrics

NAME = "kill-data-plane"
HELP = "SIGKILL to the data plane under load: nothing is taken or sent twice, and it forwards again within a second."
FULL, SHORT = 50, 4
FORWARDING_S = 1.0
"""In 99 of 100 cases the next data plane has forwarded its first packet by then."""
LIVE_NS = 1_000_000_000
"""So long the key of a packet that is sent again is still live, so that it is refused as a replay and nothing else."""


def run(options: Options) -> Report:
    """50 kills, or 4."""
    return repeated_while_void(NAME, options, ROTATING, perform)


@dataclass
class Course:
    """What the kills have come to so far."""

    begun_ns: int = 0
    """Since when packets are still to be looked at for their slots."""
    back_s: list[float] = field(default_factory=list)
    replayed: int = 0
    too_late: int = 0


def perform(stage: Stage) -> Outcome:
    """Kills, replays, and counts."""
    options, random = stage.options, stage.options.random()
    kills, course, before = options.count(FULL, SHORT), Course(), stage.settle()
    with stage.flow() as flow:
        flow.run(CALM_S)
        first = slot_of_now()
        for kill in range(kills):
            options.progress(0.1 + 0.9 * kill / kills, f"kill {kill + 1} of {kills}")
            cycle(stage, flow, course, random)
        flow.run(CALM_S)
        while (rotations := slot_of_now() - first) < 1:
            flow.run(CALM_S)
        course.too_late += lost_and_over(flow, ROTATING.times, course.begun_ns, time.monotonic_ns())
        flow.finish()
    return outcome_of(stage, flow, course, rotations, before)


def slot_of_now() -> int:
    """Its number."""
    return math.floor(time.time() / ROTATING.slot.total_seconds())


def cycle(stage: Stage, flow: Flow, course: Course, random: Random) -> None:
    """One kill."""
    flow.run(random.uniform(0.2, 0.6))
    killed_ns = kill_data_plane(stage)
    course.back_s.append(forwarding_again_s(flow, killed_ns))
    course.too_late += lost_and_over(flow, ROTATING.times, course.begun_ns, killed_ns)
    course.begun_ns = killed_ns
    again = sent_before(flow, killed_ns)
    again = again[~over(again, ROTATING.times, time.time_ns() + LIVE_NS)]
    flow.send(again)
    course.replayed += len(again)


def outcome_of(stage: Stage, flow: Flow, course: Course, rotations: int, before: Metrics) -> Outcome:
    """Figures and checks."""
    after, kills, times = stage.settle(), len(course.back_s), told_s(course.back_s)
    in_calls, in_calls_most = flow.sent - (after.received - before.received), kills * receive_calls(stage.config)
    refused, crashed, refused_for_slot = (
        after.dropped[reason] - before.dropped[reason] for reason in ("drop_replay", "drop_crash", "drop_key_slot")
    )
    left_uncertain = flow.received - (after.forwarded - before.forwarded)
    first_again, gone = course.replayed - refused, crashed + in_calls + refused_for_slot
    return Outcome(
        figures={
            "kills": kills, "restarts": after.restarts, "rotations": rotations, "packets": flow.expected,
            "arrived": flow.arrived, "replayed": course.replayed, "replays_accepted": flow.doubled + flow.unknown,
            "refused_as_replays": refused, "replayed_of_lost": first_again, "lost_in_crashes": crashed,
            "refused_for_their_slot": refused_for_slot, "refused_for_their_slot_bound": course.too_late,
            "crash_uncertain": after.crash_uncertain, "lost_in_receive_calls": in_calls, **times, **flow.told(),
        },
        checks={
            "each kill was followed by a restart": after.restarts == kills,
            "no packet came out twice": flow.doubled == flow.unknown == flow.bad == 0,
            "forwarding again within 1 s, p99": times["forwarding_again_p99_s"] <= FORWARDING_S,
            "no packet was refused for its slot whose key was live": refused_for_slot <= course.too_late,
            "what was sent was received, but for the receive calls of kills": 0 <= in_calls <= in_calls_most,
            "what was forwarded arrived, but for the send calls of kills": 0 <= left_uncertain <= after.crash_uncertain,
            "only packets that kills had lost were taken when they came again": 0 <= first_again <= gone,
            "every loss is accounted for": flow.lost == gone - first_again - left_uncertain,
        },
    )  # fmt: skip
