"""`fastmix drill run duplicates`, its short form."""

from dataclasses import replace

from fastmix.drills import duplicates
from fastmix.drills.stage.report import Options


def test_one_of_each_pair_goes_on(options: Options) -> None:
    report = duplicates.run(replace(options, rate=8_000))
    assert report.passed, report
    figures = report.figures
    assert figures["pairs"] >= 20_000
    assert figures["forwarded"] == figures["refused_as_replays"] == figures["arrived_once"] == figures["pairs"]
    assert figures["received_by_worker"] == [figures["pairs"]] * 2
    assert (figures["arrived_twice"], figures["never_arrived"]) == (0, 0)
    assert figures["sealed_again"] > 0.8 * figures["pairs"], "half of the copies, half of those again, and so on"
    assert report.load["workers"] == 2
