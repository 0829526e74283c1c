"""kill -9 of the whole node under load, at any moment of its work: the next one goes on with its keys and replay sets.

All three processes die at once, and the drill starts the next node over the same files, while its neighbours go on sending. What
the dead node held is lost, and what comes while nobody listens; nothing else is, and nothing goes out twice.
"""

import time
from dataclasses import dataclass, field

from fastmix.drills.stage.flow import Flow
from fastmix.drills.stage.kills import STEP_S, Losses, forwarding_again_s, losses, sent_before, tags, told_s
from fastmix.drills.stage.report import Options, Outcome, Report
from fastmix.drills.stage.scene import RECEIVE_BUFFER, Scene, Stage, repeated_while_void
from fastmix.errors import CryptoError
from fastmix.status import Metrics

NAME = "kill-node"
HELP = "SIGKILL to the whole node under load: nothing is taken or sent twice, and the next one forwards within six seconds."
FULL, SHORT = 50, 2
FORWARDING_S = 6.0
"""In 99 of 100 cases the next node has forwarded its first packet by then."""
CYCLE_S = 8.0
"""No cycle is longer, as a rule: replay sets have room for that."""
HISTORY_S = 30.0
"""Packets are known for longer than a start takes."""
LIVES_S, SHORT_LIVES_S = (0.5, 1.5), (0.2, 0.5)
CALM_S = 0.3
"""After the first packet: then what had gathered in the socket is worked off."""
DATAGRAM = 2304
"""What the kernel counts for a datagram of a frame's size, at least, in a receive buffer of twice the size that was asked for."""
HELD_S = 1.0
"""How much longer than its delay and `max_latency` a packet may have been in a busy node."""


def run(options: Options) -> Report:
    """50 kills, or 2."""
    return repeated_while_void(NAME, options, Scene(key_s=options.count(FULL, SHORT) * CYCLE_S / 2), perform)


@dataclass
class Course:
    """What the kills have come to so far."""

    back_s: list[float] = field(default_factory=list)
    lives: list[Metrics] = field(default_factory=list)
    held: list[Losses] = field(default_factory=list)
    down: list[Losses] = field(default_factory=list)
    remembered: list[dict[str, int]] = field(default_factory=list)
    damaged: list[CryptoError] = field(default_factory=list)
    replayed: int = 0
    drops_while_down: int = 0


def perform(stage: Stage) -> Outcome:
    """Kills, starts, and counts."""
    options, random = stage.options, stage.options.random()
    kills, course = options.count(FULL, SHORT), Course()
    with stage.flow(history_s=HISTORY_S) as flow:
        flow.run(CALM_S)
        calm_ns = time.monotonic_ns()
        for kill in range(kills):
            options.progress(0.1 + 0.9 * kill / kills, f"kill {kill + 1} of {kills}")
            flow.run(random.uniform(*(SHORT_LIVES_S if options.short else LIVES_S)))
            calm_ns = cycle(stage, flow, course, calm_ns)
        flow.rest()
        course.lives.append(stage.settle())
        flow.rest()
        late = losses(flow, calm_ns, time.monotonic_ns())
        flow.finish()
    return outcome_of(stage, flow, course, late)


def cycle(stage: Stage, flow: Flow, course: Course, calm_ns: int) -> int:
    """One kill and one start; `calm_ns`: since when the node had worked as it should. When the next one does."""
    course.lives.append(stage.node.metrics())
    killed_ns = time.monotonic_ns()
    stage.kill_node()
    again = sent_before(flow, killed_ns)
    try:
        course.remembered.append(tags(stage.node.state_dir))
    except CryptoError as error:
        course.damaged.append(error)
    stage.start_node(lambda: flow.run(STEP_S))
    course.back_s.append(forwarding_again_s(flow, killed_ns))
    flow.run(CALM_S)
    course.held.append(losses(flow, calm_ns, killed_ns))
    course.down.append(losses(flow, killed_ns, time.monotonic_ns() - int(CALM_S * 1e9)))
    course.drops_while_down += stage.forgive_drops()
    calm_ns = time.monotonic_ns()
    flow.send(again)
    course.replayed += len(again)
    return calm_ns


def outcome_of(stage: Stage, flow: Flow, course: Course, late: Losses) -> Outcome:
    """Figures and checks."""
    config, scene, times = stage.config, stage.scene, told_s(course.back_s)
    room = config.pool_slots + config.workers * (config.receive_batch + 2 * RECEIVE_BUFFER // DATAGRAM)
    held_s = 10 * scene.mean_delay.total_seconds() + scene.max_latency.total_seconds() + HELD_S
    most, oldest_s = max(each.n for each in course.held), max(each.oldest_s for each in course.held)
    drops = {reason for life in course.lives for reason, n in life.dropped.items() if n}
    return Outcome(
        figures={
            "kills": len(course.back_s), "packets": flow.expected, "replayed": course.replayed,
            "replays_accepted": flow.doubled + flow.unknown,
            "refused_as_replays": sum(life.dropped["drop_replay"] for life in course.lives),
            "lost_in_the_node": sum(each.n for each in course.held), "lost_in_the_node_most": most,
            "oldest_lost_ms": round(1e3 * oldest_s, 1), "lost_while_down": sum(each.n for each in course.down),
            "refused_while_down": flow.refused, "kernel_drop_events_while_down": course.drops_while_down,
            "lost_afterwards": late.n, "damaged_pairs": len(course.damaged),
            "remembered_at_the_last_kill": sum(course.remembered[-1].values()) if course.remembered else 0,
            **times, **flow.told(),
        },
        checks={
            "no packet came out twice": flow.doubled == flow.unknown == flow.bad == 0,
            "keys and replay sets were whole after each kill": not course.damaged,
            "replay sets forgot nothing": all(map(grown, course.remembered, course.remembered[1:])),
            "each node took up the keys of the one before": drops <= {"drop_replay"},
            "the counters of each node added up": not any(life.conservation for life in course.lives),
            "forwarding again within 6 s, p99": times["forwarding_again_p99_s"] <= FORWARDING_S,
            "losses are at most what fits into the node": most <= room,
            "nothing was lost that had been in the node for longer than a packet may": oldest_s <= held_s,
            "nothing was lost after the last start": late.n == 0,
        },
    )  # fmt: skip


def grown(before: dict[str, int], after: dict[str, int]) -> bool:
    """Whether each replay set that is still there has at least the tags that it had."""
    return all(after[name] >= n for name, n in before.items() if name in after)
