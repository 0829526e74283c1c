"""Slots of time: which keys are live when, at every boundary, and what cannot hold."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmix.errors import ConfigError
from fastmix.keys.policy import HORIZON_MAX, KeyRotationPolicy
from fastmix.keys.slots import SECOND_NS, SlotTimes

MINUTE_NS = 60 * SECOND_NS
MS_NS = 1_000_000
DEFAULT = KeyRotationPolicy().times


@st.composite
def slot_times(draw: st.DrawFn) -> SlotTimes:
    slot = draw(st.integers(1, 10**6) | st.integers(1, 10**15))
    early = draw(st.integers(0, 2 * slot))
    return SlotTimes(slot, early, draw(st.integers(0, 2 * slot - early)))


def accepted(times: SlotTimes, number: int, now_ns: int) -> bool:
    return times.opens_ns(number) <= now_ns < times.closes_ns(number)


@given(slot_times(), st.integers(0, 2**63))
def test_live_is_exactly_what_is_open(times: SlotTimes, now_ns: int) -> None:
    live = times.live(now_ns)
    assert 1 <= len(live) <= 3
    assert times.number(now_ns) in live
    assert all(accepted(times, number, now_ns) for number in live)
    assert live[0] == 0 or not accepted(times, live[0] - 1, now_ns)
    assert not accepted(times, live[-1] + 1, now_ns)
    assert len({times.key_slot(number) for number in live}) == len(live)
    assert times.next_unopened(now_ns) == live[-1] + 1


@given(slot_times(), st.integers(1, 10**6))
def test_each_key_opens_and_closes_on_the_nanosecond(times: SlotTimes, number: int) -> None:
    opens, closes = times.opens_ns(number), times.closes_ns(number)
    if opens > 0:
        assert number not in times.live(opens - 1)
    assert number in times.live(max(0, opens))
    assert number in times.live(closes - 1)
    assert number not in times.live(closes)


@given(slot_times(), st.lists(st.integers(0, 10**15), min_size=2))
def test_with_time_no_slot_comes_back(times: SlotTimes, nows: list[int]) -> None:
    firsts = [times.live(now_ns)[0] for now_ns in sorted(nows)]
    assert firsts == sorted(firsts)


def test_the_slots_of_ten_minutes() -> None:
    assert SlotTimes(10 * MINUTE_NS, MINUTE_NS, 2 * MINUTE_NS) == DEFAULT
    base = 300 * 10 * MINUTE_NS
    assert DEFAULT.live(base - MINUTE_NS - 1) == range(299, 300)
    assert DEFAULT.live(base - MINUTE_NS) == range(299, 301)
    assert DEFAULT.live(base + 2 * MINUTE_NS - 1) == range(299, 301)
    assert DEFAULT.live(base + 2 * MINUTE_NS) == range(300, 301)
    assert DEFAULT.key_slot(300) == 44


def test_graces_of_two_slots_make_three_keys_live() -> None:
    times = SlotTimes(10, 10, 10)
    assert all(len(times.live(now)) == 3 for now in range(10, 100))
    with pytest.raises(ConfigError, match="more than 3 keys would be live"):
        SlotTimes(10, 10, 11)


@pytest.mark.parametrize(("times", "word"), [((0, 0, 0), "longer than nothing"), ((-5, 0, 0), "longer"), ((5, -1, 0), "grace")])
def test_slots_that_cannot_be(times: tuple[int, int, int], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        SlotTimes(*times)


def test_late_must_be_twice_the_slowest_way() -> None:
    assert DEFAULT.late_least_ns(3, 50 * MS_NS, 500 * MS_NS) == 8 * SECOND_NS  # 2 x (3 x (0.5 + 0.5) + 1)
    enough = SlotTimes(10 * SECOND_NS, 0, 8 * SECOND_NS)
    enough.check(3, 50 * MS_NS, 500 * MS_NS)
    with pytest.raises(ConfigError, match=r"late = 8s is too short: over 3 hops .* set late to at least"):
        enough.check(3, 50 * MS_NS, 500 * MS_NS + 1)
    with pytest.raises(ConfigError, match="over 4 hops"):
        enough.check(4, 50 * MS_NS, 500 * MS_NS)


def test_the_policy_of_the_document() -> None:
    policy = KeyRotationPolicy()
    assert policy == KeyRotationPolicy(interval=timedelta(hours=24), overlap_period=timedelta(hours=1), backup_keys=3)
    assert policy.horizon == 144 + 6 + 3
    policy.check(5, 50 * MS_NS, 500 * MS_NS)


def test_a_horizon_covers_a_slot_that_is_begun() -> None:
    policy = KeyRotationPolicy(interval=timedelta(minutes=25), overlap_period=timedelta(0), backup_keys=0)
    assert policy.horizon == 3


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"slot": timedelta(0)}, "slot = 0s"),
        ({"interval": timedelta(hours=1), "overlap_period": timedelta(hours=2)}, "overlap_period = 2h is longer than"),
        ({"interval": timedelta(minutes=9), "overlap_period": timedelta(0)}, "shorter than a slot"),
        ({"interval": timedelta.max, "overlap_period": timedelta.max}, f"at most {HORIZON_MAX} fit"),
        ({"interval": 24}, "interval = 24 is not a duration"),
        ({"late": timedelta(seconds=-1)}, "late = -1s is negative"),
        ({"early": timedelta(minutes=10), "late": timedelta(minutes=11)}, "more than 3 keys"),
        ({"backup_keys": -1}, "backup_keys = -1"),
        ({"backup_keys": True}, "backup_keys = True"),
        ({"backup_keys": 1.5}, "backup_keys = 1.5"),
        ({"backup_keys": HORIZON_MAX + 1}, f"backup_keys = {HORIZON_MAX + 1} is not .* from 0 to {HORIZON_MAX}"),
        ({"backup_keys": int("9" * 4300)}, "backup_keys = that is not"),
        ({"backup_keys": -(10**5000)}, "backup_keys = that is not"),
        ({"slot": timedelta(seconds=2), "early": timedelta(0), "late": timedelta(seconds=4)}, f"at most {HORIZON_MAX} fit"),
    ],
)
def test_a_policy_that_cannot_hold_is_named(values: dict[str, timedelta], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        KeyRotationPolicy(**values)


def test_a_late_too_short_for_the_mixing_is_named() -> None:
    with pytest.raises(ConfigError, match="late = 2min is too short"):
        KeyRotationPolicy().check(5, 1500 * MS_NS, 500 * MS_NS)
