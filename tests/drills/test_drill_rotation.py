"""`fastmix drill run rotation`, its short form."""

import json

from fastmix.drills import rotation
from fastmix.drills.stage.report import Options


def test_nothing_is_lost_or_refused(options: Options) -> None:
    report = rotation.run(options)
    figures = json.loads(json.dumps(report.to_dict()))["figures"]
    assert (figures["lost"], figures["refused"], figures["doubled"]) == (0, 0, 0), report
    assert figures["rotations"] >= 3
    assert figures["packets"] > 3_000
    assert report.conservation["exact"]
    assert report.graces == {"slot": "2s", "early": "1500ms", "late": "2400ms", "max_latency": "10ms"}
