"""A running node tells what its core can do, and how much of that its packets take."""

from real_node import until

from fastmix.control.ask import ask
from fastmix.kernels.isa import active


def test_packets_are_load(pooled_node) -> None:
    node = pooled_node(30)
    told = until(lambda: (status := ask(node.state_dir, "status"))["load_percent"] > 0 and status)
    assert told["isa"] == active().name
    assert told["unwraps_per_s"] == ask(node.state_dir, "metrics")["unwraps_per_s"] > 500
    assert told["load_percent"] <= 100 * 30 / 0.05 / told["unwraps_per_s"]
