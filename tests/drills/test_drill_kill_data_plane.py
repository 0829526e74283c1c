"""`fastmix drill run kill-data-plane`, its short form."""

import json
from dataclasses import replace

from fastmix.drills import kill_data_plane
from fastmix.drills.stage.report import Options


def test_no_packet_is_taken_or_sent_twice(options: Options) -> None:
    report = kill_data_plane.run(replace(options, rounds=3))
    figures = json.loads(json.dumps(report.to_dict()))["figures"]
    forwarding_again = "forwarding again within 1 s, p99"  # which a busy machine may miss
    assert all(holds for check, holds in report.checks.items() if check != forwarding_again), report
    assert figures["kills"] == figures["restarts"] == 3
    assert figures["replays_accepted"] == 0
    assert figures["replayed"] >= 100
    assert figures["forwarding_again_max_s"] > 0
    assert report.conservation["exact"]
