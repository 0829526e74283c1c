"""Rotation on a virtual clock: what is made, published, removed, and what a start finds after whatever came before."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fastmix.control.rotation import Rotation
from fastmix.descriptor import NOBODY
from fastmix.errors import ResourceExhausted
from fastmix.keys.chainfile import ChainFile
from fastmix.keys.slots import SlotTimes
from fastmix.seam.pair import Pair, open_pair, pair_files, unnamed_path

S = 1_000_000_000
TIMES = SlotTimes(10 * S, 2 * S, 8 * S)
START = 1000 * 10 * S + 4 * S
"""In slot 1000."""


@pytest.fixture
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChainFile]:
    """As if it was made long ago."""
    file = ChainFile.create(tmp_path_factory.mktemp("keys") / "chain", 900)
    yield file
    file.close()


def begun(state_dir: Path, chain: ChainFile, now_ns: int = START, **how: bool) -> Rotation:
    one = Rotation(state_dir, TIMES, 1000, chain)
    one.begin(now_ns, **how)
    one.look(now_ns)
    return one


def slots(one: Rotation, now_ns: int) -> list[int]:
    return [key.slot for key in one.keys(now_ns, 0)]


def test_a_fresh_chain_begins_now(tmp_path: Path, chain: ChainFile) -> None:
    one = begun(tmp_path, chain, fresh=True)
    assert slots(one, START) == [999, 1000, 1001]
    key = one.keys(START, 77 * S)[1]
    assert (key.from_ns, key.until_ns) == (77 * S - 6 * S, 77 * S + 14 * S)
    assert key.key_slot == 1000 & 0xFF


def test_a_chain_that_is_known_begins_with_what_nobody_can_have_used(tmp_path: Path, chain: ChainFile) -> None:
    """Slot 1001 opens at 8 s, and is made half a slot before, at 3 s."""
    assert slots(begun(tmp_path, chain), START) == [1001]


def test_slots_follow_each_other(tmp_path: Path, chain: ChainFile) -> None:
    """At each moment every live slot has its pair; files of over ones go; publics are those that were foretold."""
    one = begun(tmp_path, chain, fresh=True)
    publics = one.publics(START, 1040)[1]
    for now_ns in range(START, START + 300 * S, S // 2):
        one.look(now_ns)
        live = set(TIMES.live(now_ns))
        assert live <= set(slots(one, now_ns))
        assert len(pair_files(tmp_path)) <= 4
        for slot, pair in one.pairs.items():
            assert pair.public == publics[slot - 999]
            secret = X25519PrivateKey.from_private_bytes(bytes(pair.secret))
            assert secret.public_key().public_bytes_raw() == pair.public


def test_intact_pairs_go_on(tmp_path: Path, chain: ChainFile) -> None:
    """After a kill -9 of everything: the same keys with the same replay sets."""
    one = begun(tmp_path, chain, fresh=True)
    one.pairs[1000].lines[3, 3] = 9
    again = begun(tmp_path, chain, START + S)
    assert slots(again, START + S) == [999, 1000, 1001]
    assert again.pairs[1000].lines[3, 3] == 9


@pytest.mark.parametrize("damage", ["gone", "another boot", "wiped", "burn"])
def test_without_an_intact_pair_a_slot_is_over(
    tmp_path: Path, chain: ChainFile, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reboot, a restored snapshot, a file that is gone: nothing whose early grace has begun is accepted."""
    one = begun(tmp_path, chain, fresh=True)
    if damage == "gone":
        for path in pair_files(tmp_path):
            path.unlink()
    elif damage == "wiped":
        for pair in one.pairs.values():
            pair.wipe_key()
    elif damage == "another boot":
        monkeypatch.setattr("fastmix.control.rotation.boot_id", lambda: bytes(16))
    again = begun(tmp_path, chain, START, burn=damage == "burn")
    monkeypatch.undo()
    assert slots(again, START) == [], "1001 was made already, and the chain is past it"
    later = START + 14 * S
    again.look(later)
    assert slots(again, later) == [1002]


@pytest.mark.parametrize("at", [0, 7, 31])
def test_a_pair_whose_secret_is_damaged_is_wiped(tmp_path: Path, chain: ChainFile, at: int) -> None:
    """One byte differs, in bits that X25519 does not clamp: the others are still used."""
    one = begun(tmp_path, chain, fresh=True)
    one.pairs[1000].secret[at] ^= 0x20
    again = begun(tmp_path, chain, START)
    assert slots(again, START) == [999, 1001]
    assert not one.pairs[1000].secret.any(), "its file is wiped"
    assert len(pair_files(tmp_path)) == 2


