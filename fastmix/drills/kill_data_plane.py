"""kill -9 of the data plane under load, at any moment of its work: the next one goes on, and takes no packet a second time."""

import os
import signal
import time

import numpy as np

from fastmix.drills.stage.flow import Flow
from fastmix.drills.stage.packets import Packets
from fastmix.drills.stage.report import Options, Outcome, Report
from fastmix.drills.stage.scene import Scene, Stage, repeated_while_void
from fastmix.errors import BatchTimeout

NAME = "kill-data-plane"
HELP = "kill -9 of the data plane under load: nothing is taken or sent twice, and it forwards again within a second."
FULL, SHORT = 50, 4
FORWARDING_S = 1.0
"""In 99 of 100 cases the next data plane has forwarded its first packet by then."""
PATIENCE_S = 20.0
NOTHING = np.zeros(0, np.int64)
REPLAYED = 500
"""Packets sent before a kill that are sent again after it."""
STEP_S = 0.005
RECEIVE_CALL = 256
"""Datagrams that a kill between the kernel's hand and the node's count can make as if they had never come."""


def run(options: Options) -> Report:
    """50 kills, or 4."""
    return repeated_while_void(NAME, options, Scene(key_s=options.count(FULL, SHORT) * 1.5), perform)


def perform(stage: Stage) -> Outcome:
    """Kills, replays, and counts."""
    options, random = stage.options, stage.options.random()
    kills = options.count(FULL, SHORT)
    before, back_s, replayed = stage.settle(), [], 0
    with stage.flow() as flow:
        flow.run(0.3)
        for kill in range(kills):
            options.progress(0.1 + 0.9 * kill / kills, f"kill {kill + 1} of {kills}")
            flow.run(random.uniform(0.2, 0.6))
            killed_ns = kill_data_plane(stage)
            back_s.append(forwarding_again_s(flow, killed_ns))
            again = sent_before(flow, killed_ns)
            flow.send(again)
            replayed += len(again)
        flow.run(0.3)
        flow.finish()
    after = stage.settle()
    in_calls = flow.sent - (after.received - before.received)
    refused = after.dropped["drop_replay"] - before.dropped["drop_replay"]
    crashed = after.dropped["drop_crash"] - before.dropped["drop_crash"]
    left_uncertain = flow.received - (after.forwarded - before.forwarded)
    first_again = replayed - refused
    slowest = np.percentile(back_s, [50, 99, 100])
    return Outcome(
        figures={
            "kills": kills, "restarts": after.restarts, "packets": flow.expected, "arrived": flow.arrived, "replayed": replayed,
            "replays_accepted": flow.doubled + flow.unknown,
            "refused_as_replays": refused, "replayed_of_lost": first_again, "lost_in_crashes": crashed,
            "crash_uncertain": after.crash_uncertain,
            "lost_in_receive_calls": in_calls, "forwarding_again_p50_s": round(slowest[0], 3),
            "forwarding_again_p99_s": round(slowest[1], 3), "forwarding_again_max_s": round(slowest[2], 3),
            **flow.told(),
        },
        checks={
            "each kill was followed by a restart": after.restarts == kills,
            "no packet came out twice": flow.doubled == flow.unknown == flow.bad == 0,
            "forwarding again within 1 s, p99": slowest[1] <= FORWARDING_S,
            "what was sent was received, but for the receive calls of kills": 0 <= in_calls <= kills * RECEIVE_CALL,
            "what was forwarded arrived, but for the send calls of kills": 0 <= left_uncertain <= after.crash_uncertain,
            "only packets that kills had lost were taken when they came again": 0 <= first_again <= crashed + in_calls,
            "every loss is accounted for": flow.lost == crashed + in_calls - first_again - left_uncertain,
        },
    )  # fmt: skip


def kill_data_plane(stage: Stage) -> int:
    """SIGKILL to the data plane of now; when, in monotonic ns."""
    give_up = time.monotonic() + PATIENCE_S
    while not (pid := stage.node.data_pid()):
        if time.monotonic() > give_up:
            raise BatchTimeout(f"the node has no data plane after {PATIENCE_S:.0f} s: see {stage.node.log_path}")
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    return time.monotonic_ns()


def forwarding_again_s(flow: Flow, killed_ns: int) -> float:
    """From the kill until the first packet that was due after it is at the sink. A generator that had nothing ready does not
    count against the node: then it is from when that packet was due."""
    while time.monotonic_ns() < killed_ns + int(PATIENCE_S * 1e9):
        flow.run(STEP_S)
        after = [(wave.arrived_ns, wave.due_ns) for wave in flow.waves if wave.end_ns > killed_ns]
        arrived, due = (np.concatenate(column) for column in zip(*after, strict=True)) if after else (NOTHING, NOTHING)
        here = (due > killed_ns) & (arrived > 0)
        if here.any():
            began_ns = int(due[due > killed_ns].min())
            return (int(arrived[here].min()) - max(killed_ns, began_ns)) / 1e9
    raise BatchTimeout(f"nothing was forwarded in {PATIENCE_S:.0f} s after a kill")


def sent_before(flow: Flow, killed_ns: int) -> Packets:
    """Packets of the last wave but one before the kill, whether they have come out or not."""
    waves = [wave for wave in flow.waves if wave.interval_ns and wave.start_ns < killed_ns]
    found = waves[0].packets[waves[0].due_ns < killed_ns]
    earlier = waves[1].packets if len(waves) > 1 else found[:0]
    rows = max(REPLAYED - len(found), 0)
    return found[-REPLAYED:] if not rows else Packets.joined(found, earlier[max(len(earlier) - rows, 0) :])
