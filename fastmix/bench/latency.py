"""`fastmix bench latency`: what a node adds at zero mixing delay, at 70 % of its capacity, and at 50,000 a second if it can."""

import time
from typing import Any

from fastmix.bench.machine import describe_machine
from fastmix.bench.node import Request
from fastmix.bench.progress import Progress, silent
from fastmix.bench.session import LATENCY_SHARE, open_session, seconds_since

FIXED_RATE, FIXED_FROM = 50_000, 70_000
"""A node whose capacity is `FIXED_FROM` or more is measured at `FIXED_RATE`, too."""


def bench_latency(request: Request, *, quick: bool = False, progress: Progress = silent) -> dict[str, Any]:
    """Measures. The result is what `--json` prints."""
    request.check()
    began = time.monotonic()
    with open_session(quick, progress) as session, session.node(request.settings) as node:
        found = session.capacity(node, request.settings, request.traffic)
        rates = [LATENCY_SHARE * found.rate] + ([FIXED_RATE] if found.rate >= FIXED_FROM else [])
        points = []
        for at, rate in enumerate(rates):
            counts, runs = session.latency(node, request.traffic, rate, 0.6 + 0.2 * at)
            points.append({
                "offered_per_s": round(rate), "share_of_capacity": round(rate / found.rate, 2),
                "latency_ms": counts.latency_ms, "runs": [run.to_dict() for run in runs],
            })  # fmt: skip
        workers = node.config.workers
    return {
        "bench": "latency", "machine": describe_machine(), **request.words, "workers": workers,
        "capacity_per_s": round(found.rate), "points": points, "sink_nap_us": 100, "seconds": seconds_since(began),
    }  # fmt: skip
