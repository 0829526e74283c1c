"""Several live keys in one data plane: taken with a snapshot, wiped on its own clock, by whatever thread they are used."""

import re
import time
from pathlib import Path

import numpy as np
import pytest
from crafted import crafted
from road_rig import Rig, only

from fastmix.control.snapshot import SnapshotKey
from fastmix.errors import CryptoError, ResourceExhausted
from fastmix.packet.verdict import Verdict
from fastmix.seam.address import pack_address
from fastmix.seam.layout import NEVER_NS
from fastmix.seam.pair import (
    LINES_AT,
    SECRET_AT,
    Pair,
    PairName,
    create_pair,
    known_secret,
    open_pair,
    pair_files,
    pair_path,
    pair_size,
    wipe_file,
)

SECRETS = {n: bytes([n]) * 31 + b"\x40" for n in range(1, 9)}
S = 1_000_000_000


def name_of(slot: int) -> PairName:
    return PairName(bytes([slot]) * 16, slot, bytes([slot]) * 32)


class Keys(Rig):
    """A rig whose node gets keys 1, 2, 3, …, each accepted for 3 s from second n on."""

    def publish(self, *slots: int) -> None:
        for slot in slots:
            if name_of(slot).id not in self.node.pairs:
                self.node.add_pair(name_of(slot), 1000, SECRETS[slot])
        keys = [SnapshotKey(name_of(slot).id, slot, slot * S, (slot + 3) * S) for slot in slots]
        self.node.publish(keys)

    def frame_for(self, slot: int, key_slot: int | None = None) -> bytes:
        self.made += 1
        packet = crafted(SECRETS[slot], b"\x02\x00", bytes(self.plan.network.geometry.payload_size), 3 * self.made)
        return self.peer.frame(packet, key_slot=slot if key_slot is None else key_slot)


@pytest.fixture
def rig() -> Keys:
    return Keys()


def test_each_packet_by_its_own_key(rig: Keys) -> None:
    rig.now_ns = 3 * S
    rig.publish(1, 2, 3)
    assert rig.receive(*(rig.frame_for(slot) for slot in (1, 2, 3))) == {}
    assert rig.node.metrics().pooled == 3
    assert rig.receive(rig.frame_for(1, key_slot=2)) == only(Verdict.DROP_MAC, 1)
    frame = rig.frame_for(4)
    assert rig.receive(frame, rig.frame_for(1, key_slot=0)) == {"drop_mac": 1, "drop_key_slot": 2}


def test_a_key_has_its_time(rig: Keys) -> None:
    """To the nanosecond, whatever the snapshot says is live."""
    rig.publish(2)
    for now_ns, dropped in ((2 * S - 1, 1), (2 * S, 1), (5 * S - 1, 1), (5 * S, 2)):
        rig.now_ns = now_ns
        assert rig.receive(rig.frame_for(2)) == only(Verdict.DROP_KEY_SLOT, dropped)
    assert rig.node.metrics().forwarded + rig.node.metrics().pooled == 2


def test_the_end_of_a_key_is_its_own(rig: Keys) -> None:
    """Nobody publishes anything: secret, key of the tags and fingerprints are gone, and the next key goes on."""
    rig.now_ns = 3 * S
    rig.publish(1, 2)
    rig.receive(rig.frame_for(1), rig.frame_for(2))
    first, second = rig.node.pairs[name_of(1).id], rig.node.pairs[name_of(2).id]
    assert first.lines.any()
    rig.now_ns = 4 * S
    rig.step()
    assert not first.secret.any()
    assert not first.header.view(np.uint8).any()
    assert not first.lines.any()
    assert second.is_whole()
    assert rig.receive(rig.frame_for(1), rig.frame_for(2)) == only(Verdict.DROP_KEY_SLOT, 1)


def test_a_key_that_is_not_named_any_more_is_wiped(rig: Keys) -> None:
    rig.now_ns = 3 * S
    rig.publish(1, 2)
    rig.step()
    rig.publish(2, 3)
    rig.step()
    rig.step()
    assert not rig.node.pairs[name_of(1).id].secret.any()
    assert rig.receive(rig.frame_for(1), rig.frame_for(2), rig.frame_for(3)) == only(Verdict.DROP_KEY_SLOT, 1)


