"""Rotation on a virtual clock: what is made, published, removed, and what a start finds after whatever came before."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fastmix.control.rotation import Rotation, pair_id
from fastmix.errors import ResourceExhausted
from fastmix.keys._chain import Chain
from fastmix.keys.chainfile import ChainFile
from fastmix.keys.slots import SlotTimes
from fastmix.seam.pair import open_pair, pair_files, pair_path

S = 1_000_000_000
TIMES = SlotTimes(10 * S, 2 * S, 8 * S)
SEED = bytes(range(48))
START = 1000 * 10 * S + 4 * S
"""In slot 1000."""


class Disk:
    """What the chain's file would keep: the chain goes on where it was."""

    def __init__(self) -> None:
        self.chain = Chain.fresh(0, SEED)


def rotation(state_dir: Path, disk: Disk) -> Rotation:
    return Rotation(state_dir, TIMES, 1000, disk.chain)


def begun(state_dir: Path, disk: Disk, now_ns: int = START, **how: bool) -> Rotation:
    one = rotation(state_dir, disk)
    one.begin(now_ns, **how)
    one.look(now_ns)
    return one


def slots(one: Rotation, now_ns: int) -> list[int]:
    return [key.slot for key in one.keys(now_ns, 0)]


def test_a_fresh_chain_begins_now(tmp_path: Path) -> None:
    one = begun(tmp_path, Disk(), fresh=True)
    assert slots(one, START) == [999, 1000, 1001]
    key = one.keys(START, 77 * S)[1]
    assert (key.from_ns, key.until_ns) == (77 * S - 6 * S, 77 * S + 14 * S)
    assert key.key_slot == 1000 & 0xFF


def test_a_chain_that_is_known_begins_with_what_nobody_can_have_used(tmp_path: Path) -> None:
    """Slot 1001 opens at 8 s, and is made half a slot before, at 3 s."""
    assert slots(begun(tmp_path, Disk()), START) == [1001]


def test_slots_follow_each_other(tmp_path: Path) -> None:
    """At each moment every live slot has its pair; files of over ones go; publics are those that were foretold."""
    disk = Disk()
    one = begun(tmp_path, disk, fresh=True)
    foretold = Chain.fresh(0, SEED)
    foretold.skip_to(999)
    publics = [row.tobytes() for row in foretold.publics(40)]
    for now_ns in range(START, START + 300 * S, S // 2):
        one.look(now_ns)
        live = set(TIMES.live(now_ns))
        assert live <= set(slots(one, now_ns))
        assert len(pair_files(tmp_path)) <= 4
        for slot, pair in one.pairs.items():
            assert pair.public == publics[slot - 999]
            secret = X25519PrivateKey.from_private_bytes(bytes(pair.secret))
            assert secret.public_key().public_bytes_raw() == pair.public


def test_intact_pairs_go_on(tmp_path: Path) -> None:
    """After a kill -9 of everything: the same keys with the same replay sets."""
    disk = Disk()
    one = begun(tmp_path, disk, fresh=True)
    one.pairs[1000].lines[3, 3] = 9
    again = begun(tmp_path, disk, START + S)
    assert slots(again, START + S) == [999, 1000, 1001]
    assert again.pairs[1000].lines[3, 3] == 9


@pytest.mark.parametrize("damage", ["gone", "another boot", "wiped", "burn"])
def test_without_an_intact_pair_a_slot_is_over(tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reboot, a restored snapshot, a file that is gone: nothing whose early grace has begun is accepted."""
    disk = Disk()
    one = begun(tmp_path, disk, fresh=True)
    if damage == "gone":
        for path in pair_files(tmp_path):
            path.unlink()
    elif damage == "wiped":
        for pair in one.pairs.values():
            pair.wipe_key()
    elif damage == "another boot":
        monkeypatch.setattr("fastmix.control.rotation.boot_id", lambda: bytes(16))
    again = begun(tmp_path, disk, START, burn=damage == "burn")
    monkeypatch.undo()
    assert slots(again, START) == [], "1001 was made already, and the chain is past it"
    later = START + 14 * S
    again.look(later)
    assert slots(again, later) == [1002]


POINTS = ["taken", "named", "removed"]


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_each_point(tmp_path: Path, point: str) -> None:
    """Control is killed in the middle; the next one has every live slot, and what was taken and not yet in its pair is lost."""
    state, clock, path = tmp_path / "state", tmp_path / "clock", tmp_path / "chain"
    state.mkdir()

    def run(until_ns: int, passed: Callable[[str], object] = len) -> None:
        chain = ChainFile.open(path) or ChainFile.create(path, 0)
        one = Rotation(state, TIMES, 1000, chain, passed)
        one.begin(START, fresh=chain.slot == 0)
        for now_ns in range(START, until_ns, S):
            clock.write_text(str(now_ns))
            one.look(now_ns)
        chain.close()

    run(START + 2 * S)
    child = os.fork()
    if child == 0:

        def die(where: str) -> None:
            if where == point:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            run(START + 60 * S, die)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    chain = ChainFile.open(path)
    assert chain is not None
    one = Rotation(state, TIMES, 1000, chain)
    killed_ns = int(clock.read_text())
    one.begin(killed_ns)
    for now_ns in (killed_ns, killed_ns + 2 * S, killed_ns + 30 * S):
        one.look(now_ns)
        lost = {1001} if point == "taken" else set()
        assert set(TIMES.live(now_ns)) - set(slots(one, now_ns)) <= lost
    assert not [path for path in pair_files(state) if path.name.startswith(".")]


def test_no_room_for_the_next_pair(tmp_path: Path) -> None:
    """The old ones go on, nothing is half made, and when there is room the slot has its key."""
    disk = Disk()
    one = begun(tmp_path, disk, fresh=True)
    one.capacity = 1 << 50
    later = START + 10 * S
    with pytest.raises(ResourceExhausted):
        one.look(later)
    assert slots(one, later) == [1000, 1001]
    assert not [path for path in pair_files(tmp_path) if path.name.startswith(".")]
    one.capacity = 1000
    one.look(later)
    assert slots(one, later) == [1000, 1001, 1002]


def test_a_burn(tmp_path: Path) -> None:
    one = begun(tmp_path, Disk(), fresh=True)
    held = open_pair(pair_path(tmp_path, pair_id(one.chain.id, 1000)))
    one.burn(START)
    assert slots(one, START) == []
    assert not held.secret.any()
    assert not pair_files(tmp_path)
    one.look(START + 14 * S)
    assert slots(one, START + 14 * S) == [1002]


def test_after_a_long_sleep(tmp_path: Path) -> None:
    """A machine that slept for a day does not make the keys of the day."""
    one = begun(tmp_path, Disk(), fresh=True)
    day = START + 86_400 * S
    one.look(day)
    assert slots(one, day) == [*TIMES.live(day), TIMES.live(day)[-1] + 1]
    assert len(pair_files(tmp_path)) == 3
