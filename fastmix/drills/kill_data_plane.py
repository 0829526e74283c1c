"""kill -9 of the data plane under load, at any moment of its work: the next one goes on, and takes no packet a second time."""

from fastmix.drills.stage.kills import CALM_S, forwarding_again_s, kill_data_plane, receive_calls, sent_before, told_s
from fastmix.drills.stage.report import Options, Outcome, Report
from fastmix.drills.stage.scene import Scene, Stage, repeated_while_void

NAME = "kill-data-plane"
HELP = "SIGKILL to the data plane under load: nothing is taken or sent twice, and it forwards again within a second."
FULL, SHORT = 50, 4
FORWARDING_S = 1.0
"""In 99 of 100 cases the next data plane has forwarded its first packet by then."""


def run(options: Options) -> Report:
    """50 kills, or 4."""
    return repeated_while_void(NAME, options, Scene(key_s=options.count(FULL, SHORT) * 1.5), perform)


def perform(stage: Stage) -> Outcome:
    """Kills, replays, and counts."""
    options, random = stage.options, stage.options.random()
    kills = options.count(FULL, SHORT)
    before, back_s, replayed = stage.settle(), [], 0
    with stage.flow() as flow:
        flow.run(CALM_S)
        for kill in range(kills):
            options.progress(0.1 + 0.9 * kill / kills, f"kill {kill + 1} of {kills}")
            flow.run(random.uniform(0.2, 0.6))
            killed_ns = kill_data_plane(stage)
            back_s.append(forwarding_again_s(flow, killed_ns))
            again = sent_before(flow, killed_ns)
            flow.send(again)
            replayed += len(again)
        flow.run(CALM_S)
        flow.finish()
    after = stage.settle()
    in_calls = flow.sent - (after.received - before.received)
    refused = after.dropped["drop_replay"] - before.dropped["drop_replay"]
    in_calls_most = kills * receive_calls(stage.config)
    crashed = after.dropped["drop_crash"] - before.dropped["drop_crash"]
    left_uncertain = flow.received - (after.forwarded - before.forwarded)
    first_again = replayed - refused
    times = told_s(back_s)
    return Outcome(
        figures={
            "kills": kills, "restarts": after.restarts, "packets": flow.expected, "arrived": flow.arrived, "replayed": replayed,
            "replays_accepted": flow.doubled + flow.unknown,
            "refused_as_replays": refused, "replayed_of_lost": first_again, "lost_in_crashes": crashed,
            "crash_uncertain": after.crash_uncertain,
            "lost_in_receive_calls": in_calls, **times,
            **flow.told(),
        },
        checks={
            "each kill was followed by a restart": after.restarts == kills,
            "no packet came out twice": flow.doubled == flow.unknown == flow.bad == 0,
            "forwarding again within 1 s, p99": times["forwarding_again_p99_s"] <= FORWARDING_S,
            "what was sent was received, but for the receive calls of kills": 0 <= in_calls <= in_calls_most,
            "what was forwarded arrived, but for the send calls of kills": 0 <= left_uncertain <= after.crash_uncertain,
            "only packets that kills had lost were taken when they came again": 0 <= first_again <= crashed + in_calls,
            "every loss is accounted for": flow.lost == crashed + in_calls - first_again - left_uncertain,
        },
    )  # fmt: skip
