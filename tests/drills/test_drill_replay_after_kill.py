"""`fastmix drill run replay-after-kill`, its short form."""

from dataclasses import replace

from fastmix.drills import replay_after_kill
from fastmix.drills.stage.report import Options


def test_nothing_is_accepted_twice(options: Options) -> None:
    report = replay_after_kill.run(replace(options, rounds=2))
    assert report.passed, report
    figures = report.figures
    assert (figures["kills_of_the_data_plane"], figures["kills_of_the_node"]) == (1, 1)
    assert figures["replays_accepted"] == 0
    assert figures["replayed_packets"] > 1_000, "the second time all of the first again"
    assert figures["accepted_for_the_first_time"] == figures["tags_of_these"]
    refused = sum(n for name, n in figures.items() if name.startswith("replays_drop_"))
    assert refused == figures["replayed_datagrams"] + figures["replayed_packets"] - figures["accepted_for_the_first_time"]
    assert report.conservation["exact"]
