"""Status and metrics: the conservation law and what --json shows."""

import json
from dataclasses import replace

from fastmix.packet.verdict import DROPS
from fastmix.status import Metrics, NodeState, NodeStatus


def test_conservation() -> None:
    metrics = Metrics(
        received=100, originated=10, forwarded=60, delivered=5, absorbed_cover=5, pooled=20, in_stage=8,
        dropped={"drop_mac": 7, "drop_replay": 5}, kernel_drop_events=3, crash_uncertain=1, released_below_floor=9,
        strategy_faults=2,
    )  # fmt: skip
    assert (metrics.dropped_total, metrics.conservation) == (12, 0)
    assert Metrics(received=3, forwarded=1).conservation == 2
    assert Metrics(received=1, dropped={"drop_mac": 2}).conservation == -1


def test_the_account_adds_up() -> None:
    whole = Metrics(received=5, originated=2, forwarded=4, delivered=2, dropped={"drop_mac": 1})
    assert whole.account == "5 received + 2 originated = 4 forwarded + 2 delivered + 0 absorbed + 1 dropped"
    rest = replace(whole, received=9, pooled=2, in_stage=1)
    assert rest.account.endswith("= 4 forwarded + 2 delivered + 0 absorbed + 2 pooled + 1 in stage + 1 dropped + 1 missing")
    for each in (whole, rest):
        came, went = ([int(word) for word in side.split() if word.isdigit()] for side in each.account.split("="))
        assert sum(came) == sum(went)


def test_json_of_metrics() -> None:
    found = Metrics(
        received=2, forwarded=1, dropped={verdict.label: int(verdict.label == "drop_mac") for verdict in DROPS}
    ).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert (found["dropped"], found["conservation"], found["kernel_drop_events"]) == ({"drop_mac": 1}, "exact", 0)
    assert Metrics(received=2).to_dict()["conservation"] == 2


def test_json_of_status() -> None:
    found = NodeStatus("mix-001", NodeState.RUNNING, 1.5, 7).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert (found["state"], found["messages_processed"]) == ("running", 7)