class Killed(BaseException):
    """The process ends here."""


def killed_at(path: Path, point: str, act: Callable[[Callable[[str], object]], None]) -> None:
    """Does it in a child, which is killed when it comes to that point."""
    child = os.fork()
    if child == 0:

        def die(where: str) -> None:
            if where == point:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            act(die)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


@pytest.mark.parametrize("point", ["filled", "taken", "named", "removed"])
def test_a_kill_at_each_point_costs_no_slot(tmp_path: Path, point: str) -> None:
    """Control is killed in the middle of a rotation; the next one has every live slot, with the key that was foretold."""
    state, clock, path = tmp_path / "state", tmp_path / "clock", tmp_path / "chain"
    state.mkdir()
    first = ChainFile.create(path, 999)
    publics = {999 + at: row.tobytes() for at, row in enumerate(first.publics(20))}
    first.close()

    def run(until_ns: int, passed: Callable[[str], object] = len, *, fresh: bool = False) -> None:
        found = ChainFile.open(path)
        assert found is not None
        one = Rotation(state, TIMES, 1000, found, passed)
        one.begin(START, fresh=fresh)
        for now_ns in range(START, until_ns, S):
            clock.write_text(str(now_ns))
            one.look(now_ns)
        found.close()

    run(START + 2 * S, fresh=True)
    killed_at(path, point, lambda die: run(START + 60 * S, die))
    found = ChainFile.open(path)
    assert found is not None
    one = Rotation(state, TIMES, 1000, found)
    killed_ns = int(clock.read_text())
    one.begin(killed_ns)
    for now_ns in range(killed_ns, killed_ns + 60 * S, 2 * S):
        one.look(now_ns)
        assert set(TIMES.live(now_ns)) <= set(slots(one, now_ns))
        assert all(pair.public == publics[slot] for slot, pair in one.pairs.items())
    assert not [path for path in pair_files(state) if path.name.startswith(".")]


def test_a_chain_that_was_put_back_gives_no_key_again(tmp_path: Path, chain: ChainFile) -> None:
    """A pair of a slot that the chain has still to come to was used with what is now elsewhere: it is wiped."""
    begun(tmp_path, chain, fresh=True)
    chain.start_over(1000)
    again = begun(tmp_path, chain, START)
    assert slots(again, START) == [999, 1001], "1000 has opened, and its pair is of another chain"


def unname(pair: Pair) -> None:
    """As a kill leaves it before it has its name."""
    assert pair.path is not None
    pair.path.rename(unnamed_path(pair.path.parent, pair.id))


def test_a_pair_without_a_name_of_a_chain_that_is_gone_is_not_used(tmp_path: Path, chain: ChainFile) -> None:
    """It is of the slot whose secret is next, but not this chain's."""
    one = begun(tmp_path, chain, fresh=True)
    unname(one.pairs[1000])
    chain.start_over(1000)
    again = begun(tmp_path, chain, START)
    assert slots(again, START) == [999, 1001]


def test_a_pair_without_a_name_far_ahead_of_its_chain_is_not_used(tmp_path: Path) -> None:
    """The chain's files are put back: nobody knows what has been used since."""
    state, keys, copy = tmp_path / "state", tmp_path / "keys", tmp_path / "copy"
    state.mkdir()
    keys.mkdir()
    chain = ChainFile.create(keys / "chain", 900)
    shutil.copytree(keys, copy)
    unname(begun(state, chain, fresh=True).pairs[1000])
    chain.close()
    for path in copy.iterdir():
        shutil.copy2(path, keys)
    found = ChainFile.open(keys / "chain")
    assert found is not None
    assert found.slot == 900
    assert slots(begun(state, found, START), START) == [1001]
    found.close()


def test_a_renewed_chain_begins_two_slots_on(tmp_path: Path, chain: ChainFile) -> None:
    """What the descriptor of before lists for now and the next slot stays as it is; from then on all is new."""
    now_ns = START - 2 * S
    one = begun(tmp_path, chain, now_ns, fresh=True)
    before = one.publics(now_ns, 1020)[1]
    assert one.renew(now_ns) == 1002
    assert [start for start, _ in chain.starts] == [1001, 1002]
    again = begun(tmp_path, chain, START - S)  # as after a kill of control
    after = again.publics(START - S, 1020)[1]
    same = [a == b for a, b in zip(before, after, strict=False)]
    assert same == [True] * 3 + [False] * (len(same) - 3)
    for now_ns in range(START, START + 60 * S, S):
        again.look(now_ns)
        assert set(TIMES.live(now_ns)) <= set(slots(again, now_ns))
        assert all(pair.public == after[slot - 999] for slot, pair in again.pairs.items())
    assert len(chain.starts) == 1


