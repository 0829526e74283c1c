"""A real node over each backend: every datagram that was sent is accounted for, alone or in a train."""

import json
import os
import signal

import pytest
from real_node import until

from fastmix.control.ask import LAST_METRICS
from fastmix.packet.geometry import BATCH_MAX
from fastmix.status import Metrics

SOL_UDP, UDP_SEGMENT = 17, 103


def train(node, frames: list[bytes]) -> None:
    """Frames of one size to the node, as the kernel of a neighbour with trains sends them."""
    control = [(SOL_UDP, UDP_SEGMENT, len(frames[0]).to_bytes(2, "little"))]
    node.before.sendmsg(frames, control, 0, node.address)
    node.sent += len(frames)


@pytest.mark.parametrize(("io", "workers"), [("auto", 1), ("gso", 2), ("mmsg", 1), ("socket", 2)])
def test_all_that_is_sent_is_accounted_for(start, io, workers) -> None:
    node = start(options={"io": io, "workers": workers})
    chosen = "gso" if io == "auto" else io
    assert node.ask("status")["io"] == chosen
    for length in (1, 30, 3, 2):
        train(node, [node.upstream.frame(node.packet()) for _ in range(length)])
        node.send(length)
    train(node, [bytes(1231)] * 10)
    train(node, [bytes(2284)] * 5)
    node.settle(node.sent)
    assert until(lambda: node.receive() == 72 and node.frames)
    assert node.stop() == 0
    metrics = Metrics(**json.loads((node.state_dir / LAST_METRICS).read_text()))
    assert (metrics.received, metrics.forwarded, metrics.kernel_drop_events, metrics.conservation) == (node.sent, 72, 0, 0)
    assert {label: n for label, n in metrics.dropped.items() if n} == {"drop_length": 10, "drop_other_geometry": 5}
    assert len({opened.packet for opened in node.opened()}) == 72
    assert f"datagrams move by {chosen}" in node.log()


def test_killed_with_trains_half_given(start) -> None:
    """More datagrams in trains than a batch takes: those that the process still held when it was killed are counted too."""
    node = start(options={"io": "gso"}, kills=(1, 1, 1))
    pid = node.signal(signal.SIGSTOP, "data")
    for _ in range(7):
        train(node, [node.upstream.frame(node.packet()) for _ in range(44)])
    os.kill(pid, signal.SIGCONT)
    node.settle(node.sent)
    metrics = node.metrics()
    assert node.sent > BATCH_MAX
    assert (metrics.dropped["drop_crash"], metrics.forwarded, metrics.conservation) == (node.sent, 0, 0)
