"""What a running node is asked and told over its control socket, and what it counts of the kernel."""

import base64
import os
import pickle
import signal
import socket

import pytest
import rubbish_mixing
from real_node import until

from fastmix.config import MixingConfig
from fastmix.process.mixing import mixing_blob

HOLD = MixingConfig(strategy="timed", options={"interval": "30s"}, floor=0, min_batch_size=1)
AT_ONCE = MixingConfig(strategy="poisson", floor=0, min_batch_size=1)


def configure(node, mixing):
    return node.ask("configure_mixing", blob=base64.b64encode(mixing_blob(mixing, node.plan.network, 1)).decode())


def forwarded(node, n):
    until(lambda: node.receive() == n)
    return node.metrics()


def test_mixing_reconfigured_while_it_runs(start) -> None:
    """Held by one strategy, let go by the next; a kill between keeps the one in force; no packet is lost."""
    node = start()
    node.send(20)
    forwarded(node, 20)
    assert configure(node, HOLD.model_copy(update={"max_latency": HOLD.max_latency * 100})) is True
    node.send(30)
    until(lambda: node.metrics().pooled == 30)
    pid = node.signal(signal.SIGKILL, "data")
    until(lambda: node.child("data") not in (0, pid))
    node.send(10)
    until(lambda: node.metrics().pooled == 40)
    assert node.receive() == 20
    assert configure(node, AT_ONCE) is True
    metrics = forwarded(node, 60)
    assert (metrics.conservation, metrics.dropped_total, metrics.strategy_faults) == (0, 0, 0)


REFUSED = {
    "no pickle": b"rubbish",
    "explodes": pickle.dumps(rubbish_mixing.Exploding()),
    "no pair": pickle.dumps(1),
    "no strategy": pickle.dumps((1, 2)),
    "empty": b"",
    "too large": bytes(65537),
}


def test_what_cannot_be_used_is_refused(start) -> None:
    """The old strategy stays, also over a kill of the data plane."""
    node = start()
    for blob in REFUSED.values():
        assert "refused: " in node.ask("configure_mixing", blob=base64.b64encode(blob).decode())
    assert "refused: configure_mixing" in node.ask("configure_mixing", blob="no base64!")
    assert "refused: configure_mixing" in node.ask("configure_mixing")
    assert "refused: " in node.ask("explode")
    pid = node.signal(signal.SIGKILL, "data")
    until(lambda: node.child("data") not in (0, pid))
    node.send(25)
    assert forwarded(node, 25).conservation == 0
    assert configure(node, AT_ONCE) is True
    assert node.stop() == 0


@pytest.mark.parametrize("kind", ["raises", "cancelled", "exits", *rubbish_mixing.ANSWERS])
def test_a_rubbish_strategy_is_contained(start, kind) -> None:
    """Counted, logged once, packets leave at their own deadlines."""
    strategy = {"strategy": "rubbish_mixing:Rubbish", "options": {"kind": kind}, "floor": 0, "min_batch_size": 1}
    node = start(options={"mixing": strategy})
    node.send(40)
    metrics = forwarded(node, 40)
    until(lambda: node.metrics().forwarded == 40)
    assert metrics.conservation == 0
    assert until(lambda: node.metrics().strategy_faults) > 0
    assert node.log().count("Logged once") == 1
    assert node.stop() == 0


def test_nonsense_on_the_control_socket(start) -> None:
    """Each line has an answer, a line without an end is not waited for, and the node goes on."""
    node = start()
    with socket.socket(socket.AF_UNIX) as talk:
        talk.settimeout(10)
        talk.connect(str(node.state_dir / "control.sock"))
        answers = talk.makefile("rb")
        for line in (b"", b"hello", b"[]", b"{}", b'{"op": 5}', b'{"op": ["status"]}', b'"status"', b"\xff\xfe", b"[" * 100_000):
            talk.sendall(line + b"\n")
            assert b"error" in answers.readline()
    with socket.socket(socket.AF_UNIX) as talk:
        talk.settimeout(10)
        talk.connect(str(node.state_dir / "control.sock"))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            talk.sendall(bytes(1 << 25))
    assert node.state() == "running"
    assert (node.state_dir / "control.sock").stat().st_mode & 0o777 == 0o600
    assert "Traceback" not in node.log()


def test_kernel_drop_events_are_counted(start) -> None:
    """A burst into a small buffer while the data plane stands still: what is not received is a kernel drop, to the last one."""
    node = start(options={"receive_buffer": 1 << 16})
    node.signal(signal.SIGSTOP, "data")
    node.send(600)
    node.signal(signal.SIGCONT, "data")
    metrics = until(lambda: (m := node.metrics()).received + m.kernel_drop_events == 600 and m.kernel_drop_events and m)
    assert metrics.received >= 10
    assert metrics.conservation == 0
    pid = node.signal(signal.SIGKILL, "data")
    until(lambda: node.child("data") not in (0, pid))
    node.send(5)
    after = until(lambda: (m := node.metrics()).received == metrics.received + 5 and m)
    assert after.kernel_drop_events == metrics.kernel_drop_events, "the next data plane has the same socket"


def test_abuse_on_the_wire(start) -> None:
    """Every datagram has its verdict; the good ones among them arrive."""
    node = start()
    good = node.send(30)
    lengths = [0, 1, 31, 1231, 1233, 1472, 8000, 65507]
    node.send_frames([bytes(size) for size in lengths])
    node.send_frames([bytes(2284)] * 3)
    node.send_frames([os.urandom(1232) for _ in range(200)])
    node.send_frames([good[0][:at] + bytes([good[0][at] ^ 1]) + good[0][at + 1 :] for at in range(4, 1232, 3)])
    node.send_frames(good)
    node.send_frames([node.upstream.frame(node.packet(), step=2**32 - 1, seq=2**32 - 1)])
    metrics = until(lambda: (m := node.metrics()).received == node.sent and not m.pooled + m.in_stage and m)
    assert {label: n for label, n in metrics.dropped.items() if n} == {
        "drop_length": len(lengths),
        "drop_other_geometry": 3,
        "drop_unknown_index": 200,
        "drop_link_auth": len(range(4, 1232, 3)),
        "drop_link_replay": 30,
        "drop_link_exhausted": 1,
    }
    assert metrics.forwarded == 30
    assert metrics.conservation == 0
    assert until(lambda: node.log().count("length of the other geometry")) == 1
    assert len(node.log().splitlines()) < 10, "nothing that a stranger sends is logged a line a packet"
