"""All traffic of the last minute, sent once more after kill -9 of the data plane or of the whole node: none of it is accepted.

First the newest datagrams as they were on the wire, as whoever listens there can send them; then every packet of the minute in
new link frames, as a neighbour can. A packet that a kill has kept from ever being accepted may come out, once: then exactly one
tag more is in the replay sets.
"""

import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from fastmix.drills.stage.flow import Flow
from fastmix.drills.stage.kills import CALM_S, STEP_S, forwarding_again_s, kill_data_plane, scene_of_lives, tags, told_s
from fastmix.drills.stage.report import Options, Outcome, Report
from fastmix.drills.stage.scene import Stage, repeated_while_void

NAME = "replay-after-kill"
HELP = "The traffic of the last minute, sent again after each kill -9 of data plane or node: none of it is accepted."
FULL, SHORT = 50, 4
"""Kills: of the data plane and of the whole node in turn."""
RECORDED_S = 60.0
WIRE_S = 2.0
"""So long datagrams are kept as they were on the wire."""
LIVES_S, SHORT_LIVES_S = (1.0, 3.0), (0.2, 0.5)
REPLAYS_PER_S = 5000.0
"""At least: otherwise twice the load."""


def run(options: Options) -> Report:
    """50 kills, or 4."""
    return repeated_while_void(NAME, options, scene_of_lives(options.count(FULL, SHORT)), perform)


@dataclass
class Course:
    """What came of the replays so far. `first`: packets that came out then and never before; `tags`: new ones."""

    frames: int = 0
    packets: int = 0
    received: int = 0
    forwarded: int = 0
    first: int = 0
    tags: int = 0
    twice: int = 0
    drops: Counter[str] = field(default_factory=Counter)


def perform(stage: Stage) -> Outcome:
    """Kills, replays, and counts."""
    options, random = stage.options, stage.options.random()
    kills, course, drops_while_down = options.count(FULL, SHORT), Course(), 0
    back_s: dict[bool, list[float]] = {False: [], True: []}
    with stage.flow(history_s=RECORDED_S, recorded_s=WIRE_S) as flow:
        flow.run(CALM_S)
        for kill in range(kills):
            options.progress(0.1 + 0.9 * kill / kills, f"kill {kill + 1} of {kills}, {course.packets:,} packets replayed")
            flow.run(random.uniform(*(SHORT_LIVES_S if options.short else LIVES_S)))
            whole = bool(kill % 2)
            back_s[whole].append(kill_and_wait_s(stage, flow, whole=whole))
            flow.run(CALM_S)
            if whole:
                drops_while_down += stage.forgive_drops()
            replay(stage, flow, course)
        flow.run(CALM_S)
        flow.finish()
    stage.settle()
    times = {f"data_plane_{name}": value for name, value in told_s(back_s[False]).items()}
    times |= {f"node_{name}": value for name, value in told_s(back_s[True]).items()}
    return Outcome(
        figures={
            "kills_of_the_data_plane": len(back_s[False]), "kills_of_the_node": len(back_s[True]), "packets": flow.expected,
            "replayed_datagrams": course.frames, "replayed_packets": course.packets,
            "replays_accepted": course.twice + abs(course.first - course.tags),
            "accepted_for_the_first_time": course.first, "tags_of_these": course.tags,
            **{f"replays_{reason}": n for reason, n in sorted(course.drops.items())},
            "kernel_drop_events_while_down": drops_while_down, **times, **flow.told(),
        },
        checks={
            "no packet came out twice": flow.doubled == flow.unknown == flow.bad == course.twice == 0,
            "what came out had never been accepted before": course.forwarded == course.first == course.tags,
            "every replay reached the node": course.received == course.frames + course.packets,
            "all others were refused as replays": course.drops.total() == course.received - course.first
            and set(course.drops) <= {"drop_replay", "drop_link_replay", "drop_link_old", "drop_key_slot"},
        },
    )  # fmt: skip


def kill_and_wait_s(stage: Stage, flow: Flow, *, whole: bool) -> float:
    """Kills the data plane or the whole node; how long it took until packets were forwarded again."""
    if not whole:
        return forwarding_again_s(flow, kill_data_plane(stage))
    killed_ns = time.monotonic_ns()
    stage.kill_node()
    stage.start_node(lambda: flow.run(STEP_S))
    return forwarding_again_s(flow, killed_ns)


def replay(stage: Stage, flow: Flow, course: Course) -> None:
    """Lets the node run empty, then sends all that is recorded, and counts what became of it."""
    state_dir, rate = stage.node.state_dir, max(2 * stage.load_per_s, REPLAYS_PER_S)
    quiet(stage, flow)
    before, known, arrived, doubled = stage.settle(), tags(state_dir), came_out(flow), flow.doubled
    for wave in reversed(flow.waves):
        if wave.frames is not None:
            flow.send_frames(wave.frames, rate)
            course.frames += len(wave.frames)
    for wave in reversed(flow.waves):
        flow.send_again(wave.packets, rate)
        course.packets += len(wave.packets)
    quiet(stage, flow)
    after, now = stage.settle(), tags(state_dir)
    course.received += after.received - before.received
    course.forwarded += after.forwarded - before.forwarded
    course.first += came_out(flow) - arrived
    course.tags += sum(n - known.get(name, 0) for name, n in now.items())
    course.twice += flow.doubled - doubled
    course.drops += Counter(after.dropped) - Counter(before.dropped)


def quiet(stage: Stage, flow: Flow) -> None:
    """Nothing is on its way any more."""
    flow.rest()
    stage.settle()
    flow.rest()


def came_out(flow: Flow) -> int:
    """Packets of the last minute that have come out by now."""
    return sum(int(np.count_nonzero(wave.arrived_ns)) for wave in flow.waves)
