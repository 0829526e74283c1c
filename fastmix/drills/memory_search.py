"""A second after a mix key's end its private bytes are nowhere: in no process's memory, in no file, in nothing of a core file."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastmix.drills.stage.flow import Flow
from fastmix.drills.stage.report import Options, Outcome, Report
from fastmix.drills.stage.scene import ROTATING, Stage, repeated_while_void
from fastmix.drills.stage.searched import Found, Masked, core_limits, search
from fastmix.errors import BatchTimeout
from fastmix.seam.pair import HEADER, PREFIX, SECRET_AT, SECRET_SIZE

NAME = "memory-search"
HELP = "A second after a mix key's end its private bytes are in no memory, core file, data directory or log of the node."
FULL, SHORT = 20, 1
AFTER_NS = 1_000_000_000
LEFT_NS, LEFT_MOST_NS = 1_000_000_000, 5_000_000_000
"""So long a key has to live when it is looked for the first time, at least; twice as long after each search that took longer."""
INNER = slice(4, 28)
"""Of a secret's bytes: X25519 clamps the first and the last, so these are there in either form."""
PATIENCE_S = 60.0


@dataclass(frozen=True)
class LiveKey:
    """A key whose pair file is there."""

    slot: int
    secret: Masked
    closes_ns: int


def run(options: Options) -> Report:
    """20 keys, or one."""
    return repeated_while_void(NAME, options, ROTATING, perform)


def perform(stage: Stage) -> Outcome:
    """Finds each key while it lives, and looks for it after its end."""
    rounds, alive, after = stage.options.count(FULL, SHORT), Found(), Found()
    done: list[int] = []
    ages_s, live_finds, dumping = [], [], core_limits(stage.node.pids())
    with stage.flow() as flow:
        flow.run(0.1)
        for number in range(rounds):
            stage.options.progress(0.05 + 0.95 * number / rounds, f"key {number + 1} of {rounds}")
            key, found = find_alive(stage, flow, done)
            done.append(key.slot)
            live_finds.append(len(found.memory))
            alive = joined(alive, found)
            while time.time_ns() < key.closes_ns + AFTER_NS:
                flow.run(0.05)
            ages_s.append((time.time_ns() - key.closes_ns) / 1e9)
            found = Found()
            go_through(search(stage.node.pids(), stage.directory, key.secret, found), flow)
            after = joined(after, found)
        dumping += core_limits(stage.node.pids())
        flow.finish()
    return Outcome(
        figures={
            "keys": rounds, "searched_mb": round(after.searched / rounds / 1e6), "looked_after_s": round(max(ages_s), 2),
            "processes": len(stage.node.pids()), "found_alive_in_processes": min(live_finds),
            "found_alive_in_files": len(alive.files), "found_alive_in_core": len(alive.core),
            "found_after_in_processes": len(after.memory), "found_after_in_files": len(after.files),
            "found_after_in_core": len(after.core), "packets": flow.expected, "lost": flow.lost, **flow.told(),
        },
        checks={
            "the search finds each key while it lives, in a process and in its file": min(live_finds) > 0 and bool(alive.files),
            "after its end it is in no process's memory": not after.memory,
            "nor in the data directory or a log": not after.files,
            "a core file would not have it, not even while it lives": not alive.core and not after.core,
            "no process may leave a core file": not dumping,
            "the parent never has it": stage.node.process.pid not in alive.memory,
            "no packet was lost": flow.lost == 0,
        },
    )  # fmt: skip


def find_alive(stage: Stage, flow: Flow, done: list[int]) -> tuple[LiveKey, Found]:
    """The key that ends next of those that are not done, and where it was found while it lived."""
    give_up, left_ns = time.monotonic() + PATIENCE_S, LEFT_NS
    while time.monotonic() < give_up:
        keys = [key for key in live_keys(stage) if key.slot not in done and key.closes_ns - time.time_ns() > left_ns]
        if keys:
            key, found = min(keys, key=lambda each: each.closes_ns), Found()
            go_through(search(stage.node.pids(), stage.directory, key.secret, found), flow)
            if time.time_ns() < key.closes_ns:
                return key, found
            left_ns = min(2 * left_ns, LEFT_MOST_NS)
        flow.run(0.05)
    raise BatchTimeout(f"no key was live for long enough in {PATIENCE_S:.0f} s: the machine may be overloaded; try again")


def live_keys(stage: Stage) -> list[LiveKey]:
    """The keys that packets are accepted for now."""
    times, now_ns = stage.config.keys.policy.times if stage.config.keys else None, time.time_ns()
    assert times
    found = []
    for path in stage.config.state_dir.glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError):  # it has ended meanwhile
            slot, secret = read_pair(path)
            if times.opens_ns(slot) <= now_ns < times.closes_ns(slot):
                found.append(LiveKey(slot, secret, times.closes_ns(slot)))
    return found


def read_pair(path: Path) -> tuple[int, Masked]:
    """Slot and private bytes of a pair file; zeros where it is being wiped."""
    header, secret = bytearray(HEADER.itemsize), bytearray(SECRET_SIZE)
    with path.open("rb", buffering=0) as file:
        os.preadv(file.fileno(), [header], 0)
        os.preadv(file.fileno(), [secret], SECRET_AT)
    slot = int(np.frombuffer(header, HEADER)["slot"][0])
    inner = secret[INNER]
    secret[:] = bytes(SECRET_SIZE)
    return slot, Masked(inner)


def go_through(work: Iterator[None], flow: Flow) -> None:
    """Does it between two moments of the load."""
    for _ in work:
        flow.run(0.002)


def joined(one: Found, other: Found) -> Found:
    """What was found in both."""
    return Found(
        sorted({*one.memory, *other.memory}), sorted({*one.core, *other.core}), sorted({*one.files, *other.files}),
        one.searched + other.searched,
    )  # fmt: skip