def test_replays_meet_their_own_set(rig: Keys) -> None:
    rig.now_ns = 3 * S
    rig.publish(2, 3)
    packets = [crafted(SECRETS[slot], b"\x02\x00", bytes(rig.plan.network.geometry.payload_size), 1) for slot in (2, 3)]
    for again in (0, 2):
        frames = [rig.peer.frame(packet, key_slot=slot) for slot, packet in zip((2, 3), packets, strict=True)]
        assert rig.receive(*frames) == (only(Verdict.DROP_REPLAY, again) if again else {})
        rig.publish(3, 2)


def test_a_pair_that_another_process_wipes_lets_nothing_in_again(rig: Keys) -> None:
    """Control wipes a pair that is in use here, its first word first. Whatever of it is wiped when a batch comes to it, packets
    that were here before are refused; were the first word not looked at, they would be taken for new."""
    rig.now_ns = 3 * S
    rig.publish(2, 3)
    size = rig.plan.network.geometry.payload_size
    packets = [(slot, crafted(SECRETS[slot], b"\x02\x00", bytes(size), at)) for slot in (2, 3) for at in range(1, 6)]

    def again() -> dict[str, int]:
        return rig.receive(*(rig.peer.frame(packet, key_slot=slot) for slot, packet in packets))

    assert again() == {}
    pair = rig.node.pairs[name_of(2).id]
    lines, replay_key = pair.lines.copy(), pair.replay_key.copy()
    pair.lines[:] = 0
    assert again() == only(Verdict.DROP_REPLAY, 5), "without its fingerprints key 2 takes its packets once more"
    pair.whole[:] = 0
    for n, (some_lines, some_key) in enumerate(((0, replay_key), (lines, 0), (0, 0)), 1):
        pair.lines[:], pair.replay_key[:] = some_lines, some_key
        assert again() == {"drop_replay": 5 + 5 * n, "drop_key_slot": 5 * n}


def test_a_data_plane_that_takes_over(rig: Keys) -> None:
    """It opens what the snapshot names and is there; what is over is wiped, what is gone is not live."""
    rig.now_ns = 3 * S
    rig.publish(1, 2, 3)
    rig.receive(rig.frame_for(2))
    del rig.node.pairs[name_of(3).id]
    rig.node.take_over()
    rig.now_ns = 4 * S
    assert rig.receive(*(rig.frame_for(slot) for slot in (1, 2, 3))) == only(Verdict.DROP_KEY_SLOT, 2)
    assert not rig.node.pairs[name_of(1).id].secret.any()


def test_many_slots_one_after_another(rig: Keys) -> None:
    """So many that every byte of key_slot comes by; no packet of a live key is lost, and what has ended is wiped."""

    def id_of(slot: int) -> bytes:
        return slot.to_bytes(16, "little")

    lost: dict[str, int] = {}
    for slot in range(1, 260):
        SECRETS.setdefault(slot, slot.to_bytes(31, "little") + b"\x40")
        rig.node.add_pair(PairName(id_of(slot), slot, bytes(32)), 100, SECRETS[slot])
        live = [n for n in (slot - 2, slot - 1, slot) if n > 0]
        rig.node.publish([SnapshotKey(id_of(n), n, n * S, (n + 3) * S) for n in live])
        rig.now_ns = slot * S
        lost |= rig.receive(*(rig.frame_for(n, n & 0xFF) for n in live))
        rig.step(10_000_000)
    assert not lost
    assert [slot for slot in range(1, 260) if rig.node.pairs[id_of(slot)].secret.any()] == [257, 258, 259]


@pytest.mark.parametrize("workers", [2, 3])
def test_no_thread_uses_a_key_that_is_wiped(workers: int) -> None:
    """Threads unwrap with key 1 while it ends: each packet is either unwrapped or refused by its slot, none fails its MAC."""
    rig = Keys(options={"workers": workers})
    rig.node.add_pair(name_of(1), 100_000, SECRETS[1])
    rig.step()
    rig.node.publish([SnapshotKey(name_of(1).id, 1, 0, NEVER_NS)])
    rig.step()
    frames = [rig.frame_for(1) for _ in range(1200)]
    for at, frame in enumerate(frames):
        assert rig.node.ios[at % workers].push(frame, pack_address(*rig.upstream))
    rig.node.plane.start()
    give_up = time.monotonic() + 20
    while rig.node.metrics().received < 300:
        assert time.monotonic() < give_up
    rig.node.publish([])
    while rig.node.pairs[name_of(1).id].secret.any() or rig.node.metrics().received < len(frames):
        rig.node.plane.look(time.monotonic_ns(), time.monotonic_ns())
        assert time.monotonic() < give_up
    rig.node.plane.stop()
    metrics = rig.node.metrics()
    assert metrics.conservation == 0
    assert metrics.dropped["drop_mac"] == 0
    assert metrics.pooled + metrics.dropped["drop_key_slot"] == len(frames)


