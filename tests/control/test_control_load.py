"""A node's load, from its counters."""

from fastmix.control.load import WINDOW_S, Load
from fastmix.packet.verdict import DROPS, Verdict


def counters(received: int, **more: int) -> dict[str, int]:
    return {verdict.label: 0 for verdict in DROPS} | {"received": received, "in_stage": 0} | more


def test_only_what_reached_the_unwrap_counts() -> None:
    load = Load()
    load.note(100.0, counters(0))
    load.note(101.0, counters(900, drop_link_auth=300, drop_draining=50, drop_mac=100, in_stage=50))
    assert load.percent(1000) == 50.0
    assert load.percent(0) == 0.0


def test_the_last_ten_seconds_count() -> None:
    load = Load()
    assert load.percent(1000) == 0.0
    for second in range(30):
        load.note(float(second), counters(100 * second if second < 15 else 1500))
        assert load.percent(1000) <= 10.0
    assert load.percent(1000) == 0.0
    assert len(load._seen) <= WINDOW_S + 2
    load.note(30.0, counters(1500 + 1000))
    assert load.percent(1000) == 10.0


def test_counters_that_fall_are_no_load() -> None:
    """Packets that were dropped after a crash may be counted anew."""
    load = Load()
    load.note(0.0, counters(100))
    load.note(1.0, counters(100, in_stage=50))
    assert load.percent(1000) == 0.0
    assert all(verdict.label in counters(0) for verdict in Verdict if verdict)
