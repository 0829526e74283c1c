"""The time that keys go by, on made-up clocks: no step back revives a key, a jump ahead waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmix.keys.clock import DRIFT_SHARE, PARTED_NS, ClockMark, WallClock
from fastmix.keys.slots import SECOND_NS, SlotTimes

START = 1_700_000_000 * SECOND_NS
BOOT = 1000 * SECOND_NS
HOUR = 3600 * SECOND_NS
SETTLE_NS = 600 * SECOND_NS
TIMES = SlotTimes(600 * SECOND_NS, 60 * SECOND_NS, 120 * SECOND_NS)


class Machine:
    """Both clocks of a machine, and the wall clock that keys go by."""

    def __init__(self, **options: int | None) -> None:
        self.unix, self.boot = START, BOOT
        self.clock = WallClock(START, BOOT, **options)

    def after(self, elapsed: int, step: int = 0) -> int:
        """The time read when so much has passed, and the wall clock was set by `step` besides."""
        self.boot += elapsed
        self.unix += elapsed + step
        return self.clock.read(self.unix, self.boot)


def test_clocks_that_agree_are_followed() -> None:
    machine = Machine()
    assert [machine.after(SECOND_NS) for _ in range(3)] == [START + n * SECOND_NS for n in (1, 2, 3)]
    assert (machine.clock.parted_ns, machine.clock.held_ns) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 2 * HOUR), st.integers(-10 * HOUR, 10 * HOUR) | st.integers(-(10**19), 10**19))))
def test_time_never_goes_back_whatever_the_clocks_do(moves: list[tuple[int, int]]) -> None:
    machine = Machine()
    times = [machine.after(*move) for move in moves]
    assert times == sorted(times)
    firsts = [TIMES.live(time)[0] for time in times]
    assert firsts == sorted(firsts), "no key that has ended is live again"


@given(st.lists(st.tuples(st.integers(1, HOUR), st.integers(-10 * HOUR, 10 * HOUR), st.booleans()), max_size=60))
def test_no_strobe_moves_time_ahead_of_boot_time(moves: list[tuple[int, int, bool]]) -> None:
    """However the wall clock is set, by little or much, however long it stands: time keeps to boot time, one in a thousand."""
    machine = Machine()
    for elapsed, step, is_small in moves:
        time = machine.after(elapsed, step % PARTED_NS if is_small else step)
        boot = machine.boot - BOOT
        assert abs(time - START - boot) <= boot // DRIFT_SHARE


@pytest.mark.parametrize("step", [HOUR, 24 * HOUR, PARTED_NS + 1])
def test_a_jump_ahead_waits_until_it_has_stood(step: int) -> None:
    machine = Machine(follow_after_ns=SETTLE_NS)
    assert machine.after(SECOND_NS, step) == START + SECOND_NS
    assert machine.clock.parted_ns == step
    assert machine.after(SETTLE_NS - 1) == START + SECOND_NS + SETTLE_NS - 1
    assert machine.after(1) == START + SECOND_NS + SETTLE_NS + step
    assert machine.clock.parted_ns == 0


@pytest.mark.parametrize("step", [HOUR, -HOUR, PARTED_NS + 1])
def test_a_jump_waits_for_good_where_nobody_confirms_it(step: int) -> None:
    machine = Machine()
    machine.after(SECOND_NS, step)
    assert machine.after(365 * 24 * HOUR) == START + SECOND_NS + 365 * 24 * HOUR
    assert machine.clock.parted_ns == step


def test_a_jump_ahead_is_followed_once_confirmed() -> None:
    machine = Machine()
    machine.after(SECOND_NS, HOUR)
    assert machine.clock.confirm() == START + SECOND_NS + HOUR
    assert machine.after(SECOND_NS) == START + 2 * SECOND_NS + HOUR


def test_confirming_where_nothing_waits_keeps_the_clocks_together() -> None:
    machine = Machine()
    machine.after(SECOND_NS)
    assert machine.clock.confirm() == START + SECOND_NS


def test_a_jump_that_comes_back_or_changes_waits_anew() -> None:
    machine = Machine(follow_after_ns=SETTLE_NS)
    machine.after(0, HOUR)
    machine.after(SETTLE_NS - 1, -HOUR)
    assert machine.clock.parted_ns == 0
    machine.after(0, HOUR)
    machine.after(SETTLE_NS - 1, HOUR)
    assert machine.clock.parted_ns == 2 * HOUR
    assert machine.after(SETTLE_NS - 1) == START + 3 * (SETTLE_NS - 1)
    assert machine.after(1) == START + 3 * SETTLE_NS - 2 + 2 * HOUR


@pytest.mark.parametrize("step", [SECOND_NS * 10, HOUR, 24 * HOUR, 10 * 365 * 24 * HOUR])
def test_a_step_back_goes_on_with_boot_time_then_stands(step: int) -> None:
    machine = Machine(follow_after_ns=SETTLE_NS)
    assert machine.after(SECOND_NS, -step) == START + SECOND_NS
    stands = machine.after(SETTLE_NS - 1)
    assert stands == START + SECOND_NS + SETTLE_NS - 1
    assert machine.after(1) == stands, "followed"
    assert machine.clock.held_ns == stands - machine.unix == step - 1
    assert machine.after(machine.clock.held_ns) == stands
    assert machine.after(SECOND_NS) == stands + SECOND_NS


def test_small_differences_are_followed_slowly() -> None:
    machine = Machine()
    assert machine.after(1000 * SECOND_NS, 3 * SECOND_NS) == START + 1001 * SECOND_NS
    assert machine.after(1000 * SECOND_NS) == START + 2002 * SECOND_NS
    assert machine.after(9000 * SECOND_NS) == START + 11003 * SECOND_NS


def test_boot_time_that_goes_back_is_no_time_passed() -> None:
    machine = Machine()
    machine.after(HOUR)
    assert machine.clock.read(machine.unix, machine.boot - 1) == START + HOUR


def test_it_begins_no_earlier_than_keys_have_gone() -> None:
    machine = Machine(least_ns=START + HOUR)
    assert machine.after(SECOND_NS) == START + HOUR
    assert machine.clock.held_ns == HOUR - SECOND_NS
    assert machine.after(HOUR) == START + HOUR + SECOND_NS


def test_ends_are_known_in_boot_time() -> None:
    machine = Machine()
    assert machine.clock.boot_ns_at(START + HOUR) == BOOT + HOUR
    machine.after(SECOND_NS, HOUR)
    assert machine.clock.boot_ns_at(START + HOUR) == BOOT + HOUR
    machine.clock.confirm()
    assert machine.clock.boot_ns_at(START + 2 * HOUR) == BOOT + HOUR


@pytest.mark.parametrize(
    ("unix", "boot", "boot_id", "parted"),
    [
        (HOUR, HOUR, b"a", False),
        (HOUR + PARTED_NS, HOUR, b"a", False),
        (HOUR - PARTED_NS, HOUR, b"a", False),
        (HOUR + PARTED_NS + HOUR // DRIFT_SHARE + 1, HOUR, b"a", True),
        (2 * HOUR, HOUR, b"a", True),
        (0, HOUR, b"a", True),
        (HOUR, HOUR, b"b", True),
        (-SECOND_NS, -SECOND_NS, b"a", True),
    ],
)
def test_a_start_sees_that_the_clocks_have_parted(unix: int, boot: int, boot_id: bytes, parted: bool) -> None:
    before = ClockMark(START, BOOT, b"a")
    assert before.has_parted(ClockMark(START + unix, BOOT + boot, boot_id)) is parted
