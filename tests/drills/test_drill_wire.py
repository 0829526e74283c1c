"""`fastmix drill run wire`, its short form."""

import json

from own_hosts import on_own_hosts

from fastmix.drills import wire
from fastmix.drills.stage.report import Options


@on_own_hosts
def test_nothing_can_be_read_and_nobody_answers() -> None:
    report = wire.run(Options(short=True, seed=5))
    figures = json.loads(json.dumps(report.to_dict()))["figures"]
    assert report.passed, report
    assert figures["sizes"] == [1232]
    assert figures["datagrams"] > 1000
    assert figures["messages"] > 10
    assert [figures[name] for name in figures if name.endswith("_found")] == [0, 0, 0, 0]
    assert (figures["answers"], figures["answers_of_closed_ports"]) == (0, 3)
    assert figures["stranger_sent"]["seen_on_the_wire"] == 10 * 5
    assert set(figures["refused"]) >= {"drop_length", "drop_unknown_index", "drop_link_auth"}
    assert report.conservation["exact"]
