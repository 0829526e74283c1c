"""Clocks that part while a node runs, or before its control begins again: what was live is burnt, and no key is used twice."""

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from slot_machine import HOUR, SETTLE_NS, SLOT, START, Machine, S, machine_in

from fastmix.config import KeysConfig
from fastmix.control.key_clock import CLOCK_FILE, KeyClock
from fastmix.seam.pair import open_pair, pair_files


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return machine_in(tmp_path)


@pytest.fixture
def alone(tmp_path: Path) -> Machine:
    """One that nobody attends."""
    return machine_in(tmp_path, KeysConfig(interval=timedelta(hours=24), chain="disk", follow_clock_after="10min"))


def test_a_clock_that_keeps_to_boot_time_burns_nothing(machine: Machine) -> None:
    now = START // SLOT
    before = machine.publics()
    for _ in range(10):
        machine.after(3 * S, step_ns=400_000_000)
        machine.after(3 * S, step_ns=-400_000_000)
    assert machine.live() == [now]
    assert machine.publics() == before


@pytest.mark.parametrize("step", [6 * S, HOUR, -6 * S, -HOUR, 10 * 365 * 24 * HOUR, -10 * 365 * 24 * HOUR])
def test_a_parting_burns_what_was_live(machine: Machine, step: int, caplog: pytest.LogCaptureFixture) -> None:
    """A restored snapshot, or a clock that was set: nobody can tell them apart. Fresh keys go by boot time, for a jump waits."""
    before, held, now = machine.publics(), [open_pair(path) for path in pair_files(machine.folder)], START // SLOT
    machine.after(S, step)
    assert "has parted from boot time" in caplog.text
    assert "restored from a snapshot with its memory" in caplog.text
    assert not any(pair.secret.any() for pair in held)
    assert not machine.publics() & before
    assert machine.live() == [now]
    assert machine.duty.clock.parted_ns == step
    machine.after(S)
    descriptor = machine.descriptor()
    assert descriptor.public(now) in machine.publics()
    assert caplog.text.count("has parted") == 1


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_jump_waits_until_it_is_confirmed(machine: Machine, step: int) -> None:
    machine.after(S, step)
    machine.after(10 * SETTLE_NS)
    (issue,) = machine.duty.issues()
    assert machine.duty.clock.parted_ns == step
    assert machine.live()[-1] == (machine.unix_ns - step) // SLOT
    assert issue.name == "clock"
    for part in ("fastmix keys clock NODE --confirm", "follow_clock_after in [keys]", "(fastmix keys new)"):
        assert part in issue.remedy
    machine.duty.clock.confirm()
    machine.after(S)
    assert machine.duty.clock.parted_ns == 0
    if step > 0:
        assert machine.live()[-1] == machine.unix_ns // SLOT
    else:
        (issue,) = machine.duty.issues()
        assert "keys stand for" in issue.problem
        assert "--compromised" in issue.remedy


def test_a_jump_that_stands_is_followed_where_that_is_set(alone: Machine) -> None:
    alone.after(S, HOUR)
    assert "wait until it has stood for 600 s" in next(alone.duty.issues()).remedy
    alone.after(SETTLE_NS - S)
    assert alone.duty.clock.parted_ns == HOUR
    alone.after(2 * S)
    assert alone.live()[-1] == alone.unix_ns // SLOT
    assert alone.duty.clock.parted_ns == 0


def test_a_successor_and_burnt_keys_also_follow_as_it_is_set(alone: Machine) -> None:
    """Whatever clock comes after the first one goes by the same setting."""
    alone.begin(resumed=True)
    alone.after(S, HOUR)
    alone.after(SETTLE_NS + S)
    assert alone.duty.clock.parted_ns == 0
    asyncio.run(alone.duty.burn(alone.secret, lambda: int(alone.secret["snapshot"]["generation"][0])))
    alone.after(S, HOUR)
    assert alone.duty.clock.parted_ns == HOUR
    alone.after(SETTLE_NS + S)
    assert alone.duty.clock.parted_ns == 0


@pytest.mark.parametrize("which", ["machine", "alone"])
def test_a_step_back_revives_nothing(which: str, request: pytest.FixtureRequest) -> None:
    """Slots that were over stay over, also once the step is followed: then time stands."""
    machine: Machine = request.getfixturevalue(which)
    machine.after(2 * SLOT)
    first = min(machine.live())
    machine.after(S, -2 * SLOT)
    machine.after(SETTLE_NS + S)
    machine.after(SLOT)
    assert not machine.live() or min(machine.live()) >= first


def test_a_strobe_makes_no_storm_of_keys(machine: Machine) -> None:
    """The wall clock is ahead for every other tick: keys are made anew once in a slot's time at most."""
    made = len(machine.given)
    for at in range(300):
        machine.boot_ns += S
        machine.unix_ns += S + (60 * S if at % 2 else -60 * S)
        machine.tick()
    assert len(machine.given) - made <= 3
    machine.after(SLOT)
    assert machine.live()


