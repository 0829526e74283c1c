"""What a node says about itself: its state and its counters. A leaf that `fastmix status` can import in a moment."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class ReplaySetStatus:
    """The replay set of one live key. `slot` of time, None where the key has no end; `tags` in it of `capacity`; `size` in bytes;
    `false_positive_rate`: the chance that a packet which was never here is refused."""

    slot: int | None
    tags: int
    capacity: int
    size: int
    false_positive_rate: float

    @property
    def text(self) -> str:
        """For a person: `12.3 % of 200,000 packets, 1.4 MB; one new packet in 500,000,000 would be refused`."""
        odds = f"; one new packet in {1 / self.false_positive_rate:,.0f} would be refused" if self.false_positive_rate else ""
        return f"{100 * self.tags / self.capacity:.1f} % of {self.capacity:,} packets, {self.size / 1e6:.1f} MB{odds}"


class NodeState(StrEnum):
    """A node's life, in order; `failed` is the end of one that could not go on."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node at one moment. `uptime` in seconds, `current_batch_size` packets pooled, `pending_batches` how many batches of
    `max_batch_size` that is, `last_batch_ns` wall clock when packets left last (0: never), `reason` why it failed.

    `isa`: the kernels' instruction set; `unwraps_per_s`: what one core does with them, measured at the start; `load_percent`: how
    much of that, over all workers, the packets of the last ten seconds took. `profile`: the profile under the node's settings.
    `io`: how its datagrams move (`gso`, `mmsg` or `socket`). `received_by_worker`: datagrams, since the data plane's last start
    where there are several workers. `replay_sets`: those of the live keys, oldest first.
    `cover`: the node's own loops, or why it makes none.
    """

    node_id: str
    state: NodeState
    uptime: float = 0.0
    messages_processed: int = 0
    current_batch_size: int = 0
    active_connections: int = 0
    pending_batches: int = 0
    last_batch_ns: int = 0
    reason: str = ""
    isa: str = ""
    unwraps_per_s: int = 0
    load_percent: float = 0.0
    profile: str = ""
    io: str = ""
    received_by_worker: tuple[int, ...] = ()
    replay_sets: tuple[ReplaySetStatus, ...] = ()
    cover: str = ""

    def to_dict(self) -> dict[str, object]:
        """Plain values for `--json`."""
        return {
            "node_id": self.node_id,
            "state": self.state.value,
            "uptime": self.uptime,
            "messages_processed": self.messages_processed,
            "current_batch_size": self.current_batch_size,
            "active_connections": self.active_connections,
            "pending_batches": self.pending_batches,
            "last_batch_ns": self.last_batch_ns,
            "reason": self.reason,
            "isa": self.isa,
            "unwraps_per_s": self.unwraps_per_s,
            "load_percent": self.load_percent,
            "profile": self.profile,
            "io": self.io,
            "received_by_worker": list(self.received_by_worker),
            "replay_sets": [asdict(each) for each in self.replay_sets],
            "cover": self.cover,
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """What `to_dict` gave."""
        sets = tuple(ReplaySetStatus(**each) for each in told["replay_sets"])
        by_worker = tuple(told["received_by_worker"])
        return cls(**{**told, "state": NodeState(told["state"]), "received_by_worker": by_worker, "replay_sets": sets})


COUNTED_IN = ("received", "originated")
COUNTED_OUT = ("forwarded", "delivered", "absorbed_cover", "pooled", "in_stage")
COUNTED_LOOPS = ("loops_sent", "loops_returned", "loops_lost")
COUNTED_BESIDE = ("released_below_floor", "strategy_faults", "kernel_drop_events", "crash_uncertain", "restarts", *COUNTED_LOOPS)


@dataclass(frozen=True, slots=True)
class Metrics:
    """A node's counters, of one consistent read. `pooled` and `in_stage` are how many are there now; the others only grow.

    `dropped` counts by reason, under the labels of the verdicts (`drop_mac`). The conservation law:
    received + originated = forwarded + delivered + absorbed_cover + pooled + in_stage + all dropped. `kernel_drop_events`,
    `crash_uncertain`, `released_below_floor`, `strategy_faults` and `restarts` (of the data plane) stand beside it.
    `loops_sent`, `loops_returned` and `loops_lost` are of the node's own loops, which are `originated` as well; the rest of them
    is under way, or was when control died. With `io` = "gso" a whole train that the kernel dropped is one of its
    `kernel_drop_events`. `unwraps_per_s` is no counter: what one core can do, measured at the start.
    """

    received: int = 0
    originated: int = 0
    forwarded: int = 0
    delivered: int = 0
    absorbed_cover: int = 0
    pooled: int = 0
    in_stage: int = 0
    released_below_floor: int = 0
    strategy_faults: int = 0
    kernel_drop_events: int = 0
    crash_uncertain: int = 0
    restarts: int = 0
    loops_sent: int = 0
    loops_returned: int = 0
    loops_lost: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    unwraps_per_s: int = 0

    @property
    def dropped_total(self) -> int:
        """All drops of all reasons."""
        return sum(self.dropped.values())

    @property
    def counters(self) -> dict[str, int]:
        """Every counter but the drops, by name."""
        return {name: getattr(self, name) for name in COUNTED_IN + COUNTED_OUT + COUNTED_BESIDE}

    @property
    def conservation(self) -> int:
        """What came in less what is accounted for: 0 where the law holds exactly, positive where packets are missing."""
        counters = self.counters
        came = sum(counters[name] for name in COUNTED_IN)
        return came - sum(counters[name] for name in COUNTED_OUT) - self.dropped_total

    @property
    def account(self) -> str:
        """The conservation law in numbers: `5 received + 2 originated = 4 forwarded + 2 delivered + 0 absorbed + 1 dropped`. With
        what is still in the node, and with what is missing, where there is any.
        """
        went = {"forwarded": self.forwarded, "delivered": self.delivered, "absorbed": self.absorbed_cover}
        went |= {name: n for name, n in (("pooled", self.pooled), ("in stage", self.in_stage)) if n}
        went |= {"dropped": self.dropped_total} | ({"missing": self.conservation} if self.conservation else {})
        told = " + ".join(f"{n} {name}" for name, n in went.items())
        return f"{self.received} received + {self.originated} originated = {told}"

    def to_dict(self) -> dict[str, object]:
        """Plain values for `--json`: the counters, `dropped` without zeros, and `conservation` ("exact" or the difference)."""
        dropped = {reason: n for reason, n in sorted(self.dropped.items()) if n}
        return {
            **self.counters,
            "dropped": dropped,
            "conservation": self.conservation or "exact",
            "unwraps_per_s": self.unwraps_per_s,
        }


class HealthStatus(StrEnum):
    """How a node is: `degraded` does its work and wants to be looked after, `unhealthy` does not do it."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class HealthIssue:
    """One thing that is wrong: a name that does not change, how bad it is, what it is, what to do."""

    name: str
    status: HealthStatus
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Health:
    """What a node says of its health: its issues, the worst first."""

    issues: tuple[HealthIssue, ...] = ()

    @property
    def overall(self) -> HealthStatus:
        """The worst of its issues."""
        return self.issues[0].status if self.issues else HealthStatus.HEALTHY

    def to_dict(self) -> dict[str, object]:
        """Plain values for `--json`."""
        issues = [{**asdict(issue), "status": issue.status.value} for issue in self.issues]
        return {"overall": self.overall.value, "issues": issues}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """What `to_dict` gave."""
        return cls(tuple(HealthIssue(**{**issue, "status": HealthStatus(issue["status"])}) for issue in told["issues"]))