def write_three(state_dir: Path) -> Pair:
    return create_pair(state_dir, name_of(3), 1000, known_secret(SECRETS[3]))


def test_a_pair_file(tmp_path: Path) -> None:
    made = write_three(tmp_path)
    (path,) = pair_files(tmp_path)
    assert path == pair_path(tmp_path, name_of(3).id)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size == pair_size(1000)
    assert path.stat().st_blocks * 512 >= pair_size(1000), "its room is taken, so that no store can fail"
    made.lines[5, 5] = 7
    found = open_pair(path)
    assert (found.slot, found.id, found.public) == (3, name_of(3).id, name_of(3).public)
    assert bytes(found.secret) == SECRETS[3]
    assert found.lines[5, 5] == 7
    assert SECRETS[3].hex() not in repr(found)


def flags_at(address: int) -> set[str]:
    """Of the mapping there, as the kernel tells them (`VmFlags` of proc_pid_smaps(5))."""
    here = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if span := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            here = int(span[1], 16) <= address < int(span[2], 16)
        elif here and line.startswith("VmFlags:"):
            return set(line.split()[1:])
    raise LookupError(hex(address))


@pytest.mark.parametrize("opened", [False, True], ids=["made", "opened"])
def test_the_page_of_a_secret_is_locked_not_dumped_and_not_inherited(tmp_path: Path, opened: bool) -> None:
    pair = write_three(tmp_path)
    if opened:
        del pair
        pair = open_pair(pair_path(tmp_path, name_of(3).id))
    assert {"lo", "dd", "dc"} <= flags_at(pair.secret.ctypes.data)
    assert "lo" not in flags_at(pair.lines.ctypes.data), "the replay set need not be locked"


def test_a_wiped_pair_is_gone(tmp_path: Path) -> None:
    pair = write_three(tmp_path)
    held = open_pair(tmp_path / pair_files(tmp_path)[0].name)
    pair.wipe_key()
    assert not held.secret.any()
    with pytest.raises(CryptoError, match="damaged or wiped"):
        open_pair(pair_path(tmp_path, name_of(3).id))
    while not pair.wipe_lines(4096):
        assert pair_files(tmp_path)
    assert not pair_files(tmp_path)


@pytest.mark.parametrize("at", [0, 20, 40, 60, 100, 170, 180])
def test_a_pair_whose_header_is_damaged_is_not_used(tmp_path: Path, at: int) -> None:
    write_three(tmp_path)
    path = pair_path(tmp_path, name_of(3).id)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(CryptoError):
        open_pair(path)


def test_a_pair_without_a_secret_is_not_used(tmp_path: Path) -> None:
    write_three(tmp_path)
    path = pair_path(tmp_path, name_of(3).id)
    data = bytearray(path.read_bytes())
    data[SECRET_AT : SECRET_AT + 32] = bytes(32)
    path.write_bytes(data)
    with pytest.raises(CryptoError):
        open_pair(path)


@pytest.mark.parametrize("size", [0, 100, SECRET_AT + 32, LINES_AT, LINES_AT + 32, LINES_AT + 64])
def test_a_pair_that_is_cut_off_is_not_used(tmp_path: Path, size: int) -> None:
    write_three(tmp_path)
    path = pair_path(tmp_path, name_of(3).id)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CryptoError):
        open_pair(path)


def test_no_room_for_a_pair(tmp_path: Path) -> None:
    """Nothing half-written, not even a name."""
    with pytest.raises(ResourceExhausted, match="lower replay_capacity"):
        create_pair(tmp_path, name_of(3), 1 << 50, known_secret(bytes([1] * 32)))
    assert not pair_files(tmp_path)


def test_a_secret_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    def fail(into: np.ndarray, complete: object) -> None:
        into[:] = 1
        raise RuntimeError("no more keys")

    with pytest.raises(RuntimeError):
        create_pair(tmp_path, name_of(3), 1000, fail)
    assert not list(tmp_path.iterdir())


def test_wiping_a_file_leaves_its_bytes_nowhere(tmp_path: Path) -> None:
    made = write_three(tmp_path)
    wipe_file(made.path or tmp_path)
    assert not made.secret.any(), "who still maps it sees zeros"
    assert not list(tmp_path.iterdir())
    wipe_file(tmp_path / "pair-none")
