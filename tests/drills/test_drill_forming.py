"""The short forms of drills on a network that forms by itself."""

import json

import pytest
from own_hosts import on_own_hosts

from fastmix.drills import blackhole, nine_nodes, node_killed, partition
from fastmix.drills.stage.report import Options


@on_own_hosts
def test_six_nodes_form_a_network() -> None:
    report = nine_nodes.run(Options(short=True, seed=5))
    assert report.passed, report
    figures = json.loads(json.dumps(report.to_dict()))["figures"]
    assert figures["nodes_by_layer"] == [2, 2, 2]
    assert figures["messages"] == figures["arrived"] > 30


@pytest.mark.long
@pytest.mark.parametrize("drill", [blackhole, node_killed, partition])
@on_own_hosts
def test_delivery_is_back(drill) -> None:
    report = drill.run(Options(short=True, seed=5))
    assert report.passed, report
    assert report.figures["failures"] == 1
