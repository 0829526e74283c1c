"""What of a node outlives it, counters and replay set, and that nobody else can have, share or change it."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from node_command import refused, write_config
from real_node import AT_ONCE, ROOT, free_port

from fastmix.cli.main import main
from fastmix.links.reservations import BLOCK


def next_numbers(node):
    """(step, seq) at which the link to node 2 begins next time."""
    (path,) = node.folder.glob("network/secrets/link-1.node-1.counters")
    (numbers,) = json.loads(path.read_text())["body"]["roots"].values()
    return numbers


@pytest.mark.parametrize("group", [False, True])
def test_an_end_in_order_wastes_no_counter(pooled_node, group) -> None:
    """Also if the signal goes to all processes. The next start goes on exactly there, a kill at the next block."""
    node = pooled_node()
    os.killpg(node.pid, signal.SIGTERM) if group else node.signal(signal.SIGTERM)
    assert node.ended() == 0
    step, seq = next_numbers(node)
    assert (0 < step <= 101, seq) == (True, 100)
    node.start()
    assert next_numbers(node) == [step + 2 * BLOCK, 100 + 2 * BLOCK]
    os.killpg(node.pid, signal.SIGKILL)
    node.ended()
    node.start()
    assert next_numbers(node) == [step + 4 * BLOCK, 100 + 4 * BLOCK]


def test_a_start_that_fails_wastes_no_counter(start) -> None:
    node = start()
    assert node.stop() == 0
    before = next_numbers(node)
    node.options = {"replay_capacity": 200_000}
    node.launch()
    assert node.ended() == 1
    assert "replay_capacity 200000 does not fit" in node.log()
    assert "write replay_capacity = 100000 into the node's configuration" in node.log()
    assert next_numbers(node) == before


def test_a_replay_set_of_another_capacity_is_seen_before_a_start(start, capsys: pytest.CaptureFixture[str]) -> None:
    """In the words of the start itself."""
    node = start()
    assert node.stop() == 0
    assert main(["run", "--check", str(write_config(node))]) == 0
    config = str(write_config(node, replay_capacity="200000"))
    said = refused(Path(config))
    assert "replay_capacity 200000 does not fit" in said
    assert "which was made for 100000: write replay_capacity = 100000" in said
    capsys.readouterr()
    assert main(["run", "--check", config]) == 2
    told = capsys.readouterr().err
    assert told in said
    assert main(["doctor", "--json", config]) == 1
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert f"fastmix: {warnings[-1]['problem']}: {warnings[-1]['remedy']}\n" == told


def test_a_second_node_in_the_same_directory(start) -> None:
    """It says so at once, and the first one's socket still answers. With another directory the links' counters are taken."""
    node = start()
    assert f"state_dir {node.state_dir} is in use by another node" in refused(write_config(node))
    assert node.state() == "running"
    said = refused(write_config(node, state_dir='"elsewhere"', listen_addr=f'"127.0.0.1:{free_port()[1]}"'))
    assert "is in use: another node or client runs with the same end of this link" in said
    assert node.state() == "running"


def test_a_directory_of_others(planned) -> None:
    planned.state_dir.mkdir()
    planned.state_dir.chmod(0o777)
    assert f"chmod 700 {planned.state_dir}" in refused(write_config(planned))
    planned.state_dir.chmod(0o700)
    os.symlink("/etc/hostname", planned.state_dir / "node.lock")
    assert "symbolic link" in refused(write_config(planned))
    (planned.state_dir / "node.lock").unlink()
    os.chown(planned.state_dir, 12345, -1)
    assert "belongs to user 12345" in refused(write_config(planned))


def test_a_strategy_that_ends_the_process(start) -> None:
    """With code 0, as if it had drained: it is started again, and given up when that does not help."""
    node = start(options={"mixing": AT_ONCE | {"strategy": "rubbish_mixing:Leaving"}})
    node.send(20)
    assert node.ended() == 1
    assert node.log().count("data plane died (code 1)") >= 4
    assert "data plane ended with code 1 and is not started again" in node.log()


def test_no_process_dumps_its_memory(start) -> None:
    node = start()
    for pid in (node.pid, node.child("data"), node.child("control")):
        assert re.search(r"Max core file size +0 +0 ", Path(f"/proc/{pid}/limits").read_text())


def test_no_process_of_the_same_user_may_look() -> None:
    """`keep_unseen` in a process of its own."""
    program = "import ctypes; from fastmix.seam.lifeline import keep_unseen; keep_unseen(); print(ctypes.CDLL(None).prctl(3))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout == "0\n"


@pytest.mark.parametrize("damage", ["gone", "zeroed", "another", "marker"])
def test_a_key_is_not_used_without_its_replay_set(start, damage) -> None:
    """Recorded packets would be let in again: one sentence with the remedies."""
    node = start()
    assert node.stop() == 0
    (path,) = node.state_dir.glob("pair-*")
    whole = path.read_bytes()
    marker = Path(f"{node.config['secret_file']}.replay")
    if damage == "gone":
        path.unlink()
    elif damage == "zeroed":
        path.write_bytes(bytes(len(whole)))
    elif damage == "another":
        path.write_bytes(whole[:64] + bytes(16) + whole[80:])
    else:
        marker.write_text("rubbish")
    kept = marker.read_bytes()
    node.launch()
    assert node.ended() == 1
    assert "make a new key with `fastmix keys new`" in node.log()
    assert "Traceback" not in node.log()
    assert marker.read_bytes() == kept
    path.write_bytes(whole)
    if damage != "marker":
        node.start()
        assert node.state() == "running"
