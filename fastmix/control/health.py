"""What is wrong with a node, from its state, its counters and how they grew in the last minute."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fastmix.packet.verdict import Verdict
from fastmix.status import Health, HealthIssue, HealthStatus, Metrics, NodeState, NodeStatus, ReplaySetStatus

WINDOW_S = 60.0
EACH_S = 1.0
"""The counters are kept once a second."""
BUSY_PERCENT = 70.0
"""Of the unwraps that the cores could do: links, sockets and mixing take the rest."""
NEARLY_FULL_PERCENT = 80
"""Of what a replay set is promised to take."""
DEGRADED, UNHEALTHY = HealthStatus.DEGRADED, HealthStatus.UNHEALTHY


@dataclass(frozen=True, slots=True)
class Growth:
    """A counter that must not grow: its name among the metrics, how bad it is, what happened, what to do."""

    name: str
    status: HealthStatus
    problem: str
    remedy: str


GROWTHS = (
    Growth(
        Verdict.DROP_REPLAY_FULL.label, UNHEALTHY, "packets were refused for a full replay set",
        "raise replay_capacity and start the node with a new key",
    ),
    Growth("restarts", DEGRADED, "data planes died and were started again", "look into the node's log for what killed them"),
    Growth(
        "kernel_drop_events", DEGRADED, "datagrams, or trains of them, were dropped by the kernel before the node saw them",
        "raise receive_buffer and net.core.rmem_max, or give the node more workers; fastmix doctor says which",
    ),
    Growth(
        Verdict.DROP_POOL_FULL.label, DEGRADED, "packets found the pool full",
        "raise pool_slots, or lower the network's mean delay",
    ),
    Growth("strategy_faults", DEGRADED, "times the mixing strategy failed and the framework mixed in its place", "see the log"),
    Growth(Verdict.DROP_SEND.label, DEGRADED, "packets were refused by the kernel when sent", "look at routes and firewall"),
    Growth(
        Verdict.DROP_LINK_EXHAUSTED.label, UNHEALTHY, "packets found a link without counters left",
        "make the files of link counters writable again (the log names them), or give the link a new secret",
    ),
)  # fmt: skip


class HealthWatch:
    """Keeps a minute of counters. `note` often, `look` when asked."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Metrics]] = deque()

    def note(self, now_s: float, metrics: Metrics) -> None:
        """The counters at a moment of the steady clock."""
        if self._seen and now_s - self._seen[-1][0] < EACH_S:
            return
        self._seen.append((now_s, metrics))
        while len(self._seen) > 1 and now_s - self._seen[1][0] >= WINDOW_S:
            self._seen.popleft()

    def look(self, status: NodeStatus, metrics: Metrics, reservations_fail: bool, more: Iterable[HealthIssue] = ()) -> Health:
        """The issues now, the worst first. `reservations_fail`: link counters cannot be written; `more`: what others found."""
        found = [*self._of_state(status), *self._of_growth(metrics), *more]
        if metrics.conservation:
            problem = f"{metrics.conservation} packets are not accounted for"
            found.append(HealthIssue("conservation", UNHEALTHY, problem, "report it, with the output of fastmix status --json"))
        if reservations_fail:
            problem = "link counters cannot be written: links stop when what is reserved is used up"
            found.append(HealthIssue("reservations", DEGRADED, problem, "make room, or mend the permissions: see the log"))
        return Health(tuple(sorted(found, key=lambda issue: issue.status is not UNHEALTHY)))

    def _of_state(self, status: NodeStatus) -> Iterator[HealthIssue]:
        if status.state is not NodeState.RUNNING:
            yield HealthIssue("state", UNHEALTHY, f"the node is {status.state.value}: it takes no packets", "wait, or start it")
        if status.load_percent > BUSY_PERCENT:
            problem = f"unwrapping alone takes {status.load_percent:.0f} % of its cores"
            yield HealthIssue("load", DEGRADED, problem, "give the node more workers, or the network more nodes")

    def _of_growth(self, metrics: Metrics) -> Iterator[HealthIssue]:
        now, before = count_of(metrics), count_of(self._seen[0][1] if self._seen else metrics)
        for growth in GROWTHS:
            n = now[growth.name] - before[growth.name]
            if n > 0:
                text = f"{n} {growth.problem} in the last minute"
                yield HealthIssue(growth.name, growth.status, text, growth.remedy)


def replay_issues(sets: Iterable[ReplaySetStatus]) -> Iterator[HealthIssue]:
    """Replay sets that will be full before their key's time is over, if it goes on like this; full ones refuse packets."""
    for each in sets:
        if 100 * each.tags > NEARLY_FULL_PERCENT * each.capacity:
            whose = "the key" if each.slot is None else f"slot {each.slot}"
            problem = f"the replay set of {whose} is at {each.text}"
            then = "with a new key" if each.slot is None else "again: later slots have it"
            remedy = f"raise replay_capacity and start the node {then}"
            yield HealthIssue("replay_set", DEGRADED, problem, remedy)


def count_of(metrics: Metrics) -> dict[str, int]:
    """All counters and drops by name."""
    return metrics.counters | metrics.dropped
