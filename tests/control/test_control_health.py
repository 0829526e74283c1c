"""What a node says of its health, from counters alone."""

from dataclasses import replace

import pytest

from fastmix.control.health import GROWTHS, WINDOW_S, HealthWatch
from fastmix.packet.verdict import DROPS
from fastmix.status import Health, HealthStatus, Metrics, NodeState, NodeStatus

RUNNING = NodeStatus("mix-001", NodeState.RUNNING)
NOTHING = Metrics(dropped={verdict.label: 0 for verdict in DROPS})


def with_count(name: str, n: int) -> Metrics:
    """Metrics in which one counter is n, and the law holds."""
    if name in NOTHING.dropped:
        return replace(NOTHING, received=n, dropped=NOTHING.dropped | {name: n})
    return replace(NOTHING, **{name: n})


def test_nothing_is_wrong() -> None:
    watch = HealthWatch()
    watch.note(0.0, NOTHING)
    found = watch.look(RUNNING, with_count("forwarded", 0), False)
    assert (found.overall, found.issues) == (HealthStatus.HEALTHY, ())


@pytest.mark.parametrize("growth", GROWTHS, ids=lambda growth: growth.name)
def test_what_grew_in_the_last_minute(growth) -> None:
    watch = HealthWatch()
    watch.note(0.0, with_count(growth.name, 2))
    grown = with_count(growth.name, 7)
    (issue,) = watch.look(RUNNING, grown, False).issues
    assert (issue.name, issue.status) == (growth.name, growth.status)
    assert issue.problem.startswith("5 ")
    for second in range(1, int(WINDOW_S) + 3):
        watch.note(float(second), grown)
    assert not watch.look(RUNNING, grown, False).issues, "it is over"


def test_the_worst_comes_first() -> None:
    watch = HealthWatch()
    watch.note(0.0, NOTHING)
    busy = replace(RUNNING, state=NodeState.DRAINING, load_percent=93.0)
    found = watch.look(busy, replace(NOTHING, received=3), True)
    assert [issue.name for issue in found.issues] == ["state", "conservation", "load", "reservations"]
    assert found.overall is HealthStatus.UNHEALTHY
    assert Health.from_dict(found.to_dict()) == found
