"""What drills that kill share: the kill, how long until packets go on, what was lost, and what is sent again."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastmix.config import MixnodeConfig
from fastmix.drills.stage.flow import Flow
from fastmix.drills.stage.packets import Packets
from fastmix.drills.stage.report import Figures
from fastmix.drills.stage.scene import Scene, Stage
from fastmix.errors import BatchTimeout
from fastmix.keys.slots import SlotTimes
from fastmix.seam.pair import HEADER_SIZE, PREFIX, open_pair

PATIENCE_S = 20.0
REPLAYED = 500
"""Packets sent before a kill that are sent again after it."""
STEP_S = 0.005
CALM_S = 0.3
"""After the first packet that is forwarded again: then what had gathered in the socket is worked off."""
CYCLE_S = 8.0
"""No life of a whole node, with the start of the next one, is longer, as a rule: replay sets have room for that."""
NOTHING = np.zeros(0, np.int64)


def scene_of_lives(lives: int) -> Scene:
    """A node whose replay sets have room for the load of so many lives of the whole node: half of what its cores can unwrap. Its
    chain is on disk, which is where a killed node's is as a rule."""
    return Scene(key_s=lives * CYCLE_S / 2, chain="disk")


def receive_calls(config: MixnodeConfig) -> int:
    """Datagrams that a kill between the kernel's hand and the node's count makes as if they had never come, at most: those of one
    receive call of each worker."""
    return config.workers * config.receive_batch


def kill_data_plane(stage: Stage) -> int:
    """SIGKILL to the data plane of now; when, in monotonic ns."""
    give_up = time.monotonic() + PATIENCE_S
    while not (pid := stage.node.data_pid()):
        if time.monotonic() > give_up:
            raise BatchTimeout(f"the node has no data plane after {PATIENCE_S:.0f} s: see {stage.node.log_path}")
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    return time.monotonic_ns()


def forwarding_again_s(flow: Flow, killed_ns: int) -> float:
    """From the kill until the first packet that was due after it is at the sink. A generator that had nothing ready does not
    count against the node: then it is from when that packet was due."""
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        flow.run(STEP_S)
        after = [(wave.arrived_ns, wave.due_ns) for wave in flow.waves if wave.end_ns > killed_ns]
        arrived, due = (np.concatenate(column) for column in zip(*after, strict=True)) if after else (NOTHING, NOTHING)
        here = (due > killed_ns) & (arrived > 0)
        if here.any():
            began_ns = int(due[due > killed_ns].min())
            return (int(arrived[here].min()) - max(killed_ns, began_ns)) / 1e9
    raise BatchTimeout(f"nothing was forwarded in {PATIENCE_S:.0f} s after a kill")


def sent_before(flow: Flow, killed_ns: int) -> Packets:
    """Packets of the last wave but one before the kill, whether they have come out or not."""
    waves = [wave for wave in flow.waves if wave.interval_ns and wave.start_ns < killed_ns]
    found = waves[0].packets[waves[0].due_ns < killed_ns]
    earlier = waves[1].packets if len(waves) > 1 else found[:0]
    rows = max(REPLAYED - len(found), 0)
    return found[-REPLAYED:] if not rows else Packets.joined(found, earlier[max(len(earlier) - rows, 0) :])


def over(packets: Packets, times: SlotTimes, unix_ns: int) -> npt.NDArray[np.bool_]:
    """Whose key is over at that time, bool[n]. Packets of the last seconds only: a frame has the last byte of its slot."""
    now = times.number(unix_ns)
    away = (packets.key_slots - np.uint8(times.key_slot(now))).view(np.int8).astype(np.int64)
    return (now + away + 1) * times.slot_ns + times.late_ns <= unix_ns


def lost_and_over(flow: Flow, times: SlotTimes, begin_ns: int, end_ns: int) -> int:
    """Of the packets that were due in that time: how many have not come out, and their key is over by now. No others can have
    been refused for their slot."""
    unix_ns, n = time.time_ns(), 0
    for wave in flow.waves:
        missing = (wave.due_ns >= begin_ns) & (wave.due_ns < end_ns) & (wave.arrived_ns == 0)
        n += int(np.count_nonzero(missing & over(wave.packets, times, unix_ns)))
    return n


@dataclass(frozen=True, slots=True)
class Losses:
    """Packets of a time that have not come out: how many, and by how long before its end the oldest of them was due."""

    n: int
    oldest_s: float


def losses(flow: Flow, begin_ns: int, end_ns: int) -> Losses:
    """Of the packets that were due in that time. Those that may still come are to have come."""
    missing = [wave.due_ns[wave.arrived_ns == 0] for wave in flow.waves if wave.end_ns > begin_ns and wave.start_ns < end_ns]
    due = np.concatenate(missing) if missing else NOTHING
    due = due[(due >= begin_ns) & (due < end_ns)]
    return Losses(len(due), (end_ns - int(due.min())) / 1e9 if len(due) else 0.0)


def slowest_s(flow: Flow, begin_ns: int, end_ns: int) -> float:
    """How slow a node was whose time that was: the longest that a packet took which came out, and how long none had come out at
    the end. Whatever held up node or generator, or both, is in it."""
    waves = [wave for wave in flow.waves if wave.end_ns > begin_ns and wave.start_ns < end_ns]
    due, arrived = (np.concatenate([NOTHING, *column]) for column in ([w.due_ns for w in waves], [w.arrived_ns for w in waves]))
    here = (due >= begin_ns) & (arrived > 0) & (arrived < end_ns)
    if not here.any():
        return (end_ns - begin_ns) / 1e9
    return (int((arrived - due)[here].max()) + end_ns - int(arrived[here].max())) / 1e9


def tags(state_dir: Path) -> dict[str, int]:
    """How many packets each key's replay set remembers, by the name of its file. `CryptoError` where a pair of key and set is
    damaged; one whose key is over is wiped, and left out."""
    found = {}
    for path in sorted(state_dir.glob(f"{PREFIX}*")):
        with suppress(FileNotFoundError):
            with path.open("rb") as file:
                wiped = not any(file.read(HEADER_SIZE))
            if not wiped:
                found[path.name] = int(np.count_nonzero(open_pair(path).lines))
    return found


def told_s(back_s: list[float]) -> Figures:
    """How long it took until packets went on; nothing where nobody was killed."""
    if not back_s:
        return {}
    values = np.percentile(back_s, [50, 99, 100])
    names = ("forwarding_again_p50_s", "forwarding_again_p99_s", "forwarding_again_max_s")
    return {name: round(float(value), 3) for name, value in zip(names, values, strict=True)}
