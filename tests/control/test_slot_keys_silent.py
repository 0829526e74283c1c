"""A node without a live key says so, whatever the reason and as long as it lasts, and says nothing while it has one."""

import asyncio
from pathlib import Path

import pytest
from slot_machine import HOUR, SLOT, START, Machine, S, machine_in

from fastmix.control.slot_keys import SlotKeyDuty
from fastmix.control.snapshot import published_keys
from fastmix.errors import ResourceExhausted
from fastmix.seam.pair import pair_files
from fastmix.status import HealthStatus


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return machine_in(tmp_path)


def told(machine: Machine) -> str:
    """Of no key that is live; empty: nothing is wrong with that."""
    found = [issue for issue in machine.duty.issues() if issue.name == "no_key"]
    assert all(issue.status is HealthStatus.UNHEALTHY for issue in found)
    assert bool(found) == (not machine.live())
    return "".join(f"{issue.problem}: {issue.remedy}" for issue in found)


def reboot(machine: Machine) -> None:
    """Memory is gone, and state_dir with it."""
    for path in machine.folder.iterdir():
        path.unlink()
    machine.begin()


def test_a_boot_with_a_clock_ahead(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The chain is a week ahead for good: that is told until keys are burnt by hand, and at the start."""
    machine = machine_in(tmp_path, unix_ns=START + 7 * 24 * HOUR)
    assert not told(machine)
    machine.unix_ns = START
    reboot(machine)
    for _ in range(3):
        assert "every packet is refused until 2027-01-22 " in told(machine)
        assert "ahead has given up all slots before" in told(machine)
        assert "keys rotate --compromised NODE begins again" in told(machine)
        machine.after(SLOT)
    assert "ahead has given up all slots before" in caplog.text
    asyncio.run(machine.duty.burn(machine.secret, lambda: int(machine.secret["snapshot"]["generation"][0])))
    machine.tick()
    assert not told(machine)
    assert machine.unix_ns // SLOT in machine.live()


def test_a_reboot_waits_for_the_next_slot(machine: Machine) -> None:
    machine.after(20 * S)
    reboot(machine)
    machine.after(20 * S)
    assert "until 2027-01-15 08:09:00 UTC" in told(machine)
    assert "wait: the replay sets of before are gone" in told(machine)
    machine.after(SLOT)
    assert not told(machine)


@pytest.mark.parametrize("pairs", ["kept", "lost"])
def test_a_chain_that_was_moved_away(machine: Machine, pairs: str) -> None:
    """A new one begins with the slot of now, or after the pairs that are whole; it never gives a key of before."""
    machine.after(20 * S)
    before, now = machine.publics(), machine.unix_ns // SLOT
    for path in pair_files(machine.folder) if pairs == "lost" else ():
        path.unlink()
    for path in machine.keys_dir.glob("mix-keys*"):
        path.rename(path.with_name(f"old-{path.name}"))
    machine.begin()
    machine.tick()
    assert not told(machine)
    assert machine.live() == [now]
    assert (machine.publics() == before) == (pairs == "kept")
    machine.after(SLOT)
    assert machine.live() == [now + 1]


def test_a_control_that_follows_another(machine: Machine) -> None:
    """What its predecessor has published is live, before it has looked, and while the data plane has not taken what is new."""
    machine.after(20 * S)
    machine.duty.rotation.chain.close()
    machine.duty = SlotKeyDuty(machine.config, machine.plan.network, machine.identity, clocks=machine.clocks)
    machine.duty.take_over(published_keys(machine.secret))
    assert not told(machine)
    machine.duty.tick(machine.secret, 0)
    assert not told(machine)


def test_keys_that_cannot_be_made(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(now_ns: int) -> None:
        raise ResourceExhausted("no room")

    with monkeypatch.context() as patched:
        patched.setattr(machine.duty.rotation, "look", look)
        for _ in range(40):
            machine.unix_ns += SLOT // 20
            machine.boot_ns += SLOT // 20
            with pytest.raises(ResourceExhausted):
                machine.tick()
            told(machine)
    assert "mend what the other issues" in told(machine)
    machine.tick()
    assert not told(machine)


def test_time_that_stands(machine: Machine) -> None:
    machine.after(2 * SLOT)
    machine.after(S, -2 * SLOT)
    machine.duty.clock.confirm()
    machine.after(SLOT)
    assert told(machine)
    assert "clock" in [issue.name for issue in machine.duty.issues()]
