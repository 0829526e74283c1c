"""kill -9 of the data plane under load, at any moment of its work: the next one goes on, and takes no packet a second time."""

import os
import signal
import time

import numpy as np

from fastmix.drills.stage.flow import Flow, Wave
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
    forwarded = after.forwarded - before.forwarded
    came = flow.received
    slowest = np.percentile(back_s, [50, 99, 100])
    return Outcome(
        figures={
            "kills": kills, "restarts": after.restarts, "packets": flow.expected, "arrived": flow.arrived, "replayed": replayed,
            "replays_accepted": flow.doubled + flow.unknown,
            "refused_as_replays": after.dropped["drop_replay"] - before.dropped["drop_replay"],
            "lost_in_crashes": after.dropped["drop_crash"], "crash_uncertain": after.crash_uncertain,
            "lost_in_receive_calls": in_calls, "forwarding_again_p50_s": round(slowest[0], 3),
            "forwarding_again_p99_s": round(slowest[1], 3), "forwarding_again_max_s": round(slowest[2], 3),
        },
        checks={
            "each kill was followed by a restart": after.restarts == kills,
            "no packet came out twice": flow.doubled == flow.unknown == flow.bad == 0,
            "forwarding again within 1 s, p99": slowest[1] <= FORWARDING_S,
            "what was sent was received, but for the receive calls of kills": 0 <= in_calls <= kills * RECEIVE_CALL,
            "what was forwarded arrived, but for the send calls of kills": 0 <= came - forwarded <= after.crash_uncertain,
            "all losses are accounted for": flow.lost <= after.dropped["drop_crash"] + in_calls,
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
    """From the kill until the first packet that was sent after it is at the sink."""
    while time.monotonic_ns() < killed_ns + int(PATIENCE_S * 1e9):
        flow.run(STEP_S)
        first = [first_ns for wave in flow.waves if (first_ns := first_arrival_ns(wave, killed_ns))]
        if first:
            return (min(first) - killed_ns) / 1e9
    raise BatchTimeout(f"nothing was forwarded in {PATIENCE_S:.0f} s after a kill")


def first_arrival_ns(wave: Wave, killed_ns: int) -> int:
    """Of the wave's packets that were due after the kill; 0 where none has arrived."""
    if wave.end_ns <= killed_ns:
        return 0
    arrived = wave.arrived_ns[wave.due_ns > killed_ns]
    return int(arrived[arrived > 0].min(initial=np.iinfo(np.int64).max)) if (arrived > 0).any() else 0


def sent_before(flow: Flow, killed_ns: int) -> Packets:
    """Packets of the last wave but one before the kill, whether they have come out or not."""
    waves = [wave for wave in flow.waves if wave.interval_ns and wave.start_ns < killed_ns]
    found = waves[0].packets[waves[0].due_ns < killed_ns]
    earlier = waves[1].packets if len(waves) > 1 else found[:0]
    rows = max(REPLAYED - len(found), 0)
    return found[-REPLAYED:] if not rows else Packets.joined(found, earlier[max(len(earlier) - rows, 0) :])