def test_as_many_chains_as_there_may_be(tmp_path: Path, chain: ChainFile) -> None:
    """Then the last one goes on."""
    one = begun(tmp_path, chain, fresh=True)
    for first in range(1010, 1150, 10):
        one.renew_from(first)
    assert [start for start, _ in chain.starts] == [1002, *range(1010, 1080, 10)]
    publics = one.publics(START, 1200)[1]
    for now_ns in range(START, START + 1000 * S, 5 * S):
        one.look(now_ns)
        assert all(pair.public == publics[slot - 999] for slot, pair in one.pairs.items())


def test_no_room_for_the_next_pair(tmp_path: Path, chain: ChainFile) -> None:
    """The old ones go on, nothing is half made, and when there is room the slot has its key."""
    one = begun(tmp_path, chain, fresh=True)
    one.capacity = 1 << 50
    later = START + 10 * S
    with pytest.raises(ResourceExhausted):
        one.look(later)
    assert slots(one, later) == [1000, 1001]
    assert not [path for path in pair_files(tmp_path) if path.name.startswith(".")]
    one.capacity = 1000
    one.look(later)
    assert slots(one, later) == [1000, 1001, 1002]


def test_a_burn_begins_again_at_once(tmp_path: Path, chain: ChainFile) -> None:
    """Nothing of before is left, and the slots that are live have new keys."""
    one = begun(tmp_path, chain, fresh=True)
    held = {slot: open_pair(pair.path or tmp_path) for slot, pair in one.pairs.items()}
    before = {slot: pair.public for slot, pair in one.pairs.items()}
    one.start_over(START)
    one.burn()
    assert slots(one, START) == []
    assert not any(pair.secret.any() for pair in held.values())
    assert not pair_files(tmp_path)
    one.look(START)
    assert slots(one, START) == [999, 1000, 1001]
    assert not {pair.public for pair in one.pairs.values()} & set(before.values())


@pytest.mark.parametrize("point", ["anew", "removed"])
def test_a_kill_while_everything_burns(tmp_path: Path, point: str) -> None:
    """The next start burns what is left: no key of before is used again."""
    state, path = tmp_path / "state", tmp_path / "chain"
    state.mkdir()
    first = ChainFile.create(path, 999)
    before = {row.tobytes() for row in first.publics(20)}
    first.close()

    def run(passed: Callable[[str], object]) -> None:
        found = ChainFile.open(path)
        assert found is not None
        one = Rotation(state, TIMES, 1000, found, passed)
        one.begin(START, fresh=True)
        one.look(START)
        one.start_over(START)
        one.burn()

    killed_at(path, point, run)
    found = ChainFile.open(path)
    assert found is not None
    one = Rotation(state, TIMES, 1000, found)
    one.begin(START)
    for now_ns in range(START, START + 40 * S, S):
        one.look(now_ns)
        assert not before & {pair.public for pair in one.pairs.values()}
    assert set(TIMES.live(START + 40 * S)) <= set(slots(one, START + 39 * S))


def test_after_a_long_sleep(tmp_path: Path, chain: ChainFile) -> None:
    """A machine that slept for a day does not make the keys of the day."""
    one = begun(tmp_path, chain, fresh=True)
    day = START + 86_400 * S
    one.look(day)
    assert slots(one, day) == [*TIMES.live(day), TIMES.live(day)[-1] + 1]
    assert len(pair_files(tmp_path)) == 3


def test_after_years(tmp_path: Path, chain: ChainFile) -> None:
    """Further than a chain goes at once: a fresh one."""
    before = chain.id
    years = START + 1_000_000_000 * S
    one = begun(tmp_path, chain, years)
    one.look(later := years + 10 * S)
    assert set(TIMES.live(later)) & set(slots(one, later))
    assert chain.id != before


def test_a_pair_that_the_data_plane_has_just_wiped(tmp_path: Path, chain: ChainFile) -> None:
    """Its clock may be ahead of control's by a moment."""
    one = begun(tmp_path, chain, fresh=True)
    one.pairs[999].wipe_key()
    assert slots(one, START) == [1000, 1001]
    assert one.publics(START, 1010)[1][0] == NOBODY
