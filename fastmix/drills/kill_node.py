"""kill -9 of the whole node under load, at any moment of its work: the next one goes on with its keys and replay sets.

All three processes die at once, and the drill starts the next node over the same files, while its neighbours go on sending. What
the dead node held is lost, and what comes while nobody listens; nothing else is, and nothing goes out twice. Every packet belongs
to a time by when it was due: to that of a node that works, or to that in which there is none. The times follow each other without
a gap, so that no loss is left out.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastmix.config import MixnodeConfig
from fastmix.drills.stage.flow import Flow
from fastmix.drills.stage.kills import (
    CALM_S,
    STEP_S,
    Losses,
    forwarding_again_s,
    losses,
    receive_calls,
    scene_of_lives,
    sent_before,
    slowest_s,
    tags,
    told_s,
)
from fastmix.drills.stage.report import Options, Outcome, Report
from fastmix.drills.stage.scene import Scene, Stage, repeated_while_void
from fastmix.errors import CryptoError
from fastmix.status import Metrics

NAME = "kill-node"
HELP = "SIGKILL to the whole node under load: nothing is taken or sent twice, and the next one forwards within six seconds."
FULL, SHORT = 50, 2
FORWARDING_S = 6.0
"""In 99 of 100 cases the next node has forwarded its first packet by then."""
HISTORY_S = 60.0
"""Packets are known for longer than two starts take on a busy machine, and a life."""
LIVES_S, SHORT_LIVES_S = (0.5, 1.5), (0.2, 0.5)
LONGEST_DELAY = 20
"""Mean delays: an exponential delay is longer once in e^20, or 485 million packets. A kill loses a few hundred."""


def run(options: Options) -> Report:
    """50 kills, or 2."""
    return repeated_while_void(NAME, options, scene_of_lives(options.count(FULL, SHORT)), perform)


@dataclass
class Course:
    """What the kills have come to so far."""

    calm_ns: int = 0
    """Since when the node has worked as it should."""
    unsure_ns: int = 0
    """Since when that was unsure before: from the last kill on."""
    back_s: list[float] = field(default_factory=list)
    lives: list[Metrics] = field(default_factory=list)
    held: list[Losses] = field(default_factory=list)
    held_most: list[int] = field(default_factory=list)
    oldest_most_s: list[float] = field(default_factory=list)
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
        course.calm_ns = course.unsure_ns = time.monotonic_ns()
        for kill in range(kills):
            options.progress(0.1 + 0.9 * kill / kills, f"kill {kill + 1} of {kills}")
            flow.run(random.uniform(*(SHORT_LIVES_S if options.short else LIVES_S)))
            cycle(stage, flow, course)
        flow.rest()
        course.lives.append(stage.settle())
        flow.rest()
        course.down.append(losses(flow, course.unsure_ns, course.calm_ns))
        late = losses(flow, course.calm_ns, time.monotonic_ns())
        flow.finish()
    return outcome_of(stage, flow, course, late)


def cycle(stage: Stage, flow: Flow, course: Course) -> None:
    """One kill and one start. From the first line on nothing is sent until the node is dead."""
    sent_ns, waiting, killed_ns = flow.next_due_ns, stage.waiting(), time.monotonic_ns()
    last = stage.kill_node()
    course.lives.append(last)
    course.held_most.append(held_most(stage.config, waiting, last))
    course.oldest_most_s.append(oldest_most_s(stage.scene, slowest_s(flow, course.calm_ns, killed_ns)))
    again = sent_before(flow, sent_ns)
    try:
        course.remembered.append(tags(stage.node.state_dir))
    except CryptoError as error:
        course.damaged.append(error)
    stage.start_node(lambda: flow.run(STEP_S))
    course.back_s.append(forwarding_again_s(flow, killed_ns))
    flow.run(CALM_S)
    course.down.append(losses(flow, course.unsure_ns, course.calm_ns))
    course.held.append(losses(flow, course.calm_ns, sent_ns))
    course.drops_while_down += stage.forgive_drops()
    course.unsure_ns, course.calm_ns = sent_ns, time.monotonic_ns()
    flow.send(again)
    course.replayed += len(again)


def held_most(config: MixnodeConfig, waiting: int, last: Metrics) -> int:
    """The most that a node can have held when it was killed, and so the most that is lost with it. A packet that was sent before
    and has not come out was, by the node's own account, pooled or in its stages (`last`); or it was still on its way to the node
    (`waiting`, looked at before `last`, so that what came in meanwhile counts twice and never not at all); or it was in a receive
    call that had returned and was not counted yet. Nothing is sent between these looks and the kill, and what leaves the node
    meanwhile only makes the loss smaller: so there is nothing of a rate, a delay or a busy machine in this."""
    return waiting + last.pooled + last.in_stage + receive_calls(config)


def oldest_most_s(scene: Scene, slow_s: float) -> float:
    """For how long the oldest packet of a loss can have been due. Its own delay, then `max_latency` at most; and it may have been
    held up as others were in the same life, which have come out (`slow_s`)."""
    return LONGEST_DELAY * scene.mean_delay.total_seconds() + scene.max_latency.total_seconds() + slow_s


def outcome_of(stage: Stage, flow: Flow, course: Course, late: Losses) -> Outcome:
    """Figures and checks."""
    times, held = told_s(course.back_s), [each.n for each in course.held]
    oldest_s = [each.oldest_s for each in course.held]
    drops = {reason for life in course.lives for reason, n in life.dropped.items() if n}
    return Outcome(
        figures={
            "kills": len(course.back_s), "packets": flow.expected, "replayed": course.replayed,
            "replays_accepted": flow.doubled + flow.unknown,
            "refused_as_replays": sum(life.dropped["drop_replay"] for life in course.lives),
            "lost_in_the_node": sum(held), "lost_in_the_node_bound": sum(course.held_most),
            "lost_in_the_node_most": max(held), "lost_in_the_node_bound_most": max(course.held_most),
            "oldest_lost_ms": round(1e3 * max(oldest_s), 1), "oldest_lost_bound_ms": round(1e3 * max(course.oldest_most_s), 1),
            "lost_while_down": sum(each.n for each in course.down),
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
            "each kill lost at most what the node held": no_more(held, course.held_most),
            "nothing was lost that had been in the node for longer than a packet may": no_more(oldest_s, course.oldest_most_s),
            "nothing was lost after the last start": late.n == 0,
        },
    )  # fmt: skip


def grown(before: dict[str, int], after: dict[str, int]) -> bool:
    """Whether each replay set that is still there has at least the tags that it had."""
    return all(after[name] >= n for name, n in before.items() if name in after)


def no_more(found: Sequence[float], most: Sequence[float]) -> bool:
    """Whether at each kill it was at most that."""
    return all(each <= limit for each, limit in zip(found, most, strict=True))
