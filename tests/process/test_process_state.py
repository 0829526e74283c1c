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
from fastmix.seam.pair import SECRET_AT


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


def spoil(node, how: str) -> str:
    """Makes a place unusable that the node would write to; what is said of it."""
    state_dir, counters = node.state_dir, node.folder / "network" / "secrets" / "link-1.node-1.counters"
    if how == "a file":
        state_dir.write_text("")
        return f"state_dir {state_dir}: {state_dir} is not a directory: move it away, or name another directory"
    if how == "below a file":
        state_dir.symlink_to("/etc/hostname/state")
        return f"state_dir {state_dir}: {state_dir} is not a directory"
    if how.startswith("counters"):
        counters.mkdir() if how == "counters: a directory" else counters.write_text('{"body": ')
        return f"{counters}: " + (
            "is no regular file" if how == "counters: a directory" else "the counter reservations are damaged, so"
        )
    state_dir.mkdir(0o777 if how == "open" else 0o700)
    if how == "open":
        state_dir.chmod(0o777)
        return f"chmod 700 {state_dir}"
    if how == "link":
        (state_dir / "node.lock").symlink_to("/etc/hostname")
        return "symbolic link"
    os.chown(state_dir, 12345, -1)
    return f"belongs to user 12345, but this is user 0: chown 0 {state_dir}"


@pytest.mark.parametrize("how", ["a file", "below a file", "open", "link", "another's", "counters: a directory", "counters: cut"])
def test_a_place_that_cannot_be_used(planned, how, capsys: pytest.CaptureFixture[str]) -> None:
    """The check says the same as the start, and changes nothing."""
    told, config = spoil(planned, how), str(write_config(planned))
    before = sorted(planned.folder.rglob("*"))
    assert main(["run", "--check", config]) in (1, 2)
    said = capsys.readouterr().err
    assert told in said
    assert sorted(planned.folder.rglob("*")) == before
    assert refused(Path(config)) == said


@pytest.mark.parametrize(("access", "mode"), [({}, 0o700), ({"viewers": ["user:daemon"]}, 0o711)])
def test_a_directory_that_lets_others_in_is_closed(start, access, mode) -> None:
    """Nobody else can pass it, or with `[access]` list it; the log says so, and a directory that is as wanted is left alone."""
    node = start(options={"access": access})
    assert node.stop() == 0
    assert "which let others in" not in node.log()
    node.state_dir.chmod(0o755)
    node.start()
    assert node.state_dir.stat().st_mode & 0o777 == mode
    assert f"state_dir {node.state_dir} had mode 0755, which let others in: it has {mode:04o} now" in node.log()


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


@pytest.mark.parametrize("damage", ["gone", "zeroed", "another", "flipped", "marker"])
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
    elif damage == "flipped":
        path.write_bytes(whole[:SECRET_AT] + bytes([whole[SECRET_AT] ^ 64]) + whole[SECRET_AT + 1 :])
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
