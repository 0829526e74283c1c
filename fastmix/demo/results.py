"""What a run of the demo came to."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

CLIENT_COUNTED = ("sent", "delivered", "absorbed_cover")
SEGMENTS_MAX = 64
"""Datagrams in a train, at most; the kernel counts a train that it drops as one."""


class Ledger:
    """Messages that left, by their hash, until one of the same hash arrives."""

    def __init__(self) -> None:
        self._started: dict[str, deque[int]] = {}
        self.latencies_ms: list[float] = []
        self.sent = self.n_bytes = self.mismatched = 0
        self.first_ns = self.last_ns = 0
        self._early: list[tuple[str, int, int]] = []

    @property
    def delivered(self) -> int:
        """Messages that arrived as they were sent."""
        return len(self.latencies_ms)

    def start(self, digest: str, at_ns: int) -> None:
        """A message leaves."""
        self.sent += 1
        self.first_ns = self.first_ns or at_ns
        self._started.setdefault(digest, deque()).append(at_ns)
        early, self._early = self._early, []
        for arrival in early:
            self.arrive(*arrival)

    def arrive(self, digest: str, at_ns: int, size: int) -> None:
        """A message came. The news of its start may still be on its way."""
        if not self._started.get(digest):
            self._early.append((digest, at_ns, size))
            return
        self.latencies_ms.append((at_ns - self._started[digest].popleft()) / 1e6)
        self.n_bytes += size
        self.last_ns = max(self.last_ns, at_ns)

    def close(self) -> None:
        """What came and was never sent is counted as a mismatch."""
        self.mismatched += len(self._early)
        self._early = []

    def percentiles(self) -> dict[str, float | None]:
        """Of the latency from `send` to arrival, ms."""
        found = np.percentile(self.latencies_ms, [50, 90, 99]).tolist() if self.latencies_ms else [None] * 3
        return {
            name: None if value is None else round(value, 1) for name, value in zip(("p50", "p90", "p99"), found, strict=True)
        }


@dataclass
class Results:
    """Everything that the demo prints. `expected`: messages asked for. `nodes` and `clients`: the counters of each at the end."""

    geometry: str
    strategy: str
    seed: int
    expected: int
    ledger: Ledger = field(default_factory=Ledger)
    replied: int = 0
    wrong_replies: int = 0
    failed: int = 0
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    clients: dict[str, dict[str, Any]] = field(default_factory=dict)
    wire: dict[str, Any] = field(default_factory=dict)
    file: dict[str, Any] | None = None
    started_s: float = 0.0
    total_s: float = 0.0

    @property
    def mismatched(self) -> int:
        """Messages and answers that came out as something else."""
        return self.ledger.mismatched + self.wrong_replies

    @property
    def sending_s(self) -> float:
        """Seconds from the first departure to the last arrival."""
        return max(self.ledger.last_ns - self.ledger.first_ns, 1) / 1e9

    def differences(self) -> dict[str, int]:
        """What each conservation law lacks."""
        nodes = {name: 0 if node["conservation"] == "exact" else int(node["conservation"]) for name, node in self.nodes.items()}
        return nodes | {name: int(client["difference"]) for name, client in self.clients.items()}

    @property
    def kernel_drop_events(self) -> int:
        """How often the kernel dropped a datagram, or a train of them, at any socket."""
        return sum(int(each["kernel_drop_events"]) for each in (*self.nodes.values(), *self.clients.values()))

    def network_sum(self) -> dict[str, Any]:
        """Forwarded by all senders against received by all receivers."""
        forwarded = sum(n["forwarded"] for n in self.nodes.values()) + sum(c["sent"] for c in self.clients.values())
        received = sum(each["received"] for each in (*self.nodes.values(), *self.clients.values()))
        relay_lost = int(self.wire.get("lost", 0)) if self.wire.get("by") == "relay" else 0
        events, lost = self.kernel_drop_events, forwarded - received - relay_lost
        known = events <= lost <= events * SEGMENTS_MAX
        return {
            "forwarded": forwarded, "received": received,
            "kernel_drop_events": events, "lost_in_kernel": lost if known else events,
            "difference": "exact" if known else lost - events,
        }  # fmt: skip

    def conservation(self) -> int | str:
        """ "exact", or the sum of what is missing or too much anywhere: in a process, or between them."""
        between = self.network_sum()["difference"]
        return sum(map(abs, self.differences().values())) + (0 if between == "exact" else abs(between)) or "exact"

    def good(self) -> bool:
        """Every message arrived unchanged, and every packet is accounted for."""
        whole = self.file is None or self.file["verified"]
        delivered = self.ledger.delivered == self.ledger.sent == self.expected and not self.mismatched
        return bool(delivered and whole and self.conservation() == "exact")

    def to_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        ledger = self.ledger
        return {
            "sent": ledger.sent,
            "delivered": ledger.delivered,
            "replied": self.replied,
            "lost": ledger.sent - ledger.delivered,
            "mismatched": self.mismatched,
            "retransmitted": sum(client["fragments_retransmitted"] for client in self.clients.values()),
            "kernel_drop_events": self.kernel_drop_events,
            "conservation": self.conservation(),
            "network": self.network_sum(),
            "latency_ms": ledger.percentiles(),
            "messages_per_s": round(ledger.delivered / self.sending_s, 1),
            "mb_per_s": round(ledger.n_bytes / 1e6 / self.sending_s, 3),
            "seconds": {
                "start": round(self.started_s, 2),
                "sending": round(self.sending_s, 2),
                "total": round(self.total_s, 2),
            },
            "geometry": self.geometry,
            "strategy": self.strategy,
            "seed": self.seed,
            "file": self.file,
            "wire_sizes": self.wire.get("sizes", []),
            "wire": self.wire,
            "nodes": self.nodes,
            "clients": self.clients,
        }


def dropped_of(counters: dict[str, Any]) -> Counter[str]:
    """Drops by reason, of a node or a client."""
    return Counter({reason: int(n) for reason, n in counters["dropped"].items() if n})