@pytest.mark.parametrize("act", ["killed before it has seen it", "killed after it"])
def test_a_successor_burns_too_and_does_not_follow(machine: Machine, act: str) -> None:
    """Control is killed around a jump ahead: the next one goes on with the time that keys went by."""
    before, now = machine.publics(), START // SLOT
    machine.after(2 * S)
    if act == "killed after it":
        machine.after(2 * S, 10 * HOUR)
        machine.after(2 * S)
        before |= machine.publics()
        machine.begin(resumed=True)
        assert machine.publics() <= before, "those of after the jump go on"
    else:
        machine.unix_ns += 10 * HOUR
        machine.begin(resumed=True)
        assert not machine.publics() & before
    machine.after(S)
    assert machine.live() == [now]
    assert machine.duty.clock.parted_ns == 10 * HOUR


def test_a_published_key_never_lives_longer(machine: Machine) -> None:
    """The wall clock is set back a little, and keys follow it by and by; the next key's publishing names this one again."""
    (key,) = machine.duty.published
    machine.after(S, -4 * S)
    machine.after(400 * S)
    again, following = machine.duty.published
    assert (again.id, following.slot) == (key.id, key.slot + 1)
    assert machine.duty.now_ns() - machine.boot_ns < START - 5000 * S, "time has followed"
    assert (again.from_ns, again.until_ns) == (key.from_ns, key.until_ns)


def test_a_burn_wipes_nothing_that_the_data_plane_still_uses(machine: Machine) -> None:
    """It takes a few looks until the data plane has taken up that there is no key; until then its pairs are whole."""
    before, word = machine.publics(), machine.secret["snapshot"]["generation"]
    used, seen = int(word[0]), []

    def adopted() -> int:
        nonlocal used
        if used != int(word[0]):
            seen.append(machine.publics())
            used = int(word[0]) if len(seen) == 3 else used
        return used

    asyncio.run(machine.duty.burn(machine.secret, adopted))
    assert seen == [before] * 3
    assert machine.live()
    assert not machine.publics() & before


def test_a_start_believes_the_clock_and_burns(machine: Machine) -> None:
    before = machine.publics()
    machine.unix_ns += 10 * HOUR
    machine.begin()
    assert not machine.publics() & before
    assert machine.live() == [(START + 10 * HOUR) // SLOT]


def damage(path: Path, what: str) -> None:
    data = path.read_bytes()
    if what == "nothing in it":
        path.write_bytes(b"")
    elif what == "no text":
        path.write_bytes(b"\xff" + data[1:])
    elif what == "another number":
        words = data.split()
        words[3] = b"9" + words[3][1:]
        path.write_bytes(b" ".join(words) + b"\n")
    else:
        path.chmod(0o666)


@pytest.mark.parametrize("what", ["nothing in it", "no text", "another number", "of others"])
@pytest.mark.parametrize("resumed", [False, True])
def test_a_mark_that_is_damaged_is_not_believed(
    machine: Machine, what: str, resumed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can tell then how old the pairs are: they are wiped, time is the wall clock's, and other slots go on."""
    machine.after(20 * S)
    before, path = machine.publics(), machine.folder / CLOCK_FILE
    damage(path, what)
    machine.begin(resumed=resumed)
    assert f"{path}: " in caplog.text
    assert "nobody can tell how old they are" in caplog.text
    assert machine.duty.now_ns() == machine.unix_ns
    assert not machine.publics() & before
    machine.after(SLOT)
    assert machine.live() == [(START + SLOT) // SLOT]


def test_no_flipped_bit_of_a_mark_is_believed(machine: Machine) -> None:
    """A damaged one is as good as none: where time goes on, it goes by the wall clock."""
    path = machine.folder / CLOCK_FILE
    machine.after(20 * S)
    whole = path.read_bytes()
    assert not KeyClock.begun(machine.config, machine.clocks, goes_on=True).is_unsure
    for at in range(8 * (len(whole) - 1)):
        flipped = bytearray(whole)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
        clock = KeyClock.begun(machine.config, machine.clocks, goes_on=True)
        assert clock.is_unsure
        assert clock.now_ns() == machine.unix_ns


@pytest.mark.parametrize("what", ["state_dir", "chain"])
def test_a_restored_disk_burns_the_live_slots(machine: Machine, tmp_path: Path, what: str) -> None:
    """In the same boot, with clocks in order, files are put back as they were a while ago."""
    source = machine.folder if what == "state_dir" else machine.keys_dir
    copy, pattern = tmp_path / "copy", "*" if what == "state_dir" else "mix-keys*"
    copy.mkdir()
    for path in source.glob(pattern):
        shutil.copy2(path, copy)
    machine.after(100 * S if what == "state_dir" else SLOT)
    live = machine.publics()
    for path in source.glob(pattern):
        path.unlink()
    for path in copy.iterdir():
        shutil.copy2(path, source)
    machine.begin()
    assert not machine.publics() & live
    assert not machine.live()
    machine.after(SLOT)
    assert machine.live()
